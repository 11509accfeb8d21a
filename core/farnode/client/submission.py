"""Handing pods over: all of a call or none of it (`submit`), or each for itself (`offer`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from farnode.client import intake
from farnode.client.intake import Document
from farnode.client.patience import Patience
from farnode.client.transport import Defect, TooLarge, Transport
from farnode.errors import Invalid
from farnode.model.api import Deletion, Verdict


async def submit(transport: Transport, patience: Patience, documents: Sequence[Document]) -> list[Verdict]:
    """The gateway's verdicts, none of them "invalid" or "full": that is raised, after what was accepted with it is
    withdrawn, so that a corrected batch can be sent without running a pod twice."""
    verdicts: list[Verdict] = []
    for batch in intake.batches(documents):
        answer = await patience.keep_trying(partial(transport.call, "POST", "/v1/pods", {"bundles": batch}))
        verdicts += answer["verdicts"]
        if invalid := [verdict for verdict in verdicts if verdict["verdict"] in ("invalid", "full")]:
            await withdraw(transport, patience, [verdict for verdict in verdicts if verdict["verdict"] == "accepted"])
            raise _refusal(invalid, documents)
    return verdicts


async def offer(transport: Transport, patience: Patience, documents: Sequence[Document]) -> list[Verdict]:
    """The gateway's verdicts, one for each. Where it refuses a request as a whole, what it refuses is found by halves
    and is "invalid" alone; "unknown" is what it failed at, which says nothing against the pod."""
    verdicts: list[Verdict] = []
    for batch in intake.batches(documents):
        verdicts += await _offer(transport, patience, batch)
    return verdicts


async def _offer(transport: Transport, patience: Patience, batch: Sequence[Document]) -> list[Verdict]:
    try:
        answer = await patience.keep_trying(partial(transport.call, "POST", "/v1/pods", {"bundles": batch}))
    except (Invalid, TooLarge, Defect) as error:
        if len(batch) == 1:
            return [_judgement(batch[0]["pod"]["metadata"]["uid"], error)]
        half = len(batch) // 2
        parts = batch[:half], batch[half:]
        return [verdict for part in parts for verdict in await _offer(transport, patience, part)]
    verdicts: list[Verdict] = answer["verdicts"]
    return verdicts


def _judgement(uid: str, error: Invalid | TooLarge | Defect) -> Verdict:
    if isinstance(error, Invalid):
        return Verdict(uid=uid, verdict="invalid", field=error.field, message=error.problem)
    return Verdict(uid=uid, verdict="unknown" if isinstance(error, Defect) else "invalid", message=str(error))


async def withdraw(transport: Transport, patience: Patience, accepted: Sequence[Verdict]) -> None:
    """As if they had never been handed over."""
    if accepted:
        deletions = [Deletion(uid=verdict["uid"], graceSeconds=0, purge=True) for verdict in accepted]
        await patience.keep_trying(lambda: transport.call("POST", "/v1/pods/delete", {"pods": deletions}))


def _refusal(invalid: Sequence[Verdict], documents: Sequence[Document]) -> Invalid:
    first = invalid[0]
    words = first.get("message", "was refused")
    if len(documents) > 1:
        name = next((_name(item) for item in documents if item["pod"]["metadata"]["uid"] == first["uid"]), first["uid"])
        others = f", as are {len(invalid) - 1} more" if len(invalid) > 1 else ""
        words = f"{words} (of pod {name}, which is refused{others}; none of the {len(documents)} pods was left there)"
    return Invalid(first.get("field", ""), words)


def _name(document: Document) -> str:
    metadata = document["pod"]["metadata"]
    return f"{metadata.get('namespace', 'default')}/{metadata['name']}"
