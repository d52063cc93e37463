"""How long the dashboard takes to answer a click, another year and another quantity, in a browser on this machine.

A run of many glaciers is made, served as `glacierscale explore` serves it, and used by real clicks and keys in headless
Chromium. A time goes from before the key is pressed to the frame after the new data have arrived in the page, so that
what the driver of the browser takes counts too. The reference reads the column of a year with xarray, as a notebook
would, without a page. `--shaded` does the same with so many glaciers that they are drawn as an image. `--remote` opens
a run of so many glaciers on a local S3 server, each request of which takes 20 ms longer, and counts the requests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from glacierscale.exploration import mercator
from glacierscale.exploration.atlas import open_atlas
from glacierscale.store import Store
from tests import servers
from tests.explore import scale
from tests.explore.browsing import Tab, served

_LATENCY_S = 0.02

_WATCH = """([name, column]) => {
  const sources = Bokeh.documents[0].get_model_by_name(name).renderers.map((r) => r.data_source)
  const before = sources.map((s) => s.data[column]), start = performance.now()
  window.changed = new Promise((resolve, refuse) => {
    setTimeout(() => refuse(new Error(`${column} of ${name} did not change`)), 30000)
    const look = () => {
      if (sources.some((s, i) => s.data[column] != null && s.data[column] !== before[i]))
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start), 0))
      else requestAnimationFrame(look)
    }
    look()
  })
}"""


def timed(tab: Tab, figure: str, column: str, act: Callable[[], None]) -> float:
    """Milliseconds from an action to the frame after a column of a figure has changed."""
    tab.page.evaluate(_WATCH, [figure, column])
    act()
    taken: float = tab.page.evaluate("() => window.changed")
    return taken


def interactions(url: str, browser: Any, repeats: int, column: str, rows: pd.DataFrame) -> dict[str, float]:
    """Medians of clicks on glaciers, of other years, and of other quantities once they were read."""
    start = time.perf_counter()
    tab = Tab(browser, url, column=column)
    first = time.perf_counter() - start
    quantities = ["Mean balance, 1991–2020", "Balance of a year"]
    for quantity in quantities:  # their first readings
        tab.choose("Colour by", quantity)
        tab.page.wait_for_timeout(2500)
    found: dict[str, list[float]] = {"click": [], "year": [], "quantity": []}
    for number in range(repeats):
        row = (number + 1) * len(rows) // (repeats + 2)
        at = mercator.to_metres(rows.lon[row], rows.lat[row], mercator.centre_of(rows.lon))
        found["click"].append(timed(tab, "balance", "smb", lambda at=at: tab.click("map", *map(float, at))))  # type: ignore[misc]
    tab.page.get_by_role("slider", name="Year").first.focus()
    for _ in range(repeats):
        found["year"].append(timed(tab, "map", column, lambda: tab.page.keyboard.press("ArrowLeft")))
    for number in range(repeats):
        name = quantities[number % 2]
        found["quantity"].append(timed(tab, "map", column, lambda name=name: tab.choose("Colour by", name)))  # type: ignore[misc]
    if tab.wrong:
        raise RuntimeError(f"the page complained: {tab.wrong}")
    tab.page.close()
    return {f"{name}_ms": round(statistics.median(times)) for name, times in found.items()} | {
        "first_s": round(first, 1)
    }


def remote(glaciers: int) -> dict[str, float]:
    """Requests and seconds to open the stores of a run one by one, and all for the dashboard."""
    told: dict[str, float] = {}
    with servers.seaweed() as server, servers.faulty(server) as proxy:
        os.environ |= server.environment
        folder = scale.make(server.url("run"), glaciers, years=np.arange(2011, 2021, dtype="int32"))
        passed_on = proxy.fault_for

        def late(method: str, path: str) -> str:
            time.sleep(_LATENCY_S)
            return passed_on(method, path)

        proxy.fault_for = late  # type: ignore[method-assign]
        os.environ |= proxy.environment
        for name in ("cube", "smb", "ice", "atlas"):
            for _ in range(2):  # the first makes connections
                proxy.clear()
                start = time.perf_counter()
                if name == "atlas":
                    open_atlas(folder)
                else:
                    Store.at(f"{folder}/{name}.zarr").open()
            told |= {f"{name}_s": round(time.perf_counter() - start, 2), f"{name}_requests": proxy.requests}
    return told


def plain(folder: str, repeats: int) -> float:
    """Milliseconds to open nothing but a column of a year with xarray."""
    data = Store.at(f"{folder}/smb.zarr").open()
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        data.smb.isel(hydro_year=-1 - number).load()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    """Measure and print one line of JSON."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--glaciers", type=int, default=10_000)
    parser.add_argument("--shaded", type=int, default=0, help="glaciers of a second run, drawn as an image")
    parser.add_argument("--remote", type=int, default=0, help="glaciers of a run on object storage that is opened")
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    told: dict[str, Any] = {"benchmark": "explore", "glaciers": asked.glaciers, "shaded": asked.shaded}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        drawn = scale.make(f"{folder}/drawn", asked.glaciers, stores=("cube", "smb"))
        with served(drawn) as running:
            told |= interactions(running.url, browser, asked.repeats, "value", open_atlas(drawn).glaciers)
        told["reference"] = "xarray reads the balances of one year from the same store, without a page"
        told["reference_ms"] = round(plain(drawn, asked.repeats), 1)
        if asked.shaded:
            years = np.arange(2011, 2021, dtype="int32")
            many = scale.make(f"{folder}/many", asked.shaded, stores=("smb",), years=years)
            with served(many) as running:
                found = interactions(running.url, browser, asked.repeats, "image", open_atlas(many).glaciers)
            told |= {f"shaded_{name}": value for name, value in found.items()}
            told["shaded_reference_ms"] = round(plain(many, asked.repeats), 1)
        browser.close()
    if asked.remote:
        told |= {f"remote_{name}": value for name, value in remote(asked.remote).items()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
