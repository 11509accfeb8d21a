"""Where things lie on the spool, the directory shared with the compute nodes.

    bin/<digest>/runner.pyz, job.sh       what every allocation runs; never changed in place
    allocations/<nonce>/                  0700: connect.json (0600), runner.pyz, job.out, events-<incarnation>.jsonl
    allocations/<nonce>/pods/<uid>/<attempt>.<container>.<restart>.log[.<n>]
    images/                               see farnode.gateway.images

The runner is the only reader of its logs while it lives (network file systems cache stale data); afterwards they are
this gateway's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from farnode.errors import Invalid, NotFound
from farnode.gateway.pack import pack
from farnode.gateway.reports import read_events
from farnode.wire.messages import EventFrame
from farnode.wire.rotation import kept, open_files


class Spool:
    def __init__(self, root: Path, gateway: str) -> None:
        """`gateway` identifies the state this spool belongs to; Invalid when it is another's: two gateways would take
        each other's allocations for leftovers."""
        self.root = root
        self._marker = root / "gateway"
        self.allocations = root / "allocations"
        for directory in (root, self.allocations, self.images):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._claim(gateway)
        self.programs = self._install()

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def script(self) -> Path:
        return self.programs / "job.sh"

    def _claim(self, gateway: str) -> None:
        if not self._marker.exists():
            self._marker.write_text(gateway)
        if self._marker.read_text() != gateway:
            raise Invalid(
                "spool",
                f"{self.root} belongs to another gateway, or to a state that was lost; choose another directory",
            )

    def _install(self) -> Path:
        """Write the runner's archive and the job script under the digest of both, once."""
        archive = pack()
        script = files("farnode.runner").joinpath("job.sh").read_bytes()
        target = self.root / "bin" / hashlib.sha256(archive + script).hexdigest()[:16]
        if not target.exists():
            temporary = target.with_name(f".{target.name}.{os.getpid()}")
            temporary.mkdir(mode=0o700, parents=True)
            (temporary / "runner.pyz").write_bytes(archive)
            (temporary / "job.sh").write_bytes(script)
            try:
                temporary.rename(target)
            except OSError:  # another gateway of this spool was faster
                shutil.rmtree(temporary)
        return target

    def directory(self, nonce: str) -> Path:
        return self.allocations / nonce

    def prepare(self, nonce: str, connect: str) -> None:
        """Make an allocation's directory; harmless to repeat, which is how a moved gateway says where it is now."""
        directory = self.directory(nonce)
        directory.mkdir(mode=0o700, exist_ok=True)
        link = directory / "runner.pyz"
        if not link.exists():
            try:
                os.link(self.programs / "runner.pyz", link)
            except OSError:  # some file systems have no links between directories, or only so many
                shutil.copyfile(self.programs / "runner.pyz", link)
        temporary = directory / ".connect.json"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(connect)
        temporary.rename(directory / "connect.json")

    def events(self, nonce: str, incarnation: str, after: int) -> list[EventFrame]:
        """What the runner wrote down beyond `after`; a line cut short by a full disk is passed over: the runner
        wrote its event again when there was room."""
        if not self._marker.exists():
            raise FileNotFoundError(f"{self._marker} is not there: is the spool mounted?")
        try:
            lines = (self.directory(nonce) / f"events-{incarnation}.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [frame for frame in read_events(list(_values(lines))) if frame["seq"] > after]

    def words(self, nonce: str) -> str:
        """What the job script or the supervisor had to say about a start that failed; "" when nothing."""
        for name in ("problem", "job.out"):
            try:
                text = (self.directory(nonce) / name).read_text(errors="replace").strip()
            except OSError:
                continue
            if text:
                return text[-1000:]
        return ""

    def status(self, nonce: str) -> int | None:
        """The exit status of the job script on a gang's node, where it has ended; it says so last of all."""
        try:
            text = (self.directory(nonce) / "over").read_text(errors="replace").strip()
        except OSError:
            return None
        return int(text) if re.fullmatch("[0-9]{1,3}", text) else None

    def open_log(self, nonce: str, uid: str, name: str, known: Mapping[str, int], begun: bool) -> BinaryIO:
        """What is kept of a log, as one file; NotFound when it was removed. `known` are sizes by names that the runner
        told of: a network file system may not list them yet, and those without a byte were not made. It is empty where
        no file is known of a run that has `begun`: nothing was written."""
        directory = self.directory(nonce) / "pods" / uid
        names = kept(name, known)
        with suppress(FileNotFoundError):
            names = names or kept(name, (one.name for one in directory.iterdir()))
            if names:
                return open_files([str(directory / one) for one in names if known.get(one) != 0])
        if begun and not names and self.directory(nonce).exists():
            return open_files([])
        raise NotFound(f"the log {name} is not kept any more, or was never written")

    def remove_pod(self, nonce: str, uid: str) -> None:
        shutil.rmtree(self.directory(nonce) / "pods" / uid, ignore_errors=True)

    def remove(self, nonce: str) -> None:
        shutil.rmtree(self.directory(nonce), ignore_errors=True)

    def used(self) -> int:
        """Bytes of all allocations."""
        return _size(self.allocations)

    def used_by(self, nonce: str, uid: str) -> int:
        return _size(self.directory(nonce) / "pods" / uid)

    def strangers(self, known: set[str]) -> list[str]:
        """Allocation directories that no record knows: leftovers of a crash between removal and clean-up."""
        return [path.name for path in self.allocations.iterdir() if path.name not in known]


def _values(lines: list[bytes]) -> Iterator[object]:
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)


def _size(top: Path) -> int:
    """Bytes below a directory that others change meanwhile."""
    total = 0
    for directory, _, names in os.walk(top):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(directory) / name).lstat().st_size
    return total
