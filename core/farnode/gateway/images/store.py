"""Makes a pod's images ready, as the kubelet would: by policy, once, within the quota."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import httpx

from farnode.gateway.config import Images
from farnode.gateway.images import apptainer, credentials, prepared
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.once import Once
from farnode.gateway.images.reference import Reference, parse
from farnode.gateway.images.registry import Registry, Resolved
from farnode.gateway.images.shelf import Entry, Shelf
from farnode.model.image import Image

_ANSWER = 30.0
"""Seconds a registry has for one answer."""


class ImageStore:
    """Images of one spool; `directory` is theirs alone. Safe to call from many tasks. Invalid where a setting, or a
    file of logins, cannot be used."""

    def __init__(self, settings: Images, directory: Path) -> None:
        self._settings = settings
        self._prepared = prepared.by_full_name(settings.prepared)
        self._logins = credentials.load(settings.pull_secrets)
        self._shelf = Shelf(directory, ".sif" if settings.format == "sif" else "")
        self._once = Once()
        self._fetches = asyncio.Semaphore(settings.fetches)

    async def prepare(self, reference: str, policy: str) -> Image:
        """The image, on the spool; `policy` is v1's imagePullPolicy. ImageError says why it cannot be had."""
        if reference.startswith("/"):
            path = await asyncio.to_thread(prepared.by_path, reference, self._settings.directories)
            return Image(reference, path=str(path))
        name = parse(reference)
        ready = await asyncio.to_thread(prepared.find, self._prepared, name)
        if ready is not None:
            return Image(reference, path=str(ready))
        if policy != "Always":
            present = await asyncio.to_thread(self._present, name)
            if present is not None:
                return _image(reference, present)
        if policy == "Never":
            raise ImageError("ErrImageNeverPull", f"{name.name} is not at this site, and its pull policy is Never")
        return _image(reference, await self._pull(name))

    async def collect(self, in_use: Collection[str]) -> int:
        """Bring the images within their quota; none whose path is `in_use` goes. The bytes that are left."""
        await asyncio.to_thread(self._shelf.sweep, self._settings.timeout + 3600)
        return await asyncio.to_thread(self._shelf.collect, self._settings.max_bytes, frozenset(in_use))

    def _present(self, name: Reference) -> Entry | None:
        digest = self._shelf.named(name.name) or name.digest  # a name's digest may be that of an index
        return self._shelf.get(digest) if digest else None

    async def _pull(self, name: Reference) -> Entry:
        login = credentials.choose(self._logins, name)
        async with httpx.AsyncClient(timeout=_ANSWER) as http:
            found = await Registry(http, self._settings.insecure_registries).resolve(name, login)
        async with self._once(self._shelf.lock(found.digest)):
            entry = await asyncio.to_thread(self._shelf.get, found.digest)
            if entry is None:
                entry = await self._fetch(name, found, login)
        await asyncio.to_thread(self._shelf.remember, name.name, found.digest)
        return entry

    async def _fetch(self, name: Reference, found: Resolved, login: credentials.Login | None) -> Entry:
        async with self._fetches:
            await self._check_quota(name)
            made = self._shelf.temporary(found.digest)
            argv = apptainer.command(
                f"docker://{name.registry}/{name.repository}@{found.digest}",
                made,
                directory=self._settings.format == "directory",
                insecure=name.registry in self._settings.insecure_registries,
            )
            try:
                await apptainer.build(argv, login, self._settings.timeout)
                return await asyncio.to_thread(self._shelf.put, found.digest, made, found.config)
            except OSError as error:
                raise ImageError("ErrImagePull", f"{name.name} cannot be kept at this site: {error}") from error
            finally:
                await asyncio.to_thread(self._shelf.remove, made)

    async def _check_quota(self, name: Reference) -> None:
        used = sum(entry.size for entry in await asyncio.to_thread(self._shelf.entries))
        if used >= self._settings.max_bytes:
            words = f"the site's images fill their quota ({used} of {self._settings.max_bytes} bytes), all in use"
            raise ImageError("ErrImagePull", f"{name.name}: {words}")


def _image(reference: str, entry: Entry) -> Image:
    return Image(
        reference,
        digest=entry.digest,
        path=str(entry.path),
        entrypoint=_words(entry.config, "Entrypoint"),
        cmd=_words(entry.config, "Cmd"),
        env=_words(entry.config, "Env"),
        working_dir=str(entry.config.get("WorkingDir") or ""),
    )


def _words(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """OCI leaves absent lists out, docker writes null."""
    return tuple(map(str, config.get(key) or ()))
