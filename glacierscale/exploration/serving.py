"""The server of the dashboard, for one person on this machine or behind the proxy of a hub."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from glacierscale.compute import Terminated
from glacierscale.exploration import require

if TYPE_CHECKING:
    from glacierscale.exploration.atlas import Atlas

_HEAD = """{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Cpath d='M1 14 6 4l3 5 2-3 4 8z' fill='%230b5c8a'/%3E%3C/svg%3E">
{% endblock %}"""


def serve(
    places: list[str],
    *,
    port: int = 5006,
    address: str = "127.0.0.1",
    open: bool = False,
    origins: list[str] = [],  # noqa: B006  # read only; a list is what the command line makes of words
    prefix: str = "",
) -> None:
    """Look at the stores of a run in a browser, until interrupted.

    Parameters
    ----------
    places : list of str
        Stores, or folders and URLs of a run, whose finished stores are all taken.
    port : int
        Port to listen on; 0 for any that is free.
    address : str
        Address to listen on; 0.0.0.0 for all of this machine, with --origins for the names that browsers use.
    open : bool
        Open the page in a browser.
    origins : list of str
        Other hosts, HOST or HOST:PORT, under which browsers reach the page, as that of a hub or proxy.
    prefix : str
        Path below which the page lies where a proxy keeps it, as /user/me/proxy/absolute/5006.

    Raises
    ------
    ValueError
        If the dashboard is not installed, stores do not belong together, or the port is taken.
    StoreError
        If there is no store at a place, or one that is named is unfinished.
    """
    require()
    from glacierscale.exploration import words
    from glacierscale.exploration.atlas import open_atlas

    port = _free(address, port)
    atlas = open_atlas(*places)
    server = _server(atlas, address, port, origins, prefix)
    where = f"http://{_bracketed(address)}:{port}{server.prefix}/"
    for said in words.left_out(atlas):
        print(f"glacierscale: {said}", file=sys.stderr)
    print(f"{atlas.title}, {len(atlas.glaciers):,} glaciers: {where} (Ctrl-C ends it)", flush=True)
    if open:
        server.io_loop.add_callback(server.show, "/")
    _run(server)


def _bracketed(address: str) -> str:
    """An address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _free(address: str, port: int) -> int:
    """The port, or one that is free for 0; `ValueError` where it cannot be had."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ValueError(
                    f"port {port} of {address} is taken; choose another with --port, 0 for any."
                ) from error
            raise ValueError(f"cannot listen on {address}:{port} ({error.strerror}); see --address, --port.") from error
        found: int = listener.getsockname()[1]
        return found


def _server(atlas: Atlas, address: str, port: int, origins: list[str], prefix: str) -> Any:
    """A server that makes a page for everyone who comes."""
    import panel as pn
    from tornado.ioloop import IOLoop

    from glacierscale.exploration.page import Explorer

    def page() -> Any:
        pn.state.curdoc.template = _HEAD
        return Explorer(atlas)

    # A browser that is closed while data are on the way is nothing that anybody has to know of.
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    known = [f"{_bracketed(host)}:{port}" for host in dict.fromkeys((address, "localhost", "127.0.0.1"))]
    return pn.io.server.get_server(
        page,
        port=port,
        address=address,
        websocket_origin=[*known, *origins],
        prefix=prefix.strip("/"),
        title=f"{atlas.title} · glacierscale",
        loop=IOLoop(),
    )


def _run(server: Any) -> None:
    """Serve until SIGINT or SIGTERM, which end the loop in order and are then raised."""
    caught: list[type[BaseException]] = []

    def end(error: type[BaseException]) -> None:
        caught.append(error)
        server.io_loop.stop()

    loop: asyncio.AbstractEventLoop = server.io_loop.asyncio_loop
    loop.add_signal_handler(signal.SIGINT, end, KeyboardInterrupt)
    loop.add_signal_handler(signal.SIGTERM, end, Terminated)
    server.start()
    try:
        server.io_loop.start()
    finally:
        server.stop()
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
        server.io_loop.close()
    for error in caught:
        raise error
