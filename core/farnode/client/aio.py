"""AsyncClient: pods to one gateway and back."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import anyio
from anyio.abc import TaskGroup

from farnode.client import config, copying, following, forwarding, intake, names, submission, watching
from farnode.client.dial import Dial, dialler
from farnode.client.execution import AttachRequest, ExecRequest, ExecSession
from farnode.client.following import LogQuery
from farnode.client.intake import PodInput
from farnode.client.patience import Patience
from farnode.client.pod import Pod
from farnode.client.site import Site
from farnode.client.transport import Transport
from farnode.client.waits import Outcome, Waits
from farnode.errors import FarnodeError, Invalid, NotFound
from farnode.model.api import ClaimView, Deletion, EventView, SiteView, StatsView, Verdict

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DELETIONS = 1000
"""Pods of one request."""
_log = logging.getLogger(__name__)


class AsyncClient:
    """To be entered with `async with`. `site` is a configured site's name, None the default one, or a Site; `dial`
    replaces how it is reached. Every call is repeated while the gateway is away, up to `patience` seconds, and raises
    Unreachable or Transient then; that never doubles a pod, for pods are known by their uid. Where a pod is wanted, its
    uid or a Pod is taken; `pod` finds one by name."""

    def __init__(
        self, site: Site | str | None = None, *, dial: Dial | None = None, patience: float | Patience = 120.0
    ) -> None:
        chosen = site if isinstance(site, Site) else config.load().choose(site)
        self._patience = patience if isinstance(patience, Patience) else Patience(patience)
        self._transport = Transport(dial or dialler(chosen), chosen.token)
        self._tasks: TaskGroup | None = None
        self._shared: Waits | None = None

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._shared = Waits(self._tasks, self.watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)  # the caller's own error stays as it is, in no group
        with anyio.CancelScope(shield=True):
            await self._transport.aclose()

    async def submit(self, pods: PodInput | Iterable[PodInput]) -> list[Pod]:
        """Hands pods over; when this returns, the gateway holds all of them durably. Invalid names the field of the
        first that cannot run here; what was accepted together with it is withdrawn again."""
        found = intake.read(pods)
        await self._submit(found)
        return [intake.as_submitted(document) for document in found]

    async def offer(self, bundles: Sequence[intake.Document]) -> list[Verdict]:
        """Hands bundle documents over, each pod for itself: the gateway's verdict of each, in their order; nothing is
        withdrawn because another one is refused. What is "accepted" is durable; "unknown" is what the gateway failed
        at, which says nothing against the pod."""
        return await submission.offer(self._transport, self._patience, bundles)

    async def update_inputs(self, pod: Pod | str, version: int, inputs: Mapping[str, Any]) -> int:
        """Gives a pod other ConfigMaps, Secrets, tokens …, the parts of a bundle but the pod; parts that are not given
        stay. The newest version it has now: an older one than that changes nothing."""
        body = {**inputs, "version": version}
        return int((await self._call("PUT", f"/v1/pods/{_quoted(pod)}/inputs", body))["version"])

    async def pods(self) -> list[Pod]:
        """All pods of the caller at this site, without their manifests."""
        views, _ = await watching.listing(self._transport, self._patience)
        return [Pod(view) for view in views]

    async def pod(self, wanted: Pod | str, namespace: str | None = None) -> Pod:
        """One pod as it is now, by uid, the unique beginning of a uid, name, or namespace/name; else NotFound."""
        if isinstance(wanted, str) and not _UUID.fullmatch(wanted):
            wanted = names.find(await self.pods(), wanted, namespace)
        return Pod(await self._call("GET", f"/v1/pods/{_quoted(wanted)}"))

    def watch(self, after: int | None = None) -> AsyncGenerator[EventView, None]:
        """What changes, without end, through lost connections. Without `after`, and when the gateway no longer keeps
        what came after it: first every pod as it is now (pods seen before and gone since are `gone`)."""
        return watching.watch(self._transport, self._patience, after)

    def follow(self, after: int | None = None) -> AsyncGenerator[watching.Listing | EventView, None]:
        """As `watch`, for whoever must know when a list is whole: it comes as one."""
        return watching.follow(self._transport, self._patience, after)

    async def wait(self, pod: Pod | str) -> Pod:
        """The pod when it has ended; NotFound when there is none or it was removed meanwhile."""
        uid = _uid(pod)
        with self._waits().outcomes([uid]) as outcomes:
            now = await self.pod(uid)
            return now if now.ended else _unwrap(await outcomes.receive())

    async def as_ended(self, pods: Iterable[Pod | str]) -> AsyncGenerator[Pod, None]:
        """Each of them once, in the order they end; one list for all of them instead of one request each, and none
        where this client has been listening since it handed them over."""
        missing = dict.fromkeys(_uid(pod) for pod in pods)
        unheard = [uid for uid in missing if not self._waits().expects(uid)]
        with self._waits().outcomes(list(missing)) as outcomes:
            present = {pod.uid: pod for pod in await self.pods()} if unheard else {}
            for uid in unheard:
                if uid not in present or present[uid].ended:
                    self._waits().tell(uid, present.get(uid) or NotFound(f"no pod {uid}"))
            for _ in missing:
                yield _unwrap(await outcomes.receive())

    async def run(self, pod: PodInput) -> Pod:
        """Submits one pod and waits for its end."""
        found = intake.read(pod)
        if len(found) != 1:
            raise Invalid("pod", f"run takes one pod, not {len(found)}: submit them and use as_ended")
        uid = found[0]["pod"]["metadata"]["uid"]
        with self._waits().outcomes([uid]) as outcomes:
            (verdict,) = await submission.submit(self._transport, self._patience, found)
            if verdict["verdict"] == "exists" and (now := await self.pod(uid)).ended:
                return now
            return _unwrap(await outcomes.receive())

    async def logs(
        self,
        pod: Pod | str,
        container: str | None = None,
        *,
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        tail: int | None = None,
        since: float | None = None,
        since_time: str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """What a container wrote (None: the default one), never read ahead of its consumer. `tail` in lines, `since`
        in seconds, `since_time` RFC 3339, `limit` in bytes. `follow` goes on until the container ends, through lost
        connections; that is best effort (see client/following.py)."""
        query = LogQuery(follow, previous, timestamps, tail, since, since_time, limit)
        name = container or await self._default_container(pod)
        async with aclosing(following.read(self._transport, self._patience, _uid(pod), name, query)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def exec(
        self,
        pod: Pod | str,
        command: Sequence[str],
        container: str | None = None,
        *,
        stdin: bool = False,
        tty: bool = False,
        size: tuple[int, int] | None = None,
    ) -> ExecSession:
        """A command in a running container, to be entered with `async with`; `size` is rows and columns."""
        name = container or await self._default_container(pod)
        request = ExecRequest(tuple(command), stdin, tty, size)
        return ExecSession(self._transport, request.path(_uid(pod), name))

    async def attach(
        self,
        pod: Pod | str,
        container: str | None = None,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        size: tuple[int, int] | None = None,
    ) -> ExecSession:
        """A container's main process, to be entered with `async with`: what it puts out from then on, and input for it
        where the container has `stdin`. Leaving it does not end the process."""
        name = container or await self._default_container(pod)
        request = AttachRequest(stdin, stdout, stderr, size)
        return ExecSession(self._transport, request.path(_uid(pod), name))

    async def forward(self, pod: Pod | str, port: int) -> forwarding.PortStream:
        """One connection to a port at which a process of the pod listens; to be closed by the caller."""
        return await forwarding.connect(self._transport, _uid(pod), port)

    @asynccontextmanager
    async def port_forward(
        self, pod: Pod | str, ports: Mapping[int, int], *, address: str = "127.0.0.1"
    ) -> AsyncIterator[Mapping[int, int]]:
        """While it is entered, local ports lead to the pod's: `{8080: 80}`, 0 for any free one. Gives the local port
        of each remote one. What fails of single connections is logged."""
        connect = partial(self.forward, _uid(pod))
        async with forwarding.opened(ports.items(), [address], connect, _log.warning) as doors:
            yield forwarding.by_remote(doors)

    async def copy_to(
        self, pod: Pod | str, source: Path | str, target: str, container: str | None = None, *, preserve: bool = True
    ) -> list[str]:
        """A local file or directory to `target` in the container, or into it where that is a directory. `preserve`
        keeps modes. Gives what was left out, in words. Needs tar in the container (else Permanent)."""
        begin = partial(self._tool, pod, container or await self._default_container(pod))
        return await copying.upload(begin, Path(source), target, preserve)

    async def copy_from(
        self, pod: Pod | str, source: str, target: Path | str, container: str | None = None
    ) -> list[str]:
        """A file of the container to `target`, or into it where that is a directory; of a directory the content goes
        into `target`. Nothing is written anywhere else. Gives what was left out, in words. Needs tar there."""
        begin = partial(self._tool, pod, container or await self._default_container(pod))
        return await copying.download(begin, source, Path(target), str(target).endswith("/"))

    async def _submit(self, found: Sequence[intake.Document]) -> list[Verdict]:
        """Whoever listens already is to hear their ends, even those that come before the gateway's answer."""
        uids = [document["pod"]["metadata"]["uid"] for document in found]
        waits = self._shared
        if waits is None:
            return await submission.submit(self._transport, self._patience, found)
        waits.expect(uids)
        try:
            verdicts = await submission.submit(self._transport, self._patience, found)
        except BaseException:
            waits.forget(uids)
            raise
        waits.forget(verdict["uid"] for verdict in verdicts if verdict["verdict"] != "accepted")
        return verdicts

    async def _tool(self, pod: Pod | str, container: str, command: Sequence[str]) -> ExecSession:
        return await self.exec(pod, command, container, stdin=True)

    async def delete(
        self, pods: Pod | str | Iterable[Pod | str], *, grace: int | None = None, purge: bool = False
    ) -> list[Verdict]:
        """Ends pods; the intention is durable when this returns. `grace` in seconds, None: the pod's own, 0: at once.
        `purge` also removes records and logs of pods that have ended. A pod that is not there is "unknown"."""
        uids = [_uid(pod) for pod in ([pods] if isinstance(pods, Pod | str) else pods)]
        deletions = [Deletion(uid=uid, purge=purge) for uid in uids]
        if grace is not None:
            deletions = [Deletion(uid=uid, purge=purge, graceSeconds=grace) for uid in uids]
        verdicts: list[Verdict] = []
        for first in range(0, len(deletions), _DELETIONS):
            body = {"pods": deletions[first : first + _DELETIONS]}
            verdicts += (await self._call("POST", "/v1/pods/delete", body))["verdicts"]
        return verdicts

    async def site(self) -> SiteView:
        """What the site offers, what it is doing, and its health."""
        view: SiteView = await self._call("GET", "/v1/site")
        return view

    async def stats(self) -> StatsView:
        """What pods use now; runners that do not answer within seconds are named in `missing`."""
        view: StatsView = await self._call("GET", "/v1/stats")
        return view

    async def claims(self) -> list[ClaimView]:
        """Storage that pods share and that outlives them."""
        views: list[ClaimView] = (await self._call("GET", "/v1/claims"))["claims"]
        return views

    async def delete_claim(self, name: str, namespace: str = "default", owner: str | None = None) -> ClaimView:
        """Refused (Permanent) while a pod uses it. `owner`: another one's, with a token of role admin."""
        path = f"/v1/claims/{quote(namespace, safe='')}/{quote(name, safe='')}"
        query = f"?owner={quote(owner, safe='')}" if owner else ""
        view: ClaimView = await self._call("DELETE", path + query)
        return view

    async def drain(self, drain: bool = True) -> SiteView:
        """No more pods are accepted, or again; needs a token of role admin."""
        view: SiteView = await self._call("POST", "/v1/site/drain", {"drain": drain})
        return view

    async def stop(self) -> int:
        """Ends every pod of every owner and every allocation; how many pods. Needs a token of role admin."""
        return int((await self._call("POST", "/v1/site/stop"))["pods"])

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        return await self._patience.keep_trying(lambda: self._transport.call(method, path, body))

    async def _default_container(self, pod: Pod | str) -> str:
        found = pod if isinstance(pod, Pod) and pod.manifest else await self.pod(_uid(pod))
        return found.default_container

    def _waits(self) -> Waits:
        if self._shared is None:
            raise Invalid("client", "it is used before `async with` entered it")
        return self._shared


def _uid(pod: Pod | str) -> str:
    return pod.uid if isinstance(pod, Pod) else pod


def _quoted(pod: Pod | str) -> str:
    return quote(_uid(pod), safe="")


def _unwrap(outcome: Outcome) -> Pod:
    if isinstance(outcome, FarnodeError):
        raise outcome
    return outcome
