"""The batch system: whether its tools answer, and what this account may ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from farnode.gateway.doctor.finding import Finding, fail, ok, warn
from farnode.model.offer import Offer
from farnode.providers.port import AllocationProvider, SupportsVersion

BATCH, OFFERS = "batch system", "offers"


async def answers(provider: AllocationProvider, kind: str) -> list[Finding]:
    version = await provider.version() if isinstance(provider, SupportsVersion) else "part of farnode"
    return [ok(BATCH, f"{kind} answers ({version})")]


def offered(offers: Sequence[Offer]) -> list[Finding]:
    """The inventory in words."""
    if not offers:
        words = "the batch system offers this account nothing"
        return [
            fail(OFFERS, words, "ask for access to a partition, or correct `partitions` and `account` of `provider`")
        ]
    closed = [offer for offer in offers if offer.problem]
    if len(closed) == len(offers):
        words = "; ".join(f"{offer.name}: {offer.problem}" for offer in closed)
        return [fail(OFFERS, words, "wait until the site is up again, or offer other partitions")]
    found = [ok(OFFERS, _words(offers))]
    if closed:
        words = "; ".join(f"{offer.name}: {offer.problem}" for offer in closed)
        found.append(warn(OFFERS, words, "pods go elsewhere meanwhile; leave it out of `partitions` if it stays so"))
    return found


def _words(offers: Sequence[Offer]) -> str:
    partitions = _unique(offer.partition for offer in offers)
    gpus = _unique(f"{gpu.count} x {gpu.model or gpu.vendor}" for offer in offers for gpu in offer.gpus)
    accounts = _unique(account for offer in offers for account in offer.accounts)
    cores, memory = max(offer.cores for offer in offers), max(offer.memory for offer in offers)
    parts = [
        f"partitions {', '.join(partitions)}" if partitions else "no partitions",
        f"up to {cores} cores and {memory >> 30} GiB on a node",
        f"GPUs on a node: {' or '.join(gpus)}" if gpus else "no GPUs",
        f"accounts {', '.join(accounts)}" if accounts else "no account need be named",
    ]
    return "; ".join(parts)


def _unique(names: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))
