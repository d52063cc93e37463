"""The glacierscale command: one subcommand per verb, with the signature of the Python function.

Exit codes: 0 done; 1 a fault of glacierscale itself, with a traceback; 2 wrong input or usage; 3 done, but glaciers
were set aside, which are named with the reason; 4 a store is damaged, or an output cannot be written; 130 interrupted.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glacierscale.store import Store

COMMANDS = {
    "demo": ("pipeline:demo", "run everything on the embedded region and write a report; start here"),
    "run": ("pipeline:run", "run every stage of a run file, continuing where an earlier run stopped"),
    "ingest": ("cube:ingest", "read a catalogue into a cube"),
    "featurize": ("features.tensors:featurize", "compute the predictors of every glacier and year"),
    "rasterize": ("features.rasters:rasterize", "cut per-glacier raster patches in size buckets"),
    "train": ("training.loop:train", "train the models on every cross-validation fold"),
    "evaluate": ("evaluation:evaluate", "score held-out predictions beside the naive references"),
    "reconstruct": ("reconstruction:reconstruct", "predict every glacier in every year"),
    "report": ("reporting:report", "make the page of figures and scores"),
    "verify": ("cli:verify", "check a store against its checksums, and repair it"),
    "catalog": ("", "check FILE or show FILE: what a catalogue holds and whether it is safe to open"),
    "completion": ("cli:completion", "print a completion script for bash, zsh or tcsh"),
}
_CATALOG = {
    "check": ("cli:catalog_check", "check a catalogue file and name every fault"),
    "show": ("cli:catalog_show", "list the entries of a catalogue"),
}
_NAMED = 10  # glaciers set aside that are named one by one
_EXAMPLES = """
examples:
  glacierscale demo --to demo
  glacierscale run deploy/runs/oetztal.yaml --data FOLDER --to oetztal
  glacierscale catalog show catalogs/oetztal.yaml
  glacierscale verify demo/smb.zarr --repair

`glacierscale COMMAND --help` tells the options of a command. Options of a verb are written --options.NAME VALUE, or
kept in a YAML file and passed as --options FILE. Exit codes: 0 done, 1 a bug, 2 wrong input or usage, 3 done but some
glaciers were set aside, 4 damaged store or output that cannot be written, 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the return value is the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        from glacierscale.provenance import version

        print(f"glacierscale {version()}")
        return 0
    table, prog = COMMANDS, "glacierscale"
    if words[:1] == ["catalog"]:
        table, prog, words = _CATALOG, "glacierscale catalog", words[1:]
    if not words or words[0] in ("-h", "--help"):
        print(_overview(table, prog))
        return 0 if words else 2
    if words[0] not in table:
        print(f"{prog}: no command {words[0]!r}; expected one of {', '.join(table)}.", file=sys.stderr)
        return 2
    return _guarded(lambda: _call(_load(table[words[0]][0]), words[1:], f"{prog} {words[0]}"))


def verify(store: str, *, repair: bool = False) -> int:
    """Check every object of a store against its checksums; exit code 4 if damage is left.

    Parameters
    ----------
    store : str
        A cube, features or reconstruction.
    repair : bool
        Compute damaged and missing blocks again.
    """
    from glacierscale import pipeline

    found = pipeline.verify(store)
    for damage in found:
        print(f"{damage.key}: {damage.fault}" + (f" ({damage.block})" if damage.block else ""))
    left = pipeline.verify(store, repair=True) if found and repair else found
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


def catalog_show(file: str) -> None:
    """List the entries of a catalogue.

    Parameters
    ----------
    file : str
        An Intake catalogue.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from glacierscale.catalog import open_catalog

    rows = open_catalog(file).describe()
    shown = ("name", "role", "dataset", "driver", "description", "license")
    columns = [Column("name", no_wrap=True), *(Column(name, overflow="fold") for name in shown[1:])]
    table = Table(*columns, title=escape(str(file)))
    for row in rows:
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
            own.add_function_arguments(_load(place), as_positional=True)
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
    import jsonargparse

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    result = jsonargparse.auto_cli(function, args=_spelt_out(function, words), prog=prog, as_positional=True)
    if isinstance(result, int):
        return result
    made = result if isinstance(result, tuple) else (result,)
    for one in made:
        if isinstance(one, Path) or hasattr(one, "url"):
            print(getattr(one, "url", one))
    if function.__name__ in ("run", "demo"):  # what they return is the page
        made = _stores_of(result.parent)
    return _tell_set_aside(made)


def _stores_of(run: Path) -> tuple[Store, ...]:
    """Stores in the folder of a run that say which glaciers were set aside."""
    from glacierscale.store import Store

    return tuple(
        Store.at(place) for pattern in ("features.zarr", "patches_*.zarr") for place in sorted(run.glob(pattern))
    )


def _tell_set_aside(made: Sequence[Any]) -> int:
    """Name the glaciers that were set aside in what a command made; 3 if there are any, else 0."""
    from glacierscale.store import Store

    stores = [one for one in made if isinstance(one, Store)]
    told: dict[str, dict[str, None]] = {}  # reasons by glacier, each once, in order
    for dataset in (store.open() for store in stores if "set_aside" in store.schema.variables):
        for glacier, reason in zip(dataset.glacier_id.values.tolist(), dataset.set_aside.values.tolist(), strict=True):
            if reason:
                told.setdefault(glacier, {})[reason] = None
    if not told:
        return 0
    lines = [f"  {glacier}: {'; '.join(reasons)}" for glacier, reasons in list(told.items())[:_NAMED]]
    more = [f"  and {len(told) - _NAMED} more"] if len(told) > _NAMED else []
    print(f"glacierscale: {len(told)} glaciers were set aside:", *lines, *more, sep="\n", file=sys.stderr)
    return 3


def _spelt_out(function: Callable[..., Any], words: list[str]) -> list[str]:
    """Words of a command in which a bare flag, such as ``--repair``, says true."""
    flags = {
        f"--{name}" for name, p in inspect.signature(function).parameters.items() if p.annotation in ("bool", bool)
    }
    return [
        f"{word}=true" if word in flags and following.lower() not in ("true", "false") else word
        for word, following in zip(words, [*words[1:], ""], strict=False)
    ]


def _guarded(work: Callable[[], int]) -> int:
    """Run a command; errors that a user can mend become one message, others keep their traceback."""
    from glacierscale.store import StoreError

    try:
        return work()
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue.", file=sys.stderr)
        return 130
    except (
        ValueError,
        LookupError,
        FloatingPointError,
        FileNotFoundError,
        FileExistsError,
        NotADirectoryError,
    ) as error:
        return _say(error, 2)
    except (OSError, StoreError) as error:
        return _say(error, 4)


def _say(error: BaseException, code: int) -> int:
    notes = "".join(f"\n  ({note})" for note in getattr(error, "__notes__", ()))
    print(f"glacierscale: {error}{notes}", file=sys.stderr)
    return code


def entry_point() -> None:
    """What the installed command calls."""
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
