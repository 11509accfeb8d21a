"""Makes a pod's images ready, as the kubelet would: by policy, for who may have them, once, within the quota."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from farnode.gateway.config import Images
from farnode.gateway.images import credentials, found, layout, prepared, tree
from farnode.gateway.images.access import Granted
from farnode.gateway.images.convert import Form, convert
from farnode.gateway.images.credentials import Login
from farnode.gateway.images.endpoints import Endpoints
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.once import Once
from farnode.gateway.images.reference import Reference, parse
from farnode.gateway.images.registry import Resolved, resolve
from farnode.gateway.images.session import Session
from farnode.gateway.images.shelf import Entry, Known, Shelf
from farnode.gateway.images.source import Source, Way
from farnode.gateway.images.wants import Wanted, wants
from farnode.gateway.images.words import quote, span
from farnode.model.bundle import Bundle
from farnode.model.image import Image

Tell = Callable[[str, str], Awaitable[None]]
"""Takes the reason and message of an event of the pod, in the kubelet's words, as it happens."""
_QUESTIONS = 8
"""Asked of one registry at once; a thousand pods of one image ask one after the other."""


class ImageStore:
    """Images of one spool; `directory` is theirs alone. Safe to call from many tasks. Invalid where a setting, or a
    file of logins or certificates, cannot be used."""

    def __init__(self, settings: Images, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._prepared = prepared.by_full_name(settings.prepared)
        logins = credentials.load(settings.pull_secrets)
        self._source = Source(Endpoints(settings.registries), logins)
        self._shelf = Shelf(directory)
        self._granted = Granted()
        self._once = Once()
        self._naming: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._questions: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._fetches = asyncio.Semaphore(settings.fetches)

    def wants(self, bundle: Bundle, runtime: str) -> tuple[Wanted, ...]:
        """The images a pod needs to run with `runtime`."""
        return wants(bundle, runtime, self._settings.format)

    async def prepare(self, wanted: Wanted, logins: Sequence[Login], tell: Tell) -> Image:
        """The image, on the spool; `logins` are the pod's own. ImageError says why it cannot be had."""
        ready = await self._prepared_at(wanted)
        if ready is not None:
            await tell("Pulled", f"Container image {quote(wanted.reference)} already present on machine")
            return await asyncio.to_thread(_of_site, wanted, ready)
        name = parse(wanted.reference)
        if wanted.policy != "Always":
            entry = await self._present(name, wanted, logins)
            if entry is not None:
                await tell("Pulled", f"Container image {quote(wanted.reference)} already present on machine")
                return _image(wanted.reference, entry.digest, entry.path, entry.config)
        if wanted.policy == "Never":
            words = f"Container image {quote(wanted.reference)} is not present with pull policy of Never"
            raise ImageError("ErrImageNeverPull", words)
        entry = await self._pull(name, wanted, logins, tell)
        return _image(wanted.reference, entry.digest, entry.path, entry.config)

    async def collect(self, in_use: Collection[str]) -> int:
        """Bring the images within their quota; none whose path is `in_use` goes. The bytes that are left."""
        await asyncio.to_thread(self._shelf.sweep, self._settings.timeout + 3600)
        return await asyncio.to_thread(self._shelf.collect, self._settings.max_bytes, frozenset(in_use))

    async def _prepared_at(self, wanted: Wanted) -> Path | None:
        path: Path | None
        if wanted.reference.startswith("/"):
            path = await asyncio.to_thread(prepared.by_path, wanted.reference, self._settings.directories)
        else:
            path = await asyncio.to_thread(prepared.find, self._prepared, parse(wanted.reference))
        if path is not None and not wanted.any_form:
            await asyncio.to_thread(prepared.check_directory, path)
        return path

    # ---- what is here already ------------------------------------------------------------------------------------

    async def _present(self, name: Reference, wanted: Wanted, logins: Sequence[Login]) -> Entry | None:
        """The image if it is here and this pod may have it."""
        known = await asyncio.to_thread(self._shelf.known, self._key(name))
        if known is None:
            return None
        entry = await asyncio.to_thread(self._shelf.get, known.digest, wanted.form)
        if entry is None or known.open or self._granted(name, known.digest, logins):
            return entry
        try:
            await self._confirm(name, known, logins)
        except ImageError:
            if wanted.policy != "Never":
                raise
            return None
        return entry

    async def _confirm(self, name: Reference, known: Known, logins: Sequence[Login]) -> None:
        """ImageError unless the registry gives this very image to this pod."""
        async with self._asking(name):
            way = await self._source.find(name.at(known.digest), logins)
        await self._admit(name, known, way)

    async def _admit(self, name: Reference, known: Known, way: Way) -> None:
        """Remember for whom the image is, by this name."""
        if way.used.login is not None and not way.used.open:
            self._granted.add(name, known.digest, way.used.login)
        old = await asyncio.to_thread(self._shelf.known, self._key(name))
        was_open = old is not None and old.digest == known.digest and old.open
        now = replace(known, open=way.used.open or was_open)
        if now != old:
            await asyncio.to_thread(self._shelf.remember, self._key(name), now)

    def _asking(self, name: Reference) -> asyncio.Semaphore:
        """A registry that does not answer keeps nobody from asking another."""
        return self._questions.setdefault(name.registry, asyncio.Semaphore(_QUESTIONS))

    def _key(self, name: Reference) -> str:
        return f"{name.name} {self._settings.platform}"

    # ---- what is fetched -----------------------------------------------------------------------------------------

    async def _pull(self, name: Reference, wanted: Wanted, logins: Sequence[Login], tell: Tell) -> Entry:
        await tell("Pulling", f"Pulling image {quote(wanted.reference)}")
        begun = self._clock()
        async with self._asking(name):
            way = await self._source.find(name, logins)
        async with self._naming.setdefault(name.name, asyncio.Lock()):
            started = self._clock()
            known, entry = await self._current(name, way, wanted.form) or await self._fetch(name, way, wanted.form)
            for one in (name, name.at(known.top), name.at(known.digest)):
                await self._admit(one, known, way)
        ended = self._clock()
        times = f"in {span(ended - started)} ({span(ended - begun)} including waiting)"
        words = f"Successfully pulled image {quote(wanted.reference)} {times}. Image size: {known.size} bytes."
        await tell("Pulled", words)
        return entry

    async def _current(self, name: Reference, way: Way, form: Form) -> tuple[Known, Entry] | None:
        """What is here, where it is what the registry has."""
        known = await asyncio.to_thread(self._shelf.known, self._key(name))
        if known is None or known.top != way.top:
            return None
        entry = await asyncio.to_thread(self._shelf.get, known.digest, form)
        return (known, entry) if entry is not None else None

    async def _fetch(self, name: Reference, way: Way, form: Form) -> tuple[Known, Entry]:
        async with way.session() as session:
            async with self._asking(name):
                resolved = await resolve(session, way.reference, self._settings.platform)
            manifest = resolved.manifest
            async with self._once(self._shelf.lock(manifest.digest)):
                entry = await asyncio.to_thread(self._shelf.get, manifest.digest, form)
                if entry is None:
                    async with self._fetches:
                        entry = await self._in_time(name, session, resolved, form)
        return Known(resolved.top, manifest.digest, manifest.size, way.used.open), entry

    async def _in_time(self, name: Reference, session: Session, resolved: Resolved, form: Form) -> Entry:
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._make(name, session, resolved, form)
        except TimeoutError:
            words = f"{name.name}: not fetched within {self._settings.timeout:.0f} s (images.timeout)"
            raise ImageError("ErrImagePull", words) from None
        except OSError as error:
            raise ImageError("ErrImagePull", f"{name.name} cannot be kept at this site: {error}") from error

    async def _make(self, name: Reference, session: Session, resolved: Resolved, form: Form) -> Entry:
        manifest = resolved.manifest
        room = await self._room(name, manifest.size)
        scratch = await asyncio.to_thread(self._shelf.temporary, manifest.digest)
        try:
            await layout.fetch(session, resolved, scratch / "layout")
            await convert(scratch / "layout", manifest, form, scratch / "image", room)
            config = resolved.content.get("config") or {}
            return await asyncio.to_thread(self._shelf.put, manifest.digest, form, scratch / "image", config)
        finally:
            await asyncio.to_thread(tree.remove, scratch)

    async def _room(self, name: Reference, size: int) -> int:
        """Bytes that are left for images, before `size` bytes of one are fetched."""
        limit = self._settings.max_bytes
        used = await asyncio.to_thread(self._shelf.used)
        if used + size > limit:
            words = f"{size} bytes and more are needed, while {used} of the {limit} for images are used"
            raise ImageError("ErrImagePull", f"{name.name}: {words} (images.maxBytes)")
        return limit - used


def _of_site(wanted: Wanted, path: Path) -> Image:
    return _image(wanted.reference, "", path, found.config(path))


def _image(reference: str, digest: str, path: Path, config: Mapping[str, Any]) -> Image:
    return Image(
        reference,
        digest=digest,
        path=str(path),
        entrypoint=_words(config, "Entrypoint"),
        cmd=_words(config, "Cmd"),
        env=_words(config, "Env"),
        working_dir=str(config.get("WorkingDir") or ""),
        stop_signal=str(config.get("StopSignal") or ""),
    )


def _words(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """OCI leaves absent lists out, docker writes null."""
    value = config.get(key)
    return tuple(map(str, value)) if isinstance(value, list) else ()
