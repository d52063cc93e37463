"""The dashboard as a process of its own, and a tab that looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from aiohttp import web

DESK, PHONE = {"width": 1400, "height": 900}, {"width": 420, "height": 850}

_PLACED = """([name, x, y]) => {
  const model = Bokeh.documents[0].get_model_by_name(name), view = Bokeh.index.find_one(model)
  const box = view.el.getBoundingClientRect(), frame = view.frame
  return [box.left + frame.x_scale.compute(x), box.top + frame.y_scale.compute(y)]
}"""

_COLUMNS = """([name, column]) => Bokeh.documents[0].get_model_by_name(name).renderers
  .filter((r) => r.visible && r.data_source.data[column] != null)
  .map((r) => Array.from(r.data_source.data[column]))"""

_YEARS = """(name) => Bokeh.documents[0].get_model_by_name(name).center
  .filter((one) => one.dimension == "height" && one.visible).map((one) => one.location)"""


_TERMINATED = "terminated; run the same command again to continue.\n"


class Served:
    """A running `glacierscale explore`."""

    def __init__(self, process: subprocess.Popen[str], said: str) -> None:
        self.process, self.said = process, said
        self.url = next(word for word in said.split() if word.startswith("http://"))

    def end(self, with_signal: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; exit code and what was said to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        _, errors = self.process.communicate(timeout=120)
        return self.process.returncode, errors


@contextlib.contextmanager
def served(*words: str | Path, before: str = "pass") -> Iterator[Served]:
    """Run the command until the block ends; whatever it says beyond its address fails the test.

    Parameters
    ----------
    *words : str or Path
        Arguments of the command.
    before : str
        A line of Python that runs first.
    """
    code = f"{before}\nfrom glacierscale.cli import entry_point\nentry_point()"
    command = [sys.executable, "-W", "error", "-c", code, "explore", *map(str, words), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        raise RuntimeError(process.communicate(timeout=120)[1])
    running = Served(process, said)
    try:
        yield running
    finally:
        ended = process.poll() is not None  # by the test, which read the rest
        code_and_errors = (143, _TERMINATED) if ended else running.end()
    assert code_and_errors == (143, _TERMINATED), code_and_errors


class Hub:
    """A proxy that hands what lies below a path on to a server, as jupyter-server-proxy does."""

    path, behind, host = "/user/me/proxy/5006", "", ""


@contextlib.contextmanager
def proxy(kept: bool) -> Iterator[Hub]:
    """Run a proxy that keeps its path in front of what it asks for, or takes it off."""
    hub, loop = Hub(), asyncio.new_event_loop()

    async def pass_on(request: web.Request) -> web.StreamResponse:
        asked = request.raw_path if kept else request.raw_path.removeprefix(hub.path) or "/"
        names = ("origin", "cookie", "sec-websocket-protocol", "user-agent")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        async with aiohttp.ClientSession() as session:
            if request.headers.get("upgrade", "").lower() == "websocket":
                return await _both_ways(session, request, hub.behind + asked, headers)
            async with session.get(hub.behind + asked, headers=headers) as answer:
                return web.Response(
                    body=await answer.read(),
                    status=answer.status,
                    headers={"content-type": answer.headers["content-type"]},
                )

    async def start() -> web.AppRunner:
        application = web.Application()
        application.router.add_get(hub.path + "{tail:.*}", pass_on)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        hub.host = f"127.0.0.1:{runner.addresses[0][1]}"
        return runner

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    try:
        yield hub
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _both_ways(
    session: aiohttp.ClientSession, request: web.Request, url: str, headers: dict[str, str]
) -> web.WebSocketResponse:
    """Pass the messages of a socket on until either side closes it."""
    protocols = [one.strip() for one in headers.pop("sec-websocket-protocol", "").split(",") if one.strip()]
    near = web.WebSocketResponse(protocols=protocols, max_msg_size=0)
    await near.prepare(request)
    async with session.ws_connect(url, headers=headers, protocols=protocols, max_msg_size=0) as far:

        async def carry(one: Any, other: Any) -> None:
            async for message in one:
                if message.type == aiohttp.WSMsgType.TEXT:
                    await other.send_str(message.data)
                else:
                    await other.send_bytes(message.data)
            await other.close()

        await asyncio.gather(carry(near, far), carry(far, near))
    return near


class Tab:
    """A page in a browser, and what went wrong on it."""

    def __init__(
        self, browser: Any, url: str, size: dict[str, int] | None = None, column: str = "value", scheme: str = "light"
    ) -> None:
        self.page = browser.new_page(viewport=size or DESK, color_scheme=scheme)
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("response", lambda answer: answer.ok or self.wrong.append(f"{answer.status} {answer.url}"))
        self.page.goto(url, timeout=60_000)
        self.wait(lambda: self.columns("map", column) != [] and self.text.strip() != "", "a coloured map")

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    @property
    def outside(self) -> list[str]:
        """What was asked from elsewhere than this machine."""
        here = ("127.0.0.1", "localhost")
        return [
            url for url in self.asked if not url.startswith(("data:", "blob:")) and urlsplit(url).hostname not in here
        ]

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until something is so."""
        until = time.monotonic() + seconds
        while True:
            try:
                if done():
                    return
            except Exception as error:  # the page is not yet there
                problem = error
            else:
                problem = None
            if time.monotonic() > until:
                raise AssertionError(f"no {what} after {seconds} s; errors: {self.wrong} {problem}; {self.text}")
            self.page.wait_for_timeout(40)

    @property
    def text(self) -> str:
        """All words of the page, in the shadows too."""
        found: str = self.page.evaluate(
            """() => {
              const words = []
              const walk = (node) => {
                for (const one of node.childNodes) {
                  if (one.nodeType == 3) words.push(one.textContent)
                  else if (one.nodeType == 1 && !["STYLE", "SCRIPT"].includes(one.tagName)
                           && getComputedStyle(one).display != "none") {
                    if (one.shadowRoot) walk(one.shadowRoot)
                    walk(one)
                  }
                }
              }
              walk(document.body)
              return words.join(" ").replace(/\\s+/g, " ")
            }"""
        )
        return found

    def pixel(self, figure: str, x: float, y: float) -> tuple[float, float]:
        """Where a place of a figure lies in the window."""
        left, top = self.page.evaluate(_PLACED, [figure, x, y])
        return left, top

    def click(self, figure: str, x: float, y: float) -> None:
        """Click on a place of a figure."""
        self.page.mouse.click(*self.pixel(figure, x, y))

    def columns(self, figure: str, column: str) -> list[Any]:
        """A column of what is drawn in a figure, of every glyph that has some of it."""
        return [one for one in self.page.evaluate(_COLUMNS, [figure, column]) if one]

    def column(self, figure: str, column: str, glyph: int = 0) -> np.ndarray:
        """A column of one glyph as numbers."""
        return np.array(self.columns(figure, column)[glyph], float)

    def years(self, figure: str) -> list[float]:
        """Years that are marked in a figure."""
        found: list[float] = self.page.evaluate(_YEARS, figure)
        return found

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a list."""
        self.page.get_by_label(label, exact=True).first.select_option(option)

    def tab(self, name: str) -> None:
        """Turn to a tab."""
        self.page.get_by_text(name, exact=True).first.click()

    def picture(self, file: Path) -> None:
        """Keep a picture of the page."""
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=str(file))


def close(found: np.ndarray, wanted: Any, tolerance: float = 1e-4) -> bool:
    """Whether numbers in the browser are those wanted, NaN where they are NaN."""
    other = np.asarray(wanted, float)
    return found.shape == other.shape and bool(np.allclose(found, other, rtol=tolerance, atol=1e-6, equal_nan=True))
