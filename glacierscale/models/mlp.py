"""Feed-forward network of Bolibar et al. 2020, many of them side by side.

All parameters carry a leading axis over networks, so that every member of every fold takes a step in one batched
product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

Floats = npt.NDArray[np.floating]

SLOPE = 0.05
"""Of the leaky rectifiers below zero."""


class Network(nn.Module):
    """One network: leaky rectifiers between linear layers, one number out, zero at the start.

    The last layer starts at zero, so training departs from the base model and early stopping shrinks towards it.
    """

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        layers: list[nn.Module] = []
        for width, following in pairwise(sizes):
            layers += [nn.Linear(width, following), nn.LeakyReLU(SLOPE)]
        last = nn.Linear(sizes[-1], 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(row, predictor) -> (row,)."""
        return self.layers(x).squeeze(-1)  # type: ignore[no-any-return]


def many(networks: int, inputs: int, hidden: Sequence[int], seed: int) -> dict[str, torch.Tensor]:
    """Freshly drawn parameters of many networks, each with a leading axis over networks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn, _ = stack_module_state([Network(inputs, hidden) for _ in range(networks)])
    return {name: value.detach() for name, value in drawn.items()}


def forward(parameters: dict[str, torch.Tensor], hidden: Sequence[int], x: torch.Tensor) -> torch.Tensor:
    """Every network on its own rows: (network, row, predictor) -> (network, row)."""
    inputs = x.shape[-1]
    with torch.device("meta"):
        shell = Network(inputs, hidden)
    out: torch.Tensor = vmap(lambda own, rows: functional_call(shell, own, (rows,)))(parameters, x)
    return out


@dataclass(frozen=True, kw_only=True)
class MLP:
    """Trained networks of every fold and member."""

    parameters: dict[str, Floats]
    """By name, each (fold, member, ...)"""
    hidden: tuple[int, ...]
    """Widths of the hidden layers"""
    scale: Floats
    """(fold,) kg m-2 per unit of network output"""

    def members(self, fold: int, scaled: Floats) -> Floats:
        """Prediction of every member: (row, predictor) standardised -> (member, row) kg m-2."""
        own = {name: torch.from_numpy(np.ascontiguousarray(value[fold])) for name, value in self.parameters.items()}
        count = next(iter(own.values())).shape[0]
        x = torch.from_numpy(np.asarray(scaled, np.float32))
        with torch.no_grad():
            out = forward(own, self.hidden, x.expand(count, *x.shape))
        return out.numpy() * self.scale[fold]  # type: ignore[no-any-return]

    def one_each(self, fold: int, member: npt.NDArray[np.integer]) -> Callable[[Floats], Floats]:
        """Prediction of rows by one member each: (row, member, predictor) standardised -> (row, member) kg m-2.

        Sums run over inputs from first to last, so that no row depends to the last bit on how many others there are.
        """
        layers = []
        for number in range(len(self.hidden) + 1):
            weight, bias = (self.parameters[f"layers.{2 * number}.{name}"][fold][member] for name in ("weight", "bias"))
            layers.append((np.ascontiguousarray(weight.swapaxes(1, 2)), bias))  # (member, in, out), (member, out)

        def predict(scaled: Floats) -> Floats:
            out = np.ascontiguousarray(scaled, np.float32)
            for weight, bias in layers[:-1]:
                out = np.einsum("rmk,mkh->rmh", out, weight) + bias
                out = np.maximum(out, out * np.float32(SLOPE))
            weight, bias = layers[-1]
            last: Floats = (out * weight[..., 0]).sum(axis=-1) + bias[:, 0]
            scaled_up: Floats = last * self.scale[fold]
            return scaled_up

        return predict
