"""The command: a table or JSON, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glacierscale.cli import main
from glacierscale.doctor import machine


@pytest.fixture(autouse=True)
def torch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not load PyTorch in another process each time."""
    monkeypatch.setattr(machine, "_TORCH", "print('[\"\", []]')")


def test_a_fit_machine_exits_with_zero_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--to", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert " as required" in told
    assert "storage output" in told
    assert told.rstrip().endswith("Fit for a run; try `glacierscale demo --to demo`.")


def test_a_fault_exits_with_two_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doctor", "--data", str(tmp_path / "nothing"), "--dask", "tcp://127.0.0.1:1"]
    assert main(words) == 2
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "is not there Check the path." in told
    assert "2 faults; a run would fail on them." in told


def test_json_says_the_same_to_a_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--data", str(tmp_path / "nothing")]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["fit"] is False
    (fault,) = [one for one in told["findings"] if one["state"] == "fault"]
    assert set(fault) == {"area", "name", "state", "said", "advice"}
    assert (fault["area"], fault["name"]) == ("storage", "data")
    assert sum(one["area"] == "libraries" for one in told["findings"]) > 30
