"""Asking Slurm what this account can get, and keeping the answer to check requests against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from farnode.errors import Transient, Unreachable
from farnode.model.allocation import AllocationRequest
from farnode.model.offer import Offer
from farnode.providers.slurm import accounting, cluster, inventory
from farnode.providers.slurm.command import Slurm
from farnode.providers.slurm.settings import SlurmSettings

STALE = 300.0
"""Seconds after which an inventory that lacks what a request names is asked for again."""
LASTING = 86400.0
"""Seconds for which Slurm's configuration is taken to stay as it is."""
LARGEST_ARRAY = 1001
"""Slurm's own MaxArraySize, where a site does not change it."""
SHOW = ["scontrol", "--oneliner", "show"]
LIMITS = ["sacctmgr", "--noheader", "--parsable2", "show"]


class Survey:
    """`user`: whose accounts. `clock` gives seconds since the epoch."""

    def __init__(self, slurm: Slurm, settings: SlurmSettings, user: str, clock: Callable[[], float]) -> None:
        self._slurm = slurm
        self._settings = settings
        self._user = user
        self._clock = clock
        self._offers: Sequence[Offer] = ()
        self._offers_at = float("-inf")
        self._config: dict[str, str] = {}
        self._config_at = float("-inf")
        self._accounting: accounting.Accounting | None = None

    async def offers(self) -> Sequence[Offer]:
        """The inventory, asked for now."""
        partitions = await self._slurm.ask([*SHOW, "partition"])
        nodes = list(cluster.nodes(await self._slurm.ask([*SHOW, "node"])))
        limits = await self._limits()
        self._offers = inventory.offers(cluster.partitions(partitions), nodes, limits, self._settings)
        self._offers_at = self._clock()
        return self._offers

    async def fitting(self, requests: Sequence[AllocationRequest]) -> Sequence[Offer]:
        """The inventory of last time, or one asked for now if a request names what that lacks."""
        lacking = any(inventory.mismatch(request, self._offers) for request in requests)
        if lacking and self._clock() - self._offers_at > STALE:
            return await self.offers()
        return self._offers

    async def accounts(self) -> bool:
        """Whether the cluster keeps accounts of ended jobs."""
        if self._clock() - self._config_at > LASTING:
            self._config = cluster.config(await self._slurm.ask(["scontrol", "show", "config"]))
            self._config_at = self._clock()
        kind = self._config.get("AccountingStorageType", "")
        return kind not in ("", "(null)", "none") and not kind.endswith("/none")

    @property
    def kill_wait(self) -> str:
        """Seconds between SIGTERM and SIGKILL, as KillWait said ("30 sec") when last asked; "" before."""
        return self._config.get("KillWait", "").partition(" ")[0]

    @property
    def largest_array(self) -> int:
        """Every index of an array is below it."""
        text = self._config.get("MaxArraySize", "")
        return int(text) if text.isascii() and text.isdigit() else LARGEST_ARRAY

    async def _limits(self) -> accounting.Accounting:
        """The limits of this user; those of last time while accounting is away, none where users may not ask."""
        if not await self.accounts():
            return accounting.Accounting()
        user = ["user", f"name={self._user}", f"cluster={self._config.get('ClusterName', '')}", "withassoc"]
        try:
            rows = await self._slurm.ask([*LIMITS, *user, f"format={accounting.ASSOCIATION}"])
            qos = await self._slurm.ask([*LIMITS, "qos", f"format={accounting.QOS}"])
        except Unreachable:
            if self._accounting is None:
                raise
            return self._accounting
        except Transient:
            return accounting.Accounting()
        self._accounting = accounting.Accounting(
            tuple(accounting.associations(rows)), {row.name: row for row in accounting.qos_rows(qos)}
        )
        return self._accounting
