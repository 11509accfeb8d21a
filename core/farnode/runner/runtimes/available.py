"""The runtimes there are, and which of them work on this node."""

from __future__ import annotations

from collections.abc import Mapping

from ..runtime import Runtime
from .apptainer import ApptainerRuntime
from .process import ProcessRuntime

KNOWN: dict[str, type[ProcessRuntime] | type[ApptainerRuntime]] = {
    kind.name: kind for kind in (ProcessRuntime, ApptainerRuntime)
}


def available(environ: Mapping[str, str]) -> tuple[dict[str, Runtime], dict[str, str]]:
    """The runtimes that work here, and their versions in words, both by name; `environ` is the batch job's."""
    runtimes: dict[str, Runtime] = {}
    versions: dict[str, str] = {}
    for name, kind in KNOWN.items():
        runtime = kind(environ)
        version = runtime.probe()
        if version is not None:
            runtimes[name], versions[name] = runtime, version
    return runtimes, versions
