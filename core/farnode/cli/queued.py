"""What a pod that waits, waits for, and who else does. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from farnode.cli import words
from farnode.cli.facts import Fact, time
from farnode.cli.overview import counts, tally
from farnode.client.pod import Pod
from farnode.model.api import SiteAllocation, SiteView


def described(pod: Pod, site: SiteView, now: float) -> Iterator[Fact]:
    """Of a pod that has no place yet; `now` in seconds since the epoch."""
    since = pod.view.get("queuedAt")
    if since is not None:
        yield "Waiting", f"for {words.span(now - since)}, since {time(since)}"
    line = pod.view.get("waiting")
    if line is not None:
        yield "For", line["words"]
        pods = "1 pod" if line["pods"] == 1 else f"{line['pods']:,} pods"
        yield "In Line", f"{pods}, the first for {words.span(now - line['oldest'])}"
    if not pod.allocation:
        yield "Pilots", _pilots([one for one in site.get("allocations") or () if one.get("kind") == "pilot"], now)
    hours = site.get("nodeHours") or {}
    if "cap" in hours:
        used = hours.get("today", {}).get(pod.view.get("owner", ""), 0.0)
        yield "Node-Hours", f"{used:.1f} of {hours['cap']:g} today"


def _pilots(pilots: list[SiteAllocation], now: float) -> str:
    told = counts(tally(str(one.get("phase") or "?") for one in pilots)) if pilots else "none"
    expected = [start for one in pilots if (start := one.get("expectedStart")) is not None and start > now]
    return told + (f", the next expected to start in {words.span(min(expected) - now)}" if expected else "")
