"""Many perceptrons side by side."""

from __future__ import annotations

import numpy as np
import torch

from glacierscale.models import mlp


def test_networks_start_at_zero_and_differ_inside() -> None:
    drawn = mlp.many(3, 5, (8, 4), seed=0)
    x = torch.randn(3, 20, 5)
    np.testing.assert_array_equal(mlp.forward(drawn, (8, 4), x).numpy(), 0)
    first = drawn["layers.0.weight"]
    assert (first[0] != first[1]).all()


def test_the_batched_forward_equals_the_networks_one_by_one() -> None:
    drawn = mlp.many(4, 5, (8, 4), seed=1)
    torch.manual_seed(2)
    drawn = {name: value + 0.3 * torch.randn_like(value) for name, value in drawn.items()}
    x = torch.randn(4, 20, 5)
    together = mlp.forward(drawn, (8, 4), x)
    for number in range(4):
        alone = mlp.Network(5, (8, 4))
        alone.load_state_dict({name: value[number] for name, value in drawn.items()})
        np.testing.assert_allclose(together[number].numpy(), alone(x[number]).detach().numpy(), atol=1e-5)


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = (mlp.many(2, 3, (4,), seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(torch.rand(3).numpy(), expected.numpy())
    assert torch.equal(a["layers.0.weight"], b["layers.0.weight"])
    assert not torch.equal(a["layers.0.weight"], c["layers.0.weight"])


def test_members_are_the_networks_of_their_fold_in_its_scale() -> None:
    drawn = mlp.many(6, 3, (4,), seed=0)
    drawn["layers.2.bias"] += torch.arange(6.0)[:, None]  # network n answers n
    parameters = {name: value.numpy().reshape(2, 3, *value.shape[1:]) for name, value in drawn.items()}
    net = mlp.MLP(parameters=parameters, hidden=(4,), scale=np.array([1.0, 100.0]))
    found = net.members(1, np.zeros((5, 3), np.float32))
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found, np.array([300.0, 400.0, 500.0])[:, None] * np.ones(5))
