"""The site of one virtual node: what is asked of its gateway in batches, and whether it can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from farnode.client.aio import AsyncClient
from farnode.errors import FarnodeError
from farnode.model.api import SiteView, Verdict
from farnode.node.batch import Batch

Json = dict[str, Any]
LOOK_EVERY = 10.0
"""Seconds between two looks at what the site offers."""
_AT_ONCE = 500
"""Pods of one request."""


class _End(NamedTuple):
    uid: str
    grace: int | None
    purge: bool


class SiteLink:
    """`client` is entered as long as this is used. Everything is one try or few: who asks repeats it. `check` raises
    an error while nothing may be offered: another process may have done so already, and seen it end. `visitors` is
    another client for who comes by the kubelet API: one has so many connections, and each followed log holds one."""

    def __init__(
        self, client: AsyncClient, check: Callable[[], None] = lambda: None, visitors: AsyncClient | None = None
    ) -> None:
        self.client = client
        self.visitors = visitors or client
        self._check = check
        self._offers: Batch[Json, Verdict] = Batch(self._offer, _AT_ONCE)
        self._ends: Batch[_End, Verdict] = Batch(self._delete, _AT_ONCE)

    async def offer(self, bundle: Json) -> Verdict:
        """Durably at the site when this returns, or refused."""
        return await self._offers.ask(bundle)

    async def end(self, uid: str, grace: int | None, purge: bool) -> Verdict:
        return await self._ends.ask(_End(uid, grace, purge))

    async def look(self) -> tuple[SiteView | None, str]:
        """What the site is now; None, and why, where it cannot be reached."""
        try:
            async with asyncio.timeout(LOOK_EVERY):
                return await self.client.site(), ""
        except FarnodeError as error:
            return None, str(error)
        except TimeoutError:
            return None, "the gateway does not answer"

    async def _offer(self, bundles: Sequence[Json]) -> Sequence[Verdict]:
        self._check()
        return await self.client.offer(bundles)

    async def _delete(self, asked: Sequence[_End]) -> Sequence[Verdict]:
        """One request for each way in which pods are to end: most are alike."""
        verdicts: dict[str, Verdict] = {}
        for grace, purge in dict.fromkeys((end.grace, end.purge) for end in asked):
            uids = [end.uid for end in asked if (end.grace, end.purge) == (grace, purge)]
            for verdict in await self.client.delete(uids, grace=grace, purge=purge):
                verdicts[verdict["uid"]] = verdict
        return [verdicts[end.uid] for end in asked]
