"""Events of the caller's pods, resumed after a lost connection. Nobody who watches need know that it was lost."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from farnode.client.patience import Patience, Trial
from farnode.client.transport import Gone, Transport
from farnode.errors import Transient
from farnode.model.api import EventView, PodView

_SILENCE = 50.0
"""Seconds; three times the gateway's heartbeat and some. Longer means a dead link."""
_LINE_LIMIT = 64 << 20


class Listing(NamedTuple):
    """Every pod as it is now, and the sequence number to watch from."""

    pods: Sequence[PodView]
    seq: int


async def listing(transport: Transport, patience: Patience) -> Listing:
    """All pods of the caller."""
    answer = await patience.keep_trying(lambda: transport.call("GET", "/v1/pods"))
    return Listing(answer["pods"], answer["seq"])


async def watch(transport: Transport, patience: Patience, after: int | None) -> AsyncGenerator[EventView, None]:
    """As `follow`, but lists come as one event for each pod; those seen before and missing from a list are `gone`."""
    known: set[str] = set()
    async with aclosing(follow(transport, patience, after)) as news:
        async for one in news:
            for event in _as_events(one, known) if isinstance(one, Listing) else (one,):
                (known.discard if event["type"] == "gone" else known.add)(event["uid"])
                yield event


async def follow(
    transport: Transport, patience: Patience, after: int | None
) -> AsyncGenerator[Listing | EventView, None]:
    """Endless. Without `after`, and when the gateway no longer keeps what came after it: first a list, then what
    changes. No heartbeats. Transient when the gateway stays away longer than `patience`."""
    trial = Trial(patience)
    while True:
        if after is None:
            found = await listing(transport, patience)
            after = found.seq
            yield found
        try:
            async with aclosing(_events(transport, after)) as events:
                async for event in events:
                    trial.succeeded()
                    after = event["seq"]
                    if event["type"] != "heartbeat":
                        yield event
        except Gone:
            after = None
        except Transient as error:
            await trial.pause(error)


def _as_events(found: Listing, known: set[str]) -> list[EventView]:
    gone = sorted(known - {view["uid"] for view in found.pods})
    return [
        *(EventView(seq=found.seq, type="gone", uid=uid) for uid in gone),
        *(EventView(seq=found.seq, type="pod", uid=view["uid"], pod=view) for view in found.pods),
    ]


async def _events(transport: Transport, after: int) -> AsyncGenerator[EventView, None]:
    """One connection's worth; it ends in Transient, for events have no end."""
    async with transport.stream(f"/v1/events?after={after}", _SILENCE) as chunks, aclosing(_lines(chunks)) as lines:
        async for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                raise Transient("the gateway sent noise among its events") from None
    raise Transient("the gateway ended the events")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LINE_LIMIT:
            raise Transient("the gateway sent an event without end")
        for line in lines:
            if line.strip():
                yield line
