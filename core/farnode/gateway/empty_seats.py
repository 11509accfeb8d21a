"""Empty seats: nodes of a gang's job where the script has ended though the job goes on, as the batch system sees it.

The script says so itself, by a file beside the seat's runner, when nothing of the allocation is alive there any more.
Where it cannot say anything, because its node has failed, the fence ends the wait (`Allocations`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from farnode.gateway import stimuli as s
from farnode.gateway.engine import Engine
from farnode.gateway.records import AllocationRecord, Life
from farnode.gateway.runners import Runners
from farnode.gateway.spool import Spool
from farnode.model.allocation import AllocationState, Cause, Phase

log = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at seats that should have a runner and have none: a network file system is asked."""


class EmptySeats:
    def __init__(self, engine: Engine, runners: Runners, spool: Spool) -> None:
        self._engine = engine
        self._runners = runners
        self._spool = spool

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for record in self._without_runner():
                status = await asyncio.to_thread(self._spool.status, record.nonce)
                if status is not None:
                    await self._engine.tell(self._over(record, status))

    def _without_runner(self) -> Sequence[AllocationRecord]:
        """Of jobs from which some runner has come."""
        records = [
            record
            for record in self._engine.machine.allocations.values()
            if record.request.together and record.life is not Life.ENDED and record.cause is None
        ]
        begun = {record.request.base for record in records if record.life is Life.RUNNING}
        return [
            record for record in records if record.request.base in begun and record.nonce not in self._runners.connected
        ]

    def _over(self, record: AllocationRecord, status: int) -> s.AllocationSeen:
        words = f"its runner on node {record.request.index} of its job ended with status {status}"
        log.warning("allocation %s: %s", record.nonce, words)
        state = AllocationState(Phase.ENDED, record.job, Cause.FAILED, "RunnerEnded", words)
        return s.AllocationSeen(self._engine.clock(), record.nonce, state)
