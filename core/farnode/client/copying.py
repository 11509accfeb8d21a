"""Files to and from a container, by its own tar, as kubectl cp does it: nothing else need be in the image."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
from anyio import from_thread, to_thread

from farnode.client import archive
from farnode.client.execution import ExecSession
from farnode.errors import FarnodeError, NotFound, Permanent, Transient

Begin = Callable[[Sequence[str]], Awaitable[ExecSession]]
"""A command in the container, its input open."""
_SAID = 4096
"""Bytes kept of what tar says."""
_NOT_STARTED = (126, 127, 128)
"""Exit codes of what could not be started."""
_NO_TAR = (
    "the container has no tar, which copying needs: use an image that has it, or share files by a volume "
    "(kubectl cp needs it, too)"
)


async def upload(begin: Begin, source: Path, target: str, preserve: bool) -> list[str]:
    """`source` becomes `target`, or goes into it where that is a directory; what was left out, in words."""
    if not await to_thread.run_sync(os.path.lexists, source):
        raise NotFound(f"{source}: no such file or directory")
    path = posixpath.normpath(target or ".")
    if target.endswith("/") or await _is_directory(begin, path):
        path = posixpath.normpath(posixpath.join(path, source.name))
    directory, name = posixpath.split(path)
    flags = "-xmpof" if preserve else "-xmof"
    async with await begin(["tar", flags, "-", "-C", directory or "."]) as session:
        return await _Tar(session).take(partial(archive.pack, source, name or "."))


async def download(begin: Begin, source: str, target: Path, into: bool) -> list[str]:
    """A file becomes `target`, or goes into it where that is a directory or `into` says so; of a directory the content
    goes into `target`. What was left out, in words."""
    directory, name = posixpath.split(posixpath.normpath(source or "."))
    name = name or "."
    async with await begin(["tar", "-cf", "-", "-C", directory or ".", f"./{name}"]) as session:
        return await _Tar(session).give(partial(archive.unpack, name=name, target=target, into=into))


async def _is_directory(begin: Begin, path: str) -> bool:
    """As far as the container can tell: one without `test` cannot."""
    async with await begin(["test", "-d", path]) as session:
        try:
            return await session.wait() == 0
        except Permanent:
            return False


class _Tar:
    """The program in the container, and a thread here that makes its input or reads its output."""

    def __init__(self, session: ExecSession) -> None:
        self._session = session
        self._output = session.output()
        self._said = b""
        self._left_out: list[str] = []
        self._problem: FarnodeError | None = None
        self._worked = anyio.Event()

    async def take(self, pack: Callable[[Callable[[bytes], None]], list[str]]) -> list[str]:
        async def make() -> list[str]:
            try:
                return await to_thread.run_sync(pack, self._send)
            except Transient:
                return []  # it has ended, and `finish` knows how
            finally:
                with suppress(Transient):
                    await self._session.close_stdin()

        return await self._converse(make, self._finish)

    async def give(self, unpack: Callable[[Callable[[], bytes]], list[str]]) -> list[str]:
        async def finish() -> None:
            await self._worked.wait()
            if self._problem is None or isinstance(self._problem, archive.Garbled):
                await self._finish()

        receive = partial(from_thread.run, self._receive)
        return await self._converse(lambda: to_thread.run_sync(unpack, receive), finish)

    async def _converse(
        self, work: Callable[[], Awaitable[list[str]]], finish: Callable[[], Awaitable[None]]
    ) -> list[str]:
        """The thread cannot be cancelled: it ends when its connection is closed. What tar itself says of a failure
        tells more than what its archive lacks, and less than a failure here."""
        failed: FarnodeError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._work, work)
            try:
                await finish()
            except FarnodeError as error:
                failed = error
            finally:
                await self._session.aclose()
        here = None if isinstance(self._problem, archive.Garbled) else self._problem
        if problem := here or failed or self._problem:
            raise problem
        return self._left_out

    async def _work(self, work: Callable[[], Awaitable[list[str]]]) -> None:
        try:
            with anyio.CancelScope(shield=True):
                self._left_out = await work()
        except FarnodeError as error:
            self._problem = error
        finally:
            self._worked.set()

    def _send(self, data: bytes) -> None:
        """In the thread."""
        from_thread.run(self._session.send, data)

    async def _receive(self) -> bytes:
        """The next bytes of its standard output; empty at its end."""
        try:
            async for stream, data in self._output:
                if stream == "stdout":
                    return data
                self._said = (self._said + data)[-_SAID:]
        except Permanent as error:
            raise _explained(str(error)) from error
        return b""

    async def _finish(self) -> None:
        """Wait for its end; Permanent with its own words when it failed."""
        while await self._receive():
            pass
        code = self._session.exit_code
        if code:
            words = self._said.decode("utf-8", "replace").strip() or f"exit code {code}"
            raise _explained(words) if code in _NOT_STARTED else Permanent(f"tar in the container: {words}")


def _explained(words: str) -> Permanent:
    """Why the program could not be run."""
    missing = "not found" in words.lower() or "no such file" in words.lower()
    return Permanent(f"{_NO_TAR}: {words}" if missing and "container not found" not in words else words)
