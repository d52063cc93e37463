"""From the words of a command to the arguments of a verb, and where it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from glacierscale.compute import Cluster


def parse(function: Callable[..., Any], words: Sequence[str], prog: str) -> tuple[dict[str, Any], Cluster]:
    """Arguments of a function, and the options that say where it runs."""
    import jsonargparse

    from glacierscale.compute import Cluster

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(prog=prog, description=str(inspect.getdoc(function)).split("\n\n")[0])
    parser.add_argument("--config", action="config", help="Path to a configuration file.")
    add_arguments(parser, function)
    add_cluster(parser)
    for action in parser._actions:  # docstrings quote as the site wants it
        action.help = action.help and action.help.replace("``", "`")
    given = parser.instantiate(parser.parse_args(spelt_out(function, words))).as_dict()
    del given["config"]
    return given, Cluster(**{field.name: given.pop(field.name) for field in fields(Cluster)})


def add_arguments(parser: ArgumentParser, function: Callable[..., Any]) -> None:
    """Add an argument for every parameter of a function; a list of words is written as words."""
    from docstring_parser import parse_from_object

    several = {
        name: one for name, one in inspect.signature(function).parameters.items() if one.annotation == "list[str]"
    }
    texts = {param.arg_name: param.description for param in parse_from_object(function).params}
    for name, one in several.items():
        shown: dict[str, Any] = {"type": str, "help": " ".join(str(texts[name]).split())}
        if one.default is inspect.Parameter.empty:
            parser.add_argument(name, nargs="+", metavar=name.upper().removesuffix("S"), **shown)
        else:
            parser.add_argument(f"--{name}", nargs="*", default=list(one.default), metavar="HOST", **shown)
    parser.add_function_arguments(function, as_positional=True, skip=set(several))


def add_cluster(parser: ArgumentParser) -> None:
    """Add a flag for every option that says where work runs; the environment gives the defaults."""
    from docstring_parser import parse_from_object

    from glacierscale import compute

    texts = {param.arg_name: param.description for param in parse_from_object(compute.Cluster).params}
    group = parser.add_argument_group("where it runs")
    for name, default in vars(compute.current()).items():
        group.add_argument(_flag(name), type=type(default), default=default, help=" ".join(str(texts[name]).split()))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def placing(words: Sequence[str]) -> list[str]:
    """Words at the start, before the command, that say where it runs.

    Raises
    ------
    ValueError
        If one of these flags is given twice, here or after the command: there is one place for the same work.
    """
    from glacierscale.compute import Cluster

    flags = [_flag(field.name) for field in fields(Cluster)]
    for flag in flags:
        if sum(word.split("=")[0] == flag for word in words) > 1:
            raise ValueError(
                f"{flag} is given twice; expected one. Blocks run on Dask and training on Ray if both are named."
            )
    count = 0
    while count < len(words) and words[count].split("=")[0] in flags:
        count += 1 if "=" in words[count] else 2
    return list(words[:count])


def spelt_out(function: Callable[..., Any], words: Sequence[str]) -> list[str]:
    """Words of a command in which a bare flag, such as ``--repair``, says true."""
    flags = {
        f"--{name}" for name, p in inspect.signature(function).parameters.items() if p.annotation in ("bool", bool)
    }
    return [
        f"{word}=true" if word in flags and following.lower() not in ("true", "false") else word
        for word, following in zip(words, [*words[1:], ""], strict=False)
    ]
