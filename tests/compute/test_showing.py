"""What a user sees of running work."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

import pytest
import rich.console

from glacierscale.compute import on_dask, showing


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_SAID", set())
    monkeypatch.delenv(showing.QUIET_VARIABLE)


def test_a_dashboard_is_named_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "glacierscale.compute"):
        for _ in range(2):
            showing.dashboard("Ray", "127.0.0.1:8265")
        showing.dashboard("Ray", None)
        showing.dashboard("Ray", "")
    assert caplog.messages == ["Ray dashboard: http://127.0.0.1:8265"]


def test_on_a_terminal_it_is_a_link(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plain = rich.console.Console
    monkeypatch.setattr(rich.console, "Console", lambda **given: plain(force_terminal=True, **given))
    showing.dashboard("Dask", "http://scheduler:8787/status")
    told = capsys.readouterr().err
    assert "Dask dashboard: " in told
    assert told.count("http://scheduler:8787/status") == 2  # where it leads, and what is read


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "glacierscale.compute"]


def test_a_dask_cluster_that_is_joined_names_its_dashboard(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "glacierscale.compute"), on_dask.client("local:1") as here:
        assert not said(caplog)
        address: Any = here.scheduler.address
        with on_dask.client(address) as joined:
            link = joined.dashboard_link
    assert said(caplog) == [f"Dask dashboard: {link}"]


def test_work_without_a_terminal_says_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(showing, "_FIRST_S", 0.1)
    with showing.progress("train mlp, steps", 1600) as at:
        for step in range(1, 11):
            at(step, f"epoch {step}")
            time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    for line in lines[:-1]:
        assert re.fullmatch(r"train mlp, steps: \d+ of 1,600(, epoch \d+)?; \d+ s so far(, about \d+ \w+ left)?", line)
    assert re.fullmatch(r"train mlp, steps: 10, epoch 10; done in \d+ s", lines[-1])


def test_what_is_soon_done_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with showing.counted("featurize, blocks", 3) as advance:
        for _ in range(3):
            advance()
    assert capsys.readouterr() == ("", "")


def test_time_left_is_told_from_what_this_process_did() -> None:
    lines = showing._Lines("train hybrid, steps", 200)
    lines.at(100, "")  # goes on from a checkpoint
    assert "left" not in lines.line()
    lines.before = lines.before[0] - 10, 100
    lines.at(120, "")
    assert lines.line() == "train hybrid, steps: 120 of 200; 0 s so far, about 40 s left"


def test_lines_are_at_most_ten_a_minute_and_at_least_one() -> None:
    assert 60 / showing._FIRST_S == 10
    assert showing._SELDOM_S == 60


def test_quiet_work_says_nothing_and_a_log_that_is_read_has_the_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(showing, "_FIRST_S", 0.01)

    def work() -> None:
        with showing.progress("evolve", 2) as at:
            at(1, "")
            time.sleep(0.05)

    monkeypatch.setenv(showing.QUIET_VARIABLE, "1")
    work()
    monkeypatch.delenv(showing.QUIET_VARIABLE)
    with caplog.at_level(logging.WARNING, "glacierscale"):
        work()
    assert not caplog.messages
    with caplog.at_level(logging.INFO, "glacierscale"):
        work()
    assert caplog.messages[0].startswith("evolve: 1 of 2; 0 s so far")
    assert capsys.readouterr() == ("", "")


def test_an_error_is_not_told_as_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(showing, "_FIRST_S", 0.01)

    def fail() -> None:
        with showing.progress("evolve", 2):
            time.sleep(0.05)
            raise ValueError("no ice")

    with pytest.raises(ValueError, match="no ice"):
        fail()
    assert "done" not in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (150, "2 min"), (7300, "2 h 2 min")])
def test_spans_of_time_read_well(seconds: float, words: str) -> None:
    assert showing._spelt(seconds) == words


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plain = rich.console.Console
    monkeypatch.setattr(rich.console, "Console", lambda **given: plain(force_terminal=True, width=150, **given))
    with showing.progress("train mlp, steps", 1600) as at:
        at(400, "epoch 25 of at most 100")
    told = capsys.readouterr().err
    assert "400/1600" in told
    assert "epoch 25 of at most 100" in told


def test_a_notebook_has_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    IPython = pytest.importorskip("IPython")
    shown: list[tuple[dict[str, str], bool]] = []

    def publish(data: dict[str, str], *_: Any, update: bool = False, **__: Any) -> None:
        shown.append((data, update))

    monkeypatch.setattr(IPython.display, "publish_display_data", publish)
    shell = IPython.core.interactiveshell.InteractiveShell.instance(warn_venv=False)
    monkeypatch.setattr(shell.display_pub, "publish", publish)
    cell = showing._Cell()
    for line in ("train mlp: 1 of 2", "train mlp: 2; done in 9 s"):
        cell(line)
    assert [(data["text/plain"], update) for data, update in shown] == [
        ("train mlp: 1 of 2", False),
        ("train mlp: 2; done in 9 s", True),
    ]
