"""The glacierscale command: one subcommand per verb, with the signature of the Python function.

Exit codes: 0 done; 1 a fault of glacierscale itself, with a traceback; 2 wrong input or usage; 3 done, but glaciers
were set aside, which are named with the reason; 4 a store is damaged, an output cannot be written, or workers died or
took too long; 5 another run holds the output; 130 interrupted; 143 terminated. After 4, 5, 130 and 143 the same command
continues.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from glacierscale.cli import parsing
from glacierscale.cli.leaving import leave
from glacierscale.cli.telling import tell

COMMANDS = {
    "demo": ("pipeline:demo", "run everything on the embedded region and write a report; start here"),
    "run": ("pipeline:run", "run every stage of a run file, continuing where an earlier run stopped"),
    "ingest": ("cube:ingest", "read a catalogue into a cube"),
    "featurize": ("features.tensors:featurize", "compute the predictors of every glacier and year"),
    "rasterize": ("features.rasters:rasterize", "cut per-glacier raster patches in size buckets"),
    "train": ("training.loop:train", "train the models on every cross-validation fold"),
    "evaluate": ("evaluation:evaluate", "score held-out predictions beside the naive references"),
    "reconstruct": ("reconstruction:reconstruct", "predict every glacier in every year"),
    "evolve": ("evolution:evolve", "let every glacier evolve under future climates"),
    "report": ("reporting:report", "make the page of figures and scores"),
    "explore": ("exploration.serving:serve", "look at the stores of a run in a browser: map, series, futures"),
    "verify": ("cli:verify", "check a store against its checksums, and repair it"),
    "doctor": ("doctor:doctor", "say whether this machine, its credentials and its clusters are fit for a run"),
    "catalog": ("", "check FILE or show FILE: what a catalogue holds and whether it is safe to open"),
    "completion": ("cli:completion", "print a completion script for bash, zsh or tcsh"),
}
_CATALOG = {
    "check": ("cli:catalog_check", "check a catalogue file and name every fault"),
    "show": ("cli:catalog_show", "list the entries of a catalogue"),
}
_EXAMPLES = """
examples:
  glacierscale demo --to demo
  glacierscale run deploy/runs/oetztal.yaml --data FOLDER --to oetztal
  glacierscale catalog show catalogs/oetztal.yaml
  glacierscale explore demo
  glacierscale verify demo/smb.zarr --repair

where a command runs (before or after its own arguments; threads of this process by default):
  --dask PLACE          blocks on Dask: local:N, tcp://HOST:PORT, gateway:NAME or kubernetes:NAME
  --ray PLACE           blocks and training on Ray: local:N, auto or HOST:PORT; with --dask too, training alone
  --workers N           workers at most
  --gpus-per-worker G   GPUs of each Ray worker
  --block-timeout-s S   seconds that one block may take

`glacierscale COMMAND --help` tells the options of a command. Options of a verb are written --options.NAME VALUE, or
kept in a YAML file and passed as --options FILE. Exit codes: 0 done, 1 a bug, 2 wrong input or usage, 3 done but some
glaciers were set aside, 4 damaged store, output that cannot be written, or workers that died or took too long,
5 another run holds the output, 130 interrupted, 143 terminated. After 4, 5, 130 and 143 the same command continues.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the return value is the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        from glacierscale.provenance import version

        print(f"glacierscale {version()}")
        return 0
    table, prog = COMMANDS, "glacierscale"
    try:
        placing = parsing.placing(words)
    except ValueError as error:
        return _say(error, 2)
    words = words[len(placing) :]
    if words[:1] == ["catalog"]:
        table, prog, words = _CATALOG, "glacierscale catalog", words[1:]
    if not words or words[0] in ("-h", "--help"):
        print(_overview(table, prog))
        return 0 if words else 2
    if words[0] not in table:
        print(f"{prog}: no command {words[0]!r}; expected one of {', '.join(table)}.", file=sys.stderr)
        return 2
    return _guarded(lambda: _call(_load(table[words[0]][0]), words[1:] + placing, f"{prog} {words[0]}"))


def verify(store: str, *, repair: bool = False) -> int:
    """Check every object of a store against its checksums; exit code 4 if damage is left.

    Parameters
    ----------
    store : str
        A cube, features, patches, reconstruction, maps, evolution or ice maps.
    repair : bool
        Compute damaged and missing blocks again.
    """
    from glacierscale.repair import verify as checked

    found = checked(store)
    for damage in found:
        print(f"{damage.key}: {damage.fault}" + (f" ({damage.block})" if damage.block else ""))
    left = checked(store, repair=True) if found and repair else found
    said = f"{len(found)} faults" + (f", {len(left)} left after repair" if repair and found else "")
    print(f"{store}: {said if found else 'no fault'}")
    return 4 if left else 0


def catalog_check(file: str) -> int:
    """Check a catalogue file and name every fault; exit code 2 if there is one.

    Parameters
    ----------
    file : str
        An Intake catalogue.
    """
    from glacierscale.catalog import check_catalog

    faults = check_catalog(file)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{file}: {len(faults)} faults" if faults else f"{file}: accepted")
    return 2 if faults else 0


def catalog_show(file: str, *, files: bool = False) -> None:
    """List the entries of a catalogue.

    Parameters
    ----------
    file : str
        An Intake catalogue.
    files : bool
        List every file instead: where it lies below the folder passed as `data`, and where it is published.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from glacierscale.catalog import open_catalog

    catalog = open_catalog(file)
    if files:
        for entry in catalog.entries.values():
            for one in entry.files:
                print(f"{entry.name}\t{one.path}\t{one.url or 'no public address'}")
            for place in () if entry.files else entry.urlpaths:
                print(f"{entry.name}\t{place}")
        return
    shown = ("name", "role", "dataset", "driver", "description", "license")
    columns = [Column("name", no_wrap=True), *(Column(name, overflow="fold") for name in shown[1:])]
    table = Table(*columns, title=escape(str(file)), caption="--files lists where each file lies and is published")
    for row in catalog.describe():
        table.add_row(*(escape(str(row[name])) for name in shown))
    Console().print(table)


def completion(shell: str) -> None:
    """Print a completion script.

    Parameters
    ----------
    shell : str
        bash, zsh or tcsh. In bash: ``eval "$(glacierscale completion bash)"``.
    """
    import shtab

    if shell not in shtab.SUPPORTED_SHELLS:
        raise ValueError(f"no completion for {shell!r}; expected one of {', '.join(shtab.SUPPORTED_SHELLS)}.")
    import jsonargparse

    parser = jsonargparse.ArgumentParser(prog="glacierscale")
    commands = parser.add_subcommands()
    for name, (place, text) in COMMANDS.items():
        own = jsonargparse.ArgumentParser(description=text)
        if place:
            parsing.add_arguments(own, _load(place))
            parsing.add_cluster(own)
        commands.add_subcommand(name, own, help=text)
    print(shtab.complete(parser, shell))


def _overview(table: dict[str, tuple[str, str]], prog: str) -> str:
    width = max(map(len, table)) + 2
    lines = "\n".join(f"  {name:<{width}}{text}" for name, (_, text) in table.items())
    head = "Distributed, cloud-native reconstruction of glaciers.\n\n" if prog == "glacierscale" else ""
    tail = _EXAMPLES if prog == "glacierscale" else ""
    return f"usage: {prog} COMMAND ...\n\n{head}commands:\n{lines}\n{tail}"


def _load(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    return getattr(importlib.import_module(f"glacierscale.{module}"), name)  # type: ignore[no-any-return]


def _call(function: Callable[..., Any], words: list[str], prog: str) -> int:
    from glacierscale import compute

    given, cluster = parsing.parse(function, words, prog)
    with compute.use(cluster):
        return tell(function, function(**given), given.get("to", ""))


def _guarded(work: Callable[[], int]) -> int:
    """Run a command; errors that a user can mend become one message, others keep their traceback."""
    from glacierscale.compute import Terminated, WorkerDiedError
    from glacierscale.store import StoreError

    try:
        with _terminable():
            return work()
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue.", file=sys.stderr)
        return 130
    except Terminated:
        print("terminated; run the same command again to continue.", file=sys.stderr)
        return 143
    except (
        ValueError,
        LookupError,
        FloatingPointError,
        FileNotFoundError,
        FileExistsError,
        NotADirectoryError,
    ) as error:
        return _say(error, 2)
    except (OSError, StoreError, WorkerDiedError) as error:
        from glacierscale.store import HeldError  # its module loads Zarr

        return _say(error, 5 if isinstance(error, HeldError) else 4)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the main thread, so that what runs is stopped in order."""
    from glacierscale.compute import Terminated

    def raise_terminated(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(error: BaseException, code: int) -> int:
    notes = "".join(f"\n  ({note})" for note in getattr(error, "__notes__", ()))
    print(f"glacierscale: {error}{notes}", file=sys.stderr)
    return code


def entry_point() -> None:
    """What the installed command calls."""
    leave(main)
