"""A site behind the real API: its database, runners and batch system are a few dictionaries that tests change.

The server has a thread and a loop of its own, so that blocking clients, subprocesses and async tests all use it alike.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from farnode import Site
from farnode.config.values import HostPort, UnixSocket
from farnode.errors import Denied, Invalid, NotFound
from farnode.gateway.http import Server, create_app, serve
from farnode.gateway.port import Caller, EventsGone
from farnode.gateway.tls import ensure_certificate, server_context
from farnode.model.api import ClaimView, Deletion, EventView, PodView, SiteView, StatsView, Verdict
from farnode.wire.frames import Channel
from farnode.wire.link import Data, Link, Stream
from farnode.wire.messages import AttachOptions, ExecOptions, LogOptions

T = TypeVar("T")
CHUNK = b"2026-01-01T00:00:00Z " + b"x" * 65535 + b"\n"
TOKENS = {"Bearer alice": Caller("alice"), "Bearer admin": Caller("root", admin=True)}


class Authenticator:
    def authenticate(self, header: str | None) -> Caller:
        if header not in TOKENS:
            raise Denied("this token is unknown here")
        return TOKENS[header]


class FakeSite:
    """Pods go through their lives when a test says so: `set_status`, `end`, `write`."""

    def __init__(self) -> None:
        self.views: dict[str, PodView] = {}
        self.events_kept: list[EventView] = []
        self.claims_kept: list[ClaimView] = []
        self.seq = 0
        self.submits: list[list[str]] = []
        self.inputs: dict[str, dict[str, Any]] = {}
        self.deletions: list[Deletion] = []
        self.watchers = 0
        self.watched = 0
        self.listed = 0
        self.logs_asked: list[LogOptions] = []
        self.lines: dict[tuple[str, str], list[tuple[float, bytes]]] = {}
        self.produced = 0
        self.resized: list[dict[str, Any]] = []
        self.draining = False
        self.doing = SiteView(allocations=[{"nonce": "n", "phase": "running", "pods": 2}])
        """What of its view tests change."""
        self.on_submit: Callable[[str], None] = lambda uid: None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- what tests do -------------------------------------------------------------------------------------------

    def set_status(self, uid: str, **changes: Any) -> None:
        self.views[uid] = PodView(**{**self.views[uid], **changes})  # type: ignore[typeddict-item]
        self._tell(EventView(type="pod", uid=uid, pod=self.views[uid]))

    def start(self, uid: str) -> None:
        running = {"name": "main", "ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}}}
        self.set_status(uid, status={"phase": "Running", "containerStatuses": [running]}, attempt=1)

    def end(self, uid: str, code: int = 0) -> None:
        state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"name": "main", "state": state}],
        }
        self.set_status(uid, status=status, ended=True)

    def end_all(self) -> None:
        for uid in list(self.views):
            self.end(uid)

    def write(self, uid: str, text: bytes, at: float = 1.0) -> None:
        lines = self.lines.setdefault((uid, "main"), [])
        lines += [(at, line) for line in text.splitlines(keepends=True)]
        self._wake()

    def remove(self, uid: str) -> None:
        del self.views[uid]
        self._tell(EventView(type="gone", uid=uid))

    def forget_events(self) -> None:
        self.events_kept.clear()

    # ---- the Service ---------------------------------------------------------------------------------------------

    async def submit(self, caller: Caller, bundles: Sequence[Any]) -> list[Verdict]:
        self.submits.append([bundle["pod"]["metadata"]["uid"] for bundle in bundles])
        return [self._submit(caller, bundle["pod"]) for bundle in bundles]

    def _submit(self, caller: Caller, pod: dict[str, Any]) -> Verdict:
        uid = pod["metadata"]["uid"]
        if pod["metadata"].get("labels", {}).get("refuse"):
            return Verdict(uid=uid, verdict="invalid", field="spec.nodeName", message="is not yours to choose")
        if uid in self.views:
            return Verdict(uid=uid, verdict="exists")
        self.views[uid] = PodView(
            uid=uid,
            namespace=pod["metadata"].get("namespace", "default"),
            name=pod["metadata"]["name"],
            owner=caller.owner,
            createdAt=f"2026-01-01T00:00:{len(self.views) % 60:02}Z",
            ended=False,
            containers=[container["name"] for container in pod["spec"]["containers"]],
            status={"phase": "Pending"},
            pod=pod,
        )
        self._tell(EventView(type="pod", uid=uid, pod=self.views[uid]))
        asyncio.get_running_loop().call_soon(self.on_submit, uid)
        return Verdict(uid=uid, verdict="accepted")

    async def delete(self, caller: Caller, deletions: Sequence[Deletion]) -> list[Verdict]:
        self.deletions += deletions
        return [self._delete(item) for item in deletions]

    def _delete(self, deletion: Deletion) -> Verdict:
        uid = deletion["uid"]
        if uid not in self.views:
            return Verdict(uid=uid, verdict="unknown")
        if deletion.get("purge"):
            self.remove(uid)
        elif not self.views[uid].get("ended"):
            self.end(uid, 143)
        return Verdict(uid=uid, verdict="accepted")

    async def update_inputs(self, caller: Caller, uid: str, inputs: dict[str, Any]) -> int:
        self.pod(caller, uid)
        known = self.inputs.setdefault(uid, inputs)
        self.inputs[uid] = max(known, inputs, key=lambda one: int(one["version"]))
        return int(self.inputs[uid]["version"])

    def pods(self, caller: Caller) -> tuple[list[PodView], int]:
        self.listed += 1
        return [PodView(**{**view, "pod": {}}) for view in self.views.values()], self.seq

    def pod(self, caller: Caller, uid: str) -> PodView:
        if uid not in self.views:
            raise NotFound(f"there is no pod with UID {uid}")
        return self.views[uid]

    async def events(self, caller: Caller, after: int | None) -> AsyncIterator[list[EventView]]:
        after = self.seq if after is None else after
        self.watchers += 1
        self.watched += 1
        try:
            self._check_kept(after)
            yield [EventView(seq=after, type="heartbeat")]
            while True:
                if not (fresh := [event for event in self.events_kept if event["seq"] > after]):
                    await self._wait()
                if fresh:
                    after = fresh[-1]["seq"]
                    yield fresh
        finally:
            self.watchers -= 1

    def _check_kept(self, after: int) -> None:
        if after < self.seq and (not self.events_kept or self.events_kept[0]["seq"] > after + 1):
            raise EventsGone("these events are no longer kept")

    async def logs(self, caller: Caller, uid: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.logs_asked.append(options)
        if container == "endless":
            while True:
                self.produced += 1
                yield CHUNK
        if self.views[uid].get("status", {}).get("phase") == "Pending":
            raise Invalid("", f"container {container} has not started yet")
        since = options.get("since") or 0.0
        sent, lines = 0, self.lines.setdefault((uid, container), [])
        while True:
            while sent < len(lines):
                at, line = lines[sent]
                sent += 1
                stamp = f"2026-01-01T00:00:{int(at):02}.{int(at % 1 * 1e9):09}Z ".encode()
                if at >= since % 60:
                    yield (stamp if options.get("timestamps") else b"") + line
            if not options.get("follow") or self.views[uid].get("ended"):
                return
            await self._wait()

    async def exec(self, caller: Caller, uid: str, container: str, options: ExecOptions) -> Stream:
        self.pod(caller, uid)
        stream, remote = await self._connect()
        self._background(self._command(options, remote))
        return stream

    def claims(self, caller: Caller) -> list[ClaimView]:
        return self.claims_kept

    async def delete_claim(self, caller: Caller, namespace: str, name: str, owner: str | None) -> ClaimView:
        found = next((one for one in self.claims_kept if (one["namespace"], one["name"]) == (namespace, name)), None)
        if found is None:
            raise NotFound(f"there is no claim {namespace}/{name}")
        self.claims_kept.remove(found)
        return {**found, "owner": owner or found["owner"], "deleting": True}

    async def attach(self, caller: Caller, uid: str, container: str, options: AttachOptions) -> Stream:
        return await self.exec(caller, uid, container, ExecOptions(command=["cat"]))

    async def port(self, caller: Caller, uid: str, port: int) -> Stream:
        return await self.exec(caller, uid, "main", ExecOptions(command=["cat"]))

    async def stats(self, caller: Caller) -> StatsView:
        return StatsView(pods=[], missing=[])

    def site(self, caller: Caller) -> SiteView:
        view = SiteView(
            name="lab",
            version="1",
            provider="fake",
            healthy=True,
            draining=self.draining,
            offers=[
                {
                    "name": "gpu",
                    "partition": "gpu",
                    "cores": 8,
                    "memory": 64 << 30,
                    "nodes": 2,
                    "gpus": [{"vendor": "nvidia.com", "model": "a100", "count": 4}],
                    "max_walltime": 7200,
                }
            ],
            pods={"Running": 2},
        )
        return {**view, **self.doing}

    async def drain(self, caller: Caller, drain: bool) -> SiteView:
        self.draining = drain
        return self.site(caller)

    async def stop(self, caller: Caller) -> int:
        return len(self.views)

    def metrics(self) -> str:
        return ""

    def ready(self) -> str | None:
        return None

    # ---- inside --------------------------------------------------------------------------------------------------

    def _tell(self, event: EventView) -> None:
        self.seq += 1
        self.events_kept.append(EventView(**{**event, "seq": self.seq}))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self) -> None:
        await self._changed.wait()

    def _background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[Stream, Stream]:
        """Two ends of a stream over two real links, as between gateway and runner."""
        links = [Link(*await asyncio.open_connection(sock=end)) for end in socket.socketpair()]
        for link in links:
            self._background(link.run(_ignore))
        here, there = (link.accept(1) for link in links)
        return here, there

    async def _command(self, options: ExecOptions, remote: Stream) -> None:
        name, *arguments = options["command"]
        if name == "cat":
            while isinstance(item := await remote.receive(), Data):
                await remote.send(Channel.STDOUT, item.data)
            await remote.close(exit_code=0)
        elif name == "exit":
            await remote.send(Channel.STDERR, b"leaving\n")
            await remote.close(exit_code=int(arguments[0]))
        elif name == "sizes":
            await remote.send(Channel.STDOUT, f"{options.get('rows')}x{options.get('cols')}\r\n".encode())
            while not isinstance(item := await remote.receive(), Data) and item is not None:
                await remote.send(Channel.STDOUT, f"{item['rows']}x{item['cols']}\r\n".encode())
            await remote.close(exit_code=0)
        elif name == "deaf":  # never reads its input
            while True:
                await remote.send(Channel.STDOUT, b"tick")
                await asyncio.sleep(0.01)
        else:
            await remote.close(error=f"{name}: no such file")

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _ignore(message: dict[str, Any]) -> None:
    """These links carry streams only."""


class Gateway:
    """Serves one FakeSite; `stop` and `start` are a restart."""

    def __init__(self, portal: BlockingPortal, directory: Path, tls: bool = False) -> None:
        self._portal = portal
        self._directory = directory
        self._listen: UnixSocket | HostPort = UnixSocket(directory / "run" / "g.sock")
        self._certificate = ensure_certificate(directory, ["localhost"]) if tls else None
        if tls:
            self._listen = HostPort("127.0.0.1", 0)
        self._server: Server | None = None
        self.state = portal.call(FakeSite)

    def do(self, act: Callable[[FakeSite], T]) -> T:
        """In the server's loop."""
        return self._portal.call(act, self.state)

    def start(self) -> None:
        async def inside() -> Server:
            context = server_context(self._certificate) if self._certificate else None
            return await serve(create_app(self.state, Authenticator()), self._listen, context)

        self._server = self._portal.call(inside)

    def stop(self) -> None:
        assert self._server is not None
        self._portal.call(self._server.stop)
        self._server = None

    def close(self) -> None:
        if self._server is not None:
            self.stop()
        self._portal.call(self.state.close)

    @property
    def address(self) -> str:
        assert self._server is not None
        return self._server.address.replace("127.0.0.1", "localhost")

    @property
    def fingerprint(self) -> str:
        assert self._certificate is not None
        return self._certificate.fingerprint

    @property
    def ca_file(self) -> Path:
        assert self._certificate is not None
        path = self._directory / "ca.pem"
        path.write_text(self._certificate.pem)
        return path

    def token(self, name: str = "alice") -> Path:
        path = self._directory / f"{name}.token"
        path.touch(0o600)
        path.write_text(name + "\n")
        return path

    def site(self) -> Site:
        return Site("lab", self.address, token_file=self.token())


@contextmanager
def running(directory: Path, tls: bool = False) -> Iterator[Gateway]:
    with start_blocking_portal() as portal:
        gateway = Gateway(portal, directory, tls)
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.close()


def pod(name: str = "one", **metadata: Any) -> dict[str, Any]:
    """The smallest v1.Pod."""
    container = {"name": "main", "image": "busybox", "command": ["true"]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}
