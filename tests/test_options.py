"""What all classes of options share."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import pytest

import glacierscale as gs

CLASSES = [getattr(gs, name) for name in gs.__all__ if name.endswith("Options")] + [gs.Cluster, gs.Scenario]


def test_a_misspelt_option_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match=r"^TrainOptions has no option 'member'; did you mean members\b.*\?$"):
        gs.TrainOptions(member=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Cluster has no option 'worker'; did you mean workers"):
        gs.Cluster(worker=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="did you mean epochs"):
        dataclasses.replace(gs.TrainOptions(), epoch=3)  # type: ignore[call-arg]


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(TypeError, match="ReportOptions has no option 'xyzzy'; expected some of "):
        gs.ReportOptions(xyzzy=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("options", CLASSES)
def test_every_class_of_options_answers_and_keeps_its_signature(options: type) -> None:
    assert list(inspect.signature(options).parameters) == [field.name for field in dataclasses.fields(options)]
    with pytest.raises(TypeError, match=rf"{options.__name__} has no option 'no_such_option'; (expected|did you mean)"):
        options(no_such_option=1)


def test_options_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(gs.TrainOptions(members=3))) == gs.TrainOptions(members=3)
