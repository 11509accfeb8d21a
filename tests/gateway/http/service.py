"""A gateway in memory: the real Service protocol at the outermost edge of the API's tests, where the database, the
runners and the batch system would begin. It keeps pods, says what happened, and echoes what streams send."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

from farnode.errors import Denied, Invalid, NotFound, Permanent, Transient
from farnode.gateway.port import Caller, EventsGone
from farnode.model.api import ClaimView, Deletion, EventView, PodView, SiteView, StatsView, Verdict
from farnode.wire.frames import Channel
from farnode.wire.link import Data, Link, Stream
from farnode.wire.messages import AttachOptions, ExecOptions, LogOptions

ALICE = Caller("alice")
ADMIN = Caller("root", admin=True)
TOKENS = {"Bearer alice": ALICE, "Bearer bob": Caller("bob"), "Bearer admin": ADMIN}
CHUNK = b"x" * 65536


class Authenticator:
    def authenticate(self, header: str | None) -> Caller:
        if header not in TOKENS:
            raise Denied("a token is needed")
        return TOKENS[header]


class Memory:
    """`endless`: whether watchers and followers wait for more. `log` is what containers wrote; `produced` counts the
    chunks of the container `endless` that were asked for."""

    def __init__(self, *, endless: bool = True) -> None:
        self.endless = endless
        self.owners: dict[str, str] = {}
        self.kept: list[ClaimView] = []
        self.seq = 0
        self.log: list[bytes] = [b"one\n", b"two\n"]
        self.log_options: list[LogOptions] = []
        self.exec_options: list[ExecOptions] = []
        self.attach_options: list[AttachOptions] = []
        self.produced = 0
        self.missing: str | None = None
        self.draining = False
        self.changed = asyncio.Event()
        self.unwatched = asyncio.Event()
        self.opened: list[Stream] = []
        self.resized: list[dict[str, Any]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def submit(self, caller: Caller, bundles: Sequence[Any]) -> list[Verdict]:
        return [self._submit(caller, bundle) for bundle in bundles]

    def _submit(self, caller: Caller, bundle: Any) -> Verdict:
        uid = bundle.get("uid") if isinstance(bundle, dict) else None
        if not isinstance(uid, str):
            return Verdict(uid="", verdict="invalid", field="uid", message="is not a string")
        if uid in self.owners:
            return Verdict(uid=uid, verdict="exists")
        self.owners[uid] = caller.owner
        self.seq += 1
        self.changed.set()
        return Verdict(uid=uid, verdict="accepted")

    async def delete(self, caller: Caller, deletions: Sequence[Deletion]) -> list[Verdict]:
        return [
            Verdict(uid=item["uid"], verdict="accepted" if self._mine(caller, item["uid"]) else "unknown")
            for item in deletions
        ]

    def _mine(self, caller: Caller, uid: str) -> bool:
        return self.owners.get(uid) == caller.owner

    def _check(self, caller: Caller, uid: str) -> None:
        if not self._mine(caller, uid):
            raise NotFound(f"no pod {uid}")

    async def update_inputs(self, caller: Caller, uid: str, inputs: dict[str, Any]) -> int:
        self._check(caller, uid)
        return len(inputs)

    def pods(self, caller: Caller) -> tuple[list[PodView], int]:
        return [self._view(uid) for uid in self.owners if self._mine(caller, uid)], self.seq

    def _view(self, uid: str) -> PodView:
        return PodView(uid=uid, owner=self.owners[uid], containers=["main"])

    def pod(self, caller: Caller, uid: str) -> PodView:
        self._check(caller, uid)
        return self._view(uid)

    async def events(self, caller: Caller, after: int | None) -> AsyncIterator[list[EventView]]:
        if after == 0:
            raise EventsGone("event 0 is no longer kept")
        try:
            yield [EventView(seq=self.seq, type="heartbeat")]
            while self.endless:
                await self.changed.wait()
                self.changed.clear()
                yield [EventView(seq=self.seq, type="pod", uid="p", pod=PodView(uid="p"))]
        finally:
            self.unwatched.set()

    async def logs(self, caller: Caller, uid: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self._check(caller, uid)
        if container not in ("main", "endless", "silent", "broken"):
            raise NotFound(f"no container {container}")
        if options.get("previous"):
            raise Invalid("previous", "the container was not restarted")
        self.log_options.append(options)
        for chunk in self.log:
            yield chunk
        while container == "endless" and self.endless:
            self.produced += 1
            yield CHUNK
        if container == "silent" and self.endless:
            await self.changed.wait()
        if container == "broken" and self.endless:
            raise Transient("the runner is away")

    async def exec(self, caller: Caller, uid: str, container: str, options: ExecOptions) -> Stream:
        self.exec_options.append(options)
        return await self._serve(caller, uid, options["command"])

    async def attach(self, caller: Caller, uid: str, container: str, options: AttachOptions) -> Stream:
        self.attach_options.append(options)
        return await self._serve(caller, uid, ["sleep" if container == "deaf" else "cat"])

    async def port(self, caller: Caller, uid: str, port: int) -> Stream:
        return await self._serve(caller, uid, [{80: "port", 82: "sleep"}.get(port, "fail")])

    async def _serve(self, caller: Caller, uid: str, command: Sequence[str]) -> Stream:
        self._check(caller, uid)
        stream, remote = await self._connect()
        self.opened.append(remote)
        self._tasks.append(asyncio.create_task(self._command(command, remote)))
        return stream

    async def _connect(self) -> tuple[Stream, Stream]:
        """Two ends of a stream over two real links, as between gateway and runner."""
        links = [Link(*await asyncio.open_connection(sock=end)) for end in socket.socketpair()]
        here, there = (link.accept(1) for link in links)
        self._tasks += [asyncio.create_task(link.run(_ignore)) for link in links]
        return here, there

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _command(self, command: Sequence[str], remote: Stream) -> None:
        """`cat`, `exit N`, `yes`, `sleep`, which never reads its stdin, or `port`, which first ends its own output."""
        name, *arguments = command
        if name == "cat":
            while isinstance(item := await remote.receive(), Data):
                await remote.send(Channel.STDOUT, item.data)
            await remote.close(exit_code=0)
        elif name == "exit":
            await remote.close(exit_code=int(arguments[0]))
        elif name == "fail":
            await remote.close(error="no such command")
        elif name == "yes":
            while True:
                self.produced += 1
                await remote.send(Channel.STDOUT, CHUNK)
        elif name == "size":
            while isinstance(item := await remote.receive(), dict):
                self.resized.append(item)
                await remote.send(Channel.STDERR, b"seen")
        elif name == "port":
            await remote.send(Channel.STDOUT, b"all I say")
            await remote.eof(Channel.STDOUT)
            while not isinstance(await remote.receive(), dict):
                pass
            await remote.close(exit_code=0)
        elif name == "sleep":
            await asyncio.Event().wait()

    def claims(self, caller: Caller) -> list[ClaimView]:
        return [claim for claim in self.kept if claim["owner"] == caller.owner]

    async def delete_claim(self, caller: Caller, namespace: str, name: str, owner: str | None) -> ClaimView:
        for claim in self.kept:
            if (claim["owner"], claim["namespace"], claim["name"]) == (owner or caller.owner, namespace, name):
                if claim["usedBy"]:
                    raise Permanent(f"the claim {namespace}/{name} is in use")
                self.kept.remove(claim)
                return {**claim, "deleting": True}
        raise NotFound(f"there is no claim {namespace}/{name}")

    async def stats(self, caller: Caller) -> StatsView:
        return StatsView(pods=[], missing=[uid for uid in self.owners if self._mine(caller, uid)])

    def site(self, caller: Caller) -> SiteView:
        return SiteView(name="lab", draining=self.draining, offers=[], allocations=[])

    async def drain(self, caller: Caller, drain: bool) -> SiteView:
        self.draining = drain
        return self.site(caller)

    async def stop(self, caller: Caller) -> int:
        return len(self.owners)

    def metrics(self) -> str:
        return f"farnode_pods {len(self.owners)}\n"

    def ready(self) -> str | None:
        return self.missing


async def _ignore(message: dict[str, Any]) -> None:
    """Links of the tests carry streams only."""
