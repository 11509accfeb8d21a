"""The gateway as its API sees it: every call scoped to its caller, every answer after what it says is durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Literal

from farnode.errors import Denied, Invalid, NotFound, Permanent, Transient
from farnode.gateway import logs, stats
from farnode.gateway import stimuli as s
from farnode.gateway.dispatcher import Dispatcher
from farnode.gateway.engine import Engine
from farnode.gateway.inputs import check_change, check_files
from farnode.gateway.planner import Planner
from farnode.gateway.port import Caller
from farnode.gateway.records import ClaimKey, PodRecord, Stage
from farnode.gateway.runners import Runners
from farnode.gateway.site import Activity
from farnode.gateway.spool import Spool
from farnode.gateway.storage import Keeper
from farnode.gateway.store import dump
from farnode.gateway.views import claim_view, counts, offer_view, pod_details, pod_view
from farnode.model.api import ClaimView, Deletion, EventView, PodView, SiteView, StatsView, Verdict
from farnode.model.bundle import Bundle, parse_bundle
from farnode.model.demand import Demand
from farnode.scheduler.placement import Unfit, place
from farnode.wire.link import LOST, Data, Stream
from farnode.wire.messages import AttachOptions, ExecOptions, LogOptions, PortOptions

HEARTBEAT = 15.0
"""Seconds between signs of life on a silent event stream."""
PORTION = 256
"""Changes made into one piece of an event stream: a watcher may have missed tens of thousands."""
_WANTS = {
    "exec": "unable to run a command",
    "attach": "unable to attach",
    "port": "unable to forward port",
}
STORE_TIMEOUT = 20.0
"""Seconds a call waits for the database before it says "try again"; what it asked for may yet happen."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gateway is, for views and verdicts."""

    site: str
    provider: str
    runtimes: tuple[str, ...]
    pods_per_owner: int
    bundle_bytes: int


class Gateway:
    """`gateway.port.Service`, over an engine and its helpers."""

    def __init__(
        self,
        facts: Facts,
        engine: Engine,
        planner: Planner,
        dispatcher: Dispatcher,
        runners: Runners,
        spool: Spool,
        storage: Keeper,
        activity: Activity,
    ) -> None:
        self._facts = facts
        self._engine = engine
        self._machine = engine.machine
        self._planner = planner
        self._dispatcher = dispatcher
        self._runners = runners
        self._spool = spool
        self._storage = storage
        self._activity = activity

    # ---- pods ----------------------------------------------------------------------------------------------------

    async def submit(self, caller: Caller, bundles: Sequence[Any]) -> list[Verdict]:
        if self._planner.draining:
            raise Transient(f"site {self._facts.site} is being drained and takes no new pods", retry_after=60)
        coming: Counter[str] = Counter()
        verdicts: list[Verdict] = []
        stimuli: list[s.Stimulus] = []
        seen: set[str] = set()
        admit = cache(self._admit)
        for document in bundles:
            try:
                bundle = parse_bundle(document)
                owner = caller.owns(bundle.pod.namespace)
                if bundle.pod.uid in self._machine.pods or bundle.pod.uid in seen:
                    verdicts.append(self._existing(owner, bundle))
                    continue
                self._check_size(bundle)
                runtime = admit(bundle.demand)
                self._storage.check(owner, bundle)
                self._check_room(owner, coming[owner])
            except Invalid as error:
                verdicts.append(_invalid(document, error))
                continue
            seen.add(bundle.pod.uid)
            coming[owner] += 1
            stimuli.append(s.Submitted(self._engine.clock(), owner, bundle, runtime))
            verdicts.append({"uid": bundle.pod.uid, "verdict": "accepted"})
        await self._durable(*stimuli)
        return verdicts

    def _check_size(self, bundle: Bundle) -> None:
        try:
            size = len(dump(bundle.document))
        except TypeError as error:
            raise Invalid("", f"cannot be stored: {error}") from error
        if size > self._facts.bundle_bytes:
            raise Invalid("", f"the pod with its inputs is {size} bytes; the site takes {self._facts.bundle_bytes}")

    def _check_room(self, owner: str, coming: int) -> None:
        limit = self._facts.pods_per_owner
        if self._machine.live[owner] + coming >= limit:
            raise _Full("", f"{owner} has {limit} pods that have not ended, which is the site's limit")

    def _existing(self, owner: str, bundle: Bundle) -> Verdict:
        known = self._machine.pods.get(bundle.pod.uid)
        if known is not None and known.owner != owner:
            raise Invalid("metadata.uid", "is the UID of another owner's pod")
        return {"uid": bundle.pod.uid, "verdict": "exists"}

    def _admit(self, needs: Demand) -> str:
        """The runtime the pod will use; Invalid when this site can never run it."""
        allowed = self._facts.runtimes
        if needs.runtime is not None and needs.runtime not in allowed:
            problem = f"{needs.runtime} is not offered by site {self._facts.site}; accepted: {', '.join(allowed)}"
            raise Invalid("metadata.annotations[farnode.io/runtime]", problem)
        containers = [runtime for runtime in allowed if runtime != "process"]
        if needs.runtime is None and not containers:
            raise Invalid(
                "spec.containers[0].image",
                f"site {self._facts.site} has no container runtime; "
                "the annotation farnode.io/runtime: process runs the command without its image",
            )
        if self._dispatcher.offers:
            placement = place(replace(needs, nodes=1), self._dispatcher.offers)  # more nodes may be up later
            if isinstance(placement, Unfit):
                raise Invalid("spec", f"fits nowhere at site {self._facts.site}: {placement.words}")
        return needs.runtime or containers[0]

    async def _durable(self, *stimuli: s.Stimulus) -> None:
        if self._engine.problem:
            raise Transient(f"{self._engine.problem}; try again", retry_after=5)
        try:
            await asyncio.wait_for(self._engine.ask(*stimuli), STORE_TIMEOUT)
        except TimeoutError as error:
            words = self._engine.problem or "the gateway is too busy"
            raise Transient(f"{words}; try again", retry_after=5) from error

    async def delete(self, caller: Caller, deletions: Sequence[Deletion]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        stimuli: list[s.Stimulus] = []
        for deletion in deletions:
            uid = deletion["uid"]
            known = uid in self._machine.pods and caller.sees(self._machine.pods[uid].owner)
            verdicts.append({"uid": uid, "verdict": "accepted" if known else "unknown"})
            if known:
                grace, purge = deletion.get("graceSeconds"), deletion.get("purge", False)
                stimuli.append(s.DeleteAsked(self._engine.clock(), uid, grace, purge))
        await self._durable(*stimuli)
        return verdicts

    async def update_inputs(self, caller: Caller, uid: str, inputs: dict[str, Any]) -> int:
        known = self._pod(caller, uid).inputs
        version = inputs.get("version")
        if not isinstance(version, int):
            raise Invalid("version", f"{version!r} is not a whole number")
        if version > known:
            newer = {key: value for key, value in inputs.items() if key != "version"}
            document = self._machine.bundles[uid].document
            updated = parse_bundle({**document, **newer, "pod": document["pod"]})
            check_change(self._machine.bundles[uid], updated)
            self._check_size(updated)
            check_files(updated)
            await self._durable(s.InputsUpdated(self._engine.clock(), uid, version, updated))
        return max(version, known)

    def pods(self, caller: Caller) -> tuple[list[PodView], int]:
        pods = [self._view(pod) for pod in self._machine.pods.values() if caller.sees(pod.owner)]
        return pods, self._engine.seq

    def pod(self, caller: Caller, uid: str) -> PodView:
        pod = self._pod(caller, uid)
        view = pod_details(self._view(pod), pod, self._machine.bundles[uid], self._machine.demands[uid])
        if (line := self._activity.line(uid)) is not None:
            view["waiting"] = line
        return view

    def _view(self, pod: PodRecord) -> PodView:
        return pod_view(pod, self._machine.bundles[pod.uid], self._machine.allocations.get(pod.nonce or ""))

    def _pod(self, caller: Caller, uid: str) -> PodRecord:
        pod = self._machine.pods.get(uid)
        if pod is None or not caller.sees(pod.owner):
            raise NotFound(f"there is no pod with UID {uid}")
        return pod

    async def events(self, caller: Caller, after: int | None) -> AsyncIterator[list[EventView]]:
        loop = asyncio.get_running_loop()
        quiet = loop.time()
        async for changes in self._engine.watch(after, HEARTBEAT):
            seen = False
            for begin in range(0, len(changes), PORTION):
                views = [view for change in changes[begin : begin + PORTION] if (view := self._event(caller, *change))]
                if views:
                    seen = True
                    yield views
            if not seen and loop.time() >= quiet:  # others' pods may keep the engine busy without a word to this one
                yield [{"seq": changes[-1][0] if changes else self._engine.seq, "type": "heartbeat"}]
                seen = True
            if seen:
                quiet = loop.time() + HEARTBEAT / 2

    def _event(self, caller: Caller, seq: int, uid: str, owner: str | None) -> EventView | None:
        """A change as the caller may see it. `owner`: of a pod that is gone."""
        pod = self._machine.pods.get(uid)
        if owner is not None:
            return {"seq": seq, "type": "gone", "uid": uid} if caller.sees(owner) else None
        if pod is None or not caller.sees(pod.owner):
            return None
        return {"seq": seq, "type": "pod", "uid": uid, "pod": self._view(pod)}

    # ---- logs and streams----------------------------------------------------------------------------------------

    async def logs(self, caller: Caller, uid: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        pod = self._pod(caller, uid)
        self._check_container(pod, container)
        live = pod.stage is Stage.BOUND and not pod.cut
        source = self._live_logs if live else partial(logs.read, self._spool)
        async with aclosing(source(pod, container, options)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _live_logs(self, pod: PodRecord, container: str, options: LogOptions) -> AsyncGenerator[bytes]:
        stream = await self._runners.open(
            pod.nonce, kind="logs", uid=pod.uid, attempt=pod.attempt, container=container, options=dict(options)
        )
        try:
            while (item := await stream.receive()) is not None:
                if isinstance(item, Data):
                    yield item.data
            if error := stream.result.get("error"):
                raise Transient(error, retry_after=1) if error == LOST else Invalid("", error)
        finally:
            await _quietly(stream)

    async def exec(self, caller: Caller, uid: str, container: str, options: ExecOptions) -> Stream:
        return await self._open(caller, uid, "exec", container, options)

    async def attach(self, caller: Caller, uid: str, container: str, options: AttachOptions) -> Stream:
        return await self._open(caller, uid, "attach", container, options)

    async def port(self, caller: Caller, uid: str, port: int) -> Stream:
        return await self._open(caller, uid, "port", "", PortOptions(port=port))

    async def _open(self, caller: Caller, uid: str, kind: str, container: str, options: Mapping[str, Any]) -> Stream:
        pod = self._pod(caller, uid)
        if container:
            self._check_container(pod, container)
        if pod.stage is not Stage.BOUND:
            phase = pod.status.get("phase", "Pending")
            raise Invalid("", f"{_WANTS[kind]} because pod {uid} is not running. Current status={phase}")
        return await self._runners.open(
            pod.nonce, kind=kind, uid=uid, attempt=pod.attempt, container=container, options=dict(options)
        )

    def _check_container(self, pod: PodRecord, container: str) -> None:
        names = [item.name for item in self._machine.bundles[pod.uid].pod.all_containers]
        if container not in names:
            raise NotFound(f"container {container!r} is not one of: {', '.join(names)}")

    # ---- claims --------------------------------------------------------------------------------------------------

    def claims(self, caller: Caller) -> list[ClaimView]:
        mine = [claim for claim in self._machine.claims.values() if caller.sees(claim.owner)]
        users = self._machine.claims_in_use()
        return [claim_view(claim, users[claim.key]) for claim in sorted(mine, key=lambda claim: claim.key)]

    async def delete_claim(self, caller: Caller, namespace: str, name: str, owner: str | None) -> ClaimView:
        key = ClaimKey(owner or caller.owns(namespace), namespace, name)
        known = self._machine.claims.get(key)
        if known is None or not caller.sees(key.owner):
            raise NotFound(f"there is no claim {namespace}/{name}")
        await self._durable(s.ClaimDeleteAsked(key))
        claim = self._machine.claims.get(key)
        if claim is not None and not claim.deleting:
            users = {self._machine.bundles[pod.uid].pod.name for pod in self._machine.claim_users(key)}
            words = f"is in use by {', '.join(sorted(users))}: delete the pods first"
            raise Permanent(f"the claim {namespace}/{name} {words}")
        return claim_view(replace(known, deleting=True), ())

    async def stats(self, caller: Caller) -> StatsView:
        pods = [pod for pod in self._machine.pods.values() if pod.stage is Stage.BOUND and caller.sees(pod.owner)]
        return await stats.ask(pods, self._machine.bundles, self._runners)

    # ---- site ----------------------------------------------------------------------------------------------------

    def site(self, caller: Caller) -> SiteView:
        at, activity, problem = self._engine.clock(), self._activity, self.ready()
        view = SiteView(
            name=self._facts.site,
            version=version("farnode"),
            time=at,
            provider=self._facts.provider,
            draining=self._planner.draining,
            healthy=problem is None,
            runtimes=list(self._facts.runtimes),
            offers=[offer_view(offer) for offer in self._dispatcher.offers],
            allocations=activity.allocations(caller, at),
            pods=counts(pod for pod in self._machine.pods.values() if caller.sees(pod.owner)),
            waiting=activity.waiting(caller),
            nodeHours=activity.node_hours(caller, at),
        )
        if (calls := activity.batch_calls()) is not None:
            view["calls"] = calls
        if problem is not None:
            view["problem"] = problem
        return view

    async def drain(self, caller: Caller, drain: bool) -> SiteView:
        _must_be_admin(caller)
        self._planner.draining = drain
        self._engine.set("draining", "yes" if drain else "")
        await self._durable(s.Tick(self._engine.clock()))
        return self.site(caller)

    async def stop(self, caller: Caller) -> int:
        _must_be_admin(caller)
        await self.drain(caller, True)
        pods = sum(pod.stage is not Stage.ENDED for pod in self._machine.pods.values())
        await self._durable(s.StopAll(self._engine.clock()))
        return pods

    def metrics(self) -> str:
        return self._activity.metrics(len(self._runners.connected), self.ready() is None, self._engine.clock())

    def ready(self) -> str | None:
        return self._engine.problem or self._dispatcher.problem


class _Full(Invalid):
    """It could run here, were there not so many already."""


def _invalid(document: Any, error: Invalid) -> Verdict:
    uid: Any = document
    for key in ("pod", "metadata", "uid"):
        uid = uid.get(key) if isinstance(uid, dict) else None
    known = uid if isinstance(uid, str) else ""
    verdict: Literal["full", "invalid"] = "full" if isinstance(error, _Full) else "invalid"
    return {"uid": known, "verdict": verdict, "field": error.field, "message": error.problem}


def _must_be_admin(caller: Caller) -> None:
    if not caller.admin:
        raise Denied("only the site's administrator may do this: use a token of role admin")


async def _quietly(stream: Stream) -> None:
    with suppress(OSError):  # the connection is gone, and the stream with it
        await stream.close()
