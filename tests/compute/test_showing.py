"""What a user sees of running work."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import rich.console

from glacierscale.compute import on_dask, showing


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_SAID", set())


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
