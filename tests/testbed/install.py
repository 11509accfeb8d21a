"""farnode inside a site: the checkout as it is, the dependencies pyproject.toml names, for the site's own Python.

The site has no internet and another Python than the host, so wheels are fetched here for that Python and mounted
there. Only the edge gets them: a compute node must do with its plain python3.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.testbed import host

log = logging.getLogger(__name__)

CHECKOUT = Path(__file__).resolve().parents[2]
EXTRAS = ("server",)
PREFIX = "/opt/farnode"
SITE_PYTHON = "3.13"
SCRIPT = """\
#!/usr/bin/python3
import os
import sys

PATHS = {paths!r}
os.environ["PYTHONPATH"] = ":".join(PATHS)  # for the processes it starts
sys.path[:0] = PATHS

from {module} import {name}

sys.exit({name}())
"""


@dataclass(frozen=True, slots=True)
class Project:
    """What pyproject.toml says about a checkout that is not pip-installed."""

    name: str
    version: str
    dependencies: Sequence[str]
    roots: Sequence[str]
    entry_points: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, checkout: Path = CHECKOUT) -> Project:
        data: dict[str, Any] = tomllib.loads((checkout / "pyproject.toml").read_text())
        project = data["project"]
        extras = project.get("optional-dependencies", {})
        wanted = [*project["dependencies"], *(line for extra in EXTRAS for line in extras.get(extra, ()))]
        groups = {**project.get("entry-points", {}), "console_scripts": project.get("scripts", {})}
        roots = data["tool"]["hatch"]["build"]["dev-mode-dirs"]
        return cls(project["name"], project["version"], sorted(wanted), roots, groups)


def mounts(base: Path, directory: Path, bin_directory: Path) -> list[str]:
    """Prepare farnode for one site, in two directories of the site; returns what its edge mounts."""
    project = Project.read()
    library = libraries(base, project.dependencies)
    paths = [f"{PREFIX}/{part}" for part in (*project.roots, "meta", "lib")]
    _write_metadata(project, directory)
    bin_directory.mkdir(parents=True, exist_ok=True)
    for script, target in project.entry_points["console_scripts"].items():
        module, name = target.split(":")
        file = bin_directory / script
        file.write_text(SCRIPT.format(paths=paths, module=module, name=name))
        file.chmod(0o755)
    roots = {root: CHECKOUT / root for root in project.roots}
    for root, path in roots.items():
        _compile(base, path, f"{PREFIX}/{root}")
    sources = {**roots, "meta": directory, "lib": library}
    return [f"{path}:{PREFIX}/{part}:ro" for part, path in sources.items()]


def libraries(base: Path, dependencies: Sequence[str]) -> Path:
    """The dependencies, unpacked for the site's Python; fetched once per list of them."""
    key = hashlib.sha256(json.dumps([SITE_PYTHON, *dependencies]).encode()).hexdigest()[:12]
    ready = host.CACHE / f"lib-{key}"
    with host.locked("lib"):
        if not ready.is_dir():
            log.info("fetching farnode's dependencies for the site's Python %s", SITE_PYTHON)
            with tempfile.TemporaryDirectory(prefix="lib-building-", dir=host.CACHE) as scratch:
                target = Path(scratch) / "lib"
                _fetch(target, dependencies)
                _compile(base, target, f"{PREFIX}/lib")
                target.chmod(0o755)
                target.rename(ready)
    return ready


def _fetch(target: Path, dependencies: Sequence[str]) -> None:
    machine = platform.machine()
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 28, 34)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(target)]
    only = ["--implementation=cp", f"--python-version={SITE_PYTHON}", "--only-binary=:all:"]
    host.call(["nice", *pip, *only, f"--platform=manylinux2014_{machine}", *platforms, *dependencies])


def _compile(base: Path, path: Path, seen_as: str) -> None:
    """Byte-compile with the site's Python: there the files are read-only, and would be compiled at every start."""
    script = 'mount --bind "$1" "$2/mnt" && chroot "$2" python3 -m compileall -q -d "$3" /mnt >/dev/null || :'
    host.call(["unshare", "--mount", "sh", "-c", script, "sh", str(path), str(base), seen_as])


def _write_metadata(project: Project, directory: Path) -> None:
    """A dist-info, so that entry points and the version are found though nothing was installed."""
    info = directory / f"{project.name}-{project.version}.dist-info"
    if directory.exists():
        shutil.rmtree(directory)
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project.name}\nVersion: {project.version}\n")
    sections = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project.entry_points.items()
    )
    (info / "entry_points.txt").write_text("\n".join(sections))
