"""The runtimes there are, and which of them work on this node."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Callable, NamedTuple

from ..runtime import Runtime
from . import holder
from .apptainer import ApptainerRuntime
from .bubblewrap import Bubblewrap
from .charliecloud import Charliecloud
from .directory import DirectoryRuntime
from .podman import Podman
from .process import ProcessRuntime

KNOWN: dict[str, Callable[[Mapping[str, str]], Runtime]] = {
    ProcessRuntime.name: ProcessRuntime,
    "apptainer": ApptainerRuntime,
    **{tool.name: partial(DirectoryRuntime, tool) for tool in (Podman(), Charliecloud(), Bubblewrap())},
}

logger = logging.getLogger(__name__)


class Available(NamedTuple):
    """By name: what works, its version in words, and why the others do not work."""

    runtimes: dict[str, Runtime]
    versions: dict[str, str]
    problems: dict[str, str]


def available(environ: Mapping[str, str]) -> Available:
    """`environ` is the batch job's; its FARNODE_RUNTIMES names those that shall be tried, with colons between; without
    it all are. They are tried at the same time: each takes a while."""
    found = Available({}, {}, {})
    allocation = environ.get("FARNODE_ALLOCATION", "")
    if allocation:
        with contextlib.suppress(OSError, KeyError):  # each says it again, in words, when it is tried
            holder.provide(os.path.join(allocation, holder.NAME))
    wanted = environ.get("FARNODE_RUNTIMES", "").split(":")
    made = [make(environ) for name, make in KNOWN.items() if name in wanted or wanted == [""]]
    with ThreadPoolExecutor(max(len(made), 1)) as pool:
        for runtime, (version, problem) in zip(made, pool.map(probed, made)):
            if problem:
                logger.info("%s does not work on this node: %s", runtime.name, problem)
                found.problems[runtime.name] = problem
            else:
                found.runtimes[runtime.name], found.versions[runtime.name] = runtime, version
    return found


def probed(runtime: Runtime) -> tuple[str, str]:
    """Its version, or why it does not work."""
    try:
        return runtime.probe(), ""
    except (OSError, ValueError) as error:
        return "", str(error)
