"""The annotations of farnode: one table, which validates them, gives them types and is the README's table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from farnode.errors import Invalid
from farnode.model.duration import parse_duration
from farnode.model.names import Rule
from farnode.model.quantity import Quantity

PREFIX = "farnode.io/"
RUNTIMES = ("apptainer", "podman", "charliecloud", "bubblewrap", "process")
FAILURES = ("stop", "ignore")
"""What a gang's member that fails means for the others."""
NODES = 4096
"""Of one job, at most."""
MEMBERS = 1024
"""Of one gang, at most: each is told of all the others, so that what they are told grows with the square."""
_NAME = Rule("[A-Za-z0-9][A-Za-z0-9_.+-]*", 64, "letters, digits, '_', '.', '+' and '-'")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a pod's annotations say, typed; None where it says nothing. Sizes in bytes, times in seconds. A pod of
    several nodes has `mpi`, whatever it says."""

    gpu_model: str | None = None
    gpu_memory: int | None = None
    walltime: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    queue_timeout: int | None = None
    runtime: str | None = None
    mpi: bool = False
    dedicated: bool = False
    nodes: int | None = None
    gang: str | None = None
    gang_size: int | None = None
    gang_failure: str | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """`read` turns the text (given with its path) into the value of the Settings field of the same name."""

    name: str
    read: Callable[[str, str], object]
    accepts: str
    meaning: str
    example: str


def _memory(text: str, path: str) -> int:
    quantity = Quantity.parse(text, path)
    if quantity.nanos <= 0:
        raise Invalid(path, f"{text!r} must be more than 0")
    return quantity.whole


def _runtime(text: str, path: str) -> str:
    if text not in RUNTIMES:
        raise Invalid(path, f"{text!r} is not one of {', '.join(RUNTIMES)}")
    return text


def _failure(text: str, path: str) -> str:
    if text not in FAILURES:
        raise Invalid(path, f"{text!r} is not one of {', '.join(FAILURES)}")
    return text


def _size(text: str, path: str) -> int:
    return _number(text, path, 1, MEMBERS)


def _nodes(text: str, path: str) -> int:
    return _number(text, path, 2, NODES)


def _number(text: str, path: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise Invalid(path, f"{text[:40]!r} is not a number between {least} and {most}")
    return int(text)


def _switch(text: str, path: str) -> bool:
    if text not in ("true", "false"):
        raise Invalid(path, f'{text!r} is not "true" or "false"')
    return text == "true"


def _name(text: str, path: str) -> str:
    return _NAME.check(text, path)


TABLE = (
    Annotation("gpu-model", _name, "name", "the GPU type, as the site names it; any when absent", "a100"),
    Annotation("gpu-memory", _memory, "quantity", "the least memory of each GPU", "40Gi"),
    Annotation(
        "walltime",
        parse_duration,
        "duration",
        "how long the pod may run; else `activeDeadlineSeconds`, else the site's default",
        "2h",
    ),
    Annotation("partition", _name, "name", "the partition (queue) of the batch system", "gpu"),
    Annotation("account", _name, "name", "the account (project) charged", "physics"),
    Annotation("qos", _name, "name", "the quality of service", "high"),
    Annotation("queue-timeout", parse_duration, "duration", "the pod fails when it has waited longer than this", "1d"),
    Annotation(
        "runtime",
        _runtime,
        "`apptainer`, `podman`, `charliecloud`, `bubblewrap` or `process`",
        "what runs the containers; `process`: no image",
        "process",
    ),
    Annotation(
        "mpi", _switch, "`true` or `false`", "the batch system's own variables and PMI reach the containers", "true"
    ),
    Annotation("dedicated", _switch, "`true` or `false`", "the pod gets a batch job of its own", "true"),
    Annotation(
        "nodes",
        _nodes,
        "number",
        "the pod gets a batch job of so many nodes and runs on the first of them; `mpi` is implied",
        "4",
    ),
    Annotation(
        "gang",
        _name,
        "name",
        "pods of one namespace with this name start together, each on a node of one job",
        "train",
    ),
    Annotation("gang-size", _size, "number", "how many pods the gang has", "4"),
    Annotation(
        "gang-failure",
        _failure,
        "`stop` or `ignore`",
        "what a member that fails means for the others: they are stopped (the default), or nothing",
        "ignore",
    ),
)
_BY_NAME = {annotation.name: annotation for annotation in TABLE}


def read_settings(annotations: Mapping[str, str], path: str = "metadata.annotations") -> Settings:
    """The typed settings of a pod; Invalid for one of ours that is unknown or has a wrong value."""
    values = {}
    for key, text in annotations.items():
        if key.startswith(PREFIX):
            annotation = _find(key.removeprefix(PREFIX), f"{path}[{key}]")
            values[annotation.name.replace("-", "_")] = annotation.read(text, f"{path}[{key}]")
    settings = Settings(**values)  # type: ignore[arg-type]  # the table's readers return the fields' types; a test holds them to it
    _check_gang(settings, path)
    return replace(settings, mpi=True) if settings.nodes else settings


def _check_gang(settings: Settings, path: str) -> None:
    gang, size, failure = (f"{path}[{PREFIX}{name}]" for name in ("gang", "gang-size", "gang-failure"))
    if settings.gang is None:
        for place, value in ((size, settings.gang_size), (failure, settings.gang_failure)):
            if value is not None:
                raise Invalid(place, f"is for a member of a gang; name it by {PREFIX}gang")
    elif settings.gang_size is None:
        raise Invalid(gang, f"needs {PREFIX}gang-size: how many pods start together")
    elif settings.nodes is not None:
        raise Invalid(f"{path}[{PREFIX}nodes]", f"a member of a gang has one node; leave out {PREFIX}gang")


def _find(name: str, path: str) -> Annotation:
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name, _BY_NAME, n=1)
    words = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(_BY_NAME)}"
    raise Invalid(path, f"is not an annotation of farnode; {words}")


def markdown() -> str:
    """The table for the README."""
    head = ["| annotation | value | meaning | example |", "|---|---|---|---|"]
    rows = [f"| `{PREFIX}{a.name}` | {a.accepts} | {a.meaning} | `{a.example}` |" for a in TABLE]
    return "\n".join([*head, *rows]) + "\n"
