"""How an image that is at the site already says it is run: entry point, arguments, environment, directory.

A SIF file may hold its OCI configuration; apptainer's and charliecloud's directories hold parts of it in files of their
own; of any other directory nothing is known, and a container of it says its command itself. What cannot be read is as
if it were not there: it was made by a tool of another time.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from farnode.gateway.images import sif

_LARGEST = 1024 * 1024
"""Bytes of a file that is read."""
_ENVIRONMENT = "10-docker2singularity.sh"
"""The file into which apptainer puts the environment of an OCI image."""
_WORDS = re.compile(r"^OCI_(ENTRYPOINT|CMD)=('.*')$", re.MULTILINE)
_EXPORT = re.compile(r'^export ([A-Za-z_]\w*)="(?:\$\{\1:-"(.*)"\}|(.*))"$', re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)")


def config(path: Path) -> Mapping[str, Any]:
    """In OCI's keys (`Entrypoint`, `Cmd`, `Env`, `WorkingDir`, `StopSignal`), those that are known. Blocking."""
    with suppress(OSError):
        if path.is_file():
            return _of_file(path)
        if (path / ".singularity.d").is_dir():
            return _of_sandbox(path / ".singularity.d")
        if (path / "ch/metadata.json").is_file():
            return _of_charliecloud(path / "ch/metadata.json")
    return {}


def _of_file(path: Path) -> Mapping[str, Any]:
    whole = sif.config(path)
    if whole is not None:
        return whole
    noted = sif.noted(path)
    environment = noted.get("environment")
    scripts = environment if isinstance(environment, dict) else {}
    exports = next((text for name, text in scripts.items() if name.endswith(f"/{_ENVIRONMENT}")), "")
    return _of_scripts(str(noted.get("runscript", "")), str(exports))


def _of_sandbox(directory: Path) -> Mapping[str, Any]:
    return _of_scripts(_text(directory / "runscript"), _text(directory / "env" / _ENVIRONMENT))


def _of_scripts(runscript: str, exports: str) -> Mapping[str, Any]:
    """What apptainer writes when it makes an image of an OCI one."""
    found = dict(_WORDS.findall(runscript))
    return {
        "Entrypoint": _split(found.get("ENTRYPOINT", "")),
        "Cmd": _split(found.get("CMD", "")),
        "Env": list(_exported(exports)),
    }


def _split(quoted: str) -> list[str]:
    """Words quoted for the shell, and the whole of them quoted once more."""
    with suppress(ValueError):
        return shlex.split(" ".join(shlex.split(quoted)))
    return []


def _exported(script: str) -> Iterator[str]:
    for name, default, value in _EXPORT.findall(script):
        plain = _ESCAPED.sub(r"\1", default or value)
        yield f"{name}={plain}"


def _of_charliecloud(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(_text(path))
        env = [f"{name}={value}" for name, value in (content.get("env") or {}).items()]
        return {"Env": env, "WorkingDir": str(content.get("cwd") or "")}
    except (ValueError, AttributeError):
        return {}


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_LARGEST)
