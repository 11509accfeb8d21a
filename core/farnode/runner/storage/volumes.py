"""The volumes of an attempt: where each lies on the node, and what of them a container mounts.

Only what is made here is removed at the end of the attempt (see `scratch`): paths of the site, claims and images are
mounted where they are.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable

from ...wire.messages import MountOrder, PodOrder, VolumeOrder
from ..clock import Clock
from ..runtime import Mount
from . import hosts, sitepath, subpath, threads
from .content import Content
from .scratch import AttemptDirectories

SITES = {"path", "image"}
"""Kinds of volumes that lie where the site has them."""


class Unmountable(ValueError):
    """A container's mount that cannot be, in words; `reason` is that of its state, as the kubelet's."""

    reason = "CreateContainerConfigError"


class Volumes(Mapping[str, str]):
    """The path of each volume on the node, by name; empty until `make` has returned."""

    def __init__(self, order: PodOrder, clock: Clock) -> None:
        self._orders = {volume["name"]: volume for volume in order.get("volumes", ())}
        self._aliases = order.get("host_aliases", ())
        self._clock = clock
        self._paths: dict[str, str] = {}
        self._contents: dict[str, Content] = {}
        self._hosts = ""
        self._busy = asyncio.Lock()
        self._stale = False
        self._refreshing: asyncio.Task[None] | None = None

    def __getitem__(self, name: str) -> str:
        return self._paths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    # ---- on the node ---------------------------------------------------------------------------------------------

    async def make(self, directories: AttemptDirectories) -> None:
        """In a thread where it may take long. OSError or ValueError with words for the pod's author."""
        kinds = {volume.get("kind", "empty") for volume in self._orders.values()}
        if not self._aliases and kinds <= {"empty"}:
            self._make(directories)
            return
        async with self._busy:
            await threads.run(threads.SITE if kinds & SITES else threads.LOCAL, self._make, directories)

    def update(self, orders: Sequence[VolumeOrder], failed: Callable[[str], None]) -> None:
        """New content for volumes of files, now or when they are made; others stay as they are. `failed` gets words
        for each that cannot be written, which keeps what it has."""
        for volume in orders:
            if volume.get("kind") == "files" == self._orders.get(volume["name"], {}).get("kind"):
                self._orders[volume["name"]] = volume
                self._stale = True
        if self._stale and self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh(failed))

    @property
    def settled(self) -> bool:
        """Whether nothing is being written into them."""
        return self._refreshing is None

    async def settle(self) -> None:
        """Return when nothing is."""
        if self._refreshing is not None:
            await asyncio.wait({self._refreshing})

    async def _refresh(self, failed: Callable[[str], None]) -> None:
        while self._stale:
            self._stale = False
            async with self._busy:
                for words in await threads.run(threads.LOCAL, self._rewrite):
                    failed(words)
        self._refreshing = None

    def _rewrite(self) -> list[str]:
        problems = []
        for name, content in self._contents.items():
            try:
                content.write(self._orders[name].get("files", ()), self._clock.time())
            except (OSError, ValueError) as error:
                problems.append(f"volume {name!r}: {error}")
        return problems

    def _make(self, directories: AttemptDirectories) -> None:
        for name in self._orders:
            try:
                self._paths[name] = self._made(self._orders[name], directories)
            except (OSError, ValueError) as error:
                raise ValueError(f"volume {name!r}: {error}") from error
        if self._aliases:
            self._hosts = directories.file("hosts")
            Path(self._hosts).write_text(hosts.text(self._aliases), "utf-8")
            os.chmod(self._hosts, 0o644)

    def _made(self, volume: VolumeOrder, directories: AttemptDirectories) -> str:
        kind = volume.get("kind", "empty")
        if kind == "empty":
            return directories.volume(volume["name"], volume.get("medium") == "Memory")
        if kind == "files":
            return self._files(volume, directories)
        if kind == "path":
            return sitepath.locate(volume)
        if kind == "image":
            return _unpacked(volume)
        raise ValueError(f"it is of kind {kind!r}: this runner knows empty, files, path and image")

    def _files(self, volume: VolumeOrder, directories: AttemptDirectories) -> str:
        """In memory, all of them: which are secret is not known here, and they are small."""
        path = directories.volume(volume["name"], in_memory=True)
        content = self._contents[volume["name"]] = Content(path)
        content.write(volume.get("files", ()), self._clock.time())
        return path

    # ---- in containers -------------------------------------------------------------------------------------------

    def mounts(self, orders: Sequence[MountOrder], variables: Mapping[str, str]) -> list[Mount]:
        """Of one container, whose `variables` may stand in a subPathExpr. Raises Unmountable."""
        found = [self._mount(order, variables) for order in orders]
        if self._hosts and all(os.path.normpath(mount.target) != hosts.PATH for mount in found):
            found.append(Mount(self._hosts, hosts.PATH, False))
        return found

    def _mount(self, order: MountOrder, variables: Mapping[str, str]) -> Mount:
        name = order["volume"]
        if name not in self._paths:
            raise Unmountable(f"the mount at {order['path']} names volume {name!r}, which the pod lacks")
        source, kind = self._paths[name], self._orders[name].get("kind")
        sealed = self._orders[name].get("read_only", False) or kind == "image"
        try:
            part = subpath.of(order, variables)
            if part:
                source = subpath.locate(source, part, writable=not sealed)
        except (OSError, ValueError) as error:
            raise Unmountable(f"the mount of volume {name!r} at {order['path']}: {error}") from error
        return Mount(source, order["path"], order.get("read_only", False) or sealed or kind == "files")


def _unpacked(volume: VolumeOrder) -> str:
    """The directory of an image; mounting a SIF file as an ordinary user needs more than every node has."""
    image = volume["image"]
    path = image.get("path", "")
    if not os.path.isdir(path):
        raise ValueError(
            f"the image {image.get('reference', '')} is not unpacked in a directory of this node: {path!r}"
        )
    return path
