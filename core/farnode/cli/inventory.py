"""Sites and what they offer, in columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farnode.cli import words
from farnode.cli.overview import calls_left, counts, jobs_of, phases, state
from farnode.errors import FarnodeError
from farnode.model.api import SiteView

HEADING = [
    *("NAME", "STATE", "PODS", "ALLOCATIONS", "PILOTS", "CALLS LEFT"),
    *("OFFERS", "GPUS", "PROVIDER", "VERSION", "PROBLEM"),
]
_GIB = 1 << 30


def row(name: str, site: SiteView | FarnodeError, default: str | None) -> list[str]:
    """Of one site; the default one is marked."""
    marked = f"{name} *" if name == default else name
    if isinstance(site, FarnodeError):
        return [marked, "Away", *[""] * (len(HEADING) - 3), str(site)]
    jobs, calls = jobs_of(site.get("allocations") or ()), site.get("calls")
    return [
        marked,
        state(site),
        counts(site.get("pods") or {}),
        counts(phases(jobs)),
        counts(phases(job for job in jobs if job[0].get("kind") == "pilot")),
        calls_left(calls) if calls else "",
        str(len(site.get("offers") or ())),
        ", ".join(dict.fromkeys(gpu for offer in site.get("offers") or () for gpu in _gpus(offer))),
        site.get("provider", ""),
        site.get("version", ""),
        site.get("problem", ""),
    ]


def offers(site: SiteView) -> list[list[str]]:
    """A heading and a row for each offer."""
    heading = ["OFFER", "PARTITION", "NODES", "CORES", "MEMORY", "GPUS", "WALLTIME", "ACCOUNTS", "PROBLEM"]
    return [heading, *(_offer(offer) for offer in site.get("offers") or ())]


def _offer(offer: Mapping[str, Any]) -> list[str]:
    limit = offer.get("max_walltime")
    return [
        str(offer.get("name") or ""),
        f"{offer.get('partition') or ''}{' *' if offer.get('default') else ''}",
        str(offer.get("nodes") or 1),
        str(offer.get("cores") or ""),
        f"{(offer.get('memory') or 0) / _GIB:.0f}Gi",
        ", ".join(_gpus(offer)),
        words.span(limit) if limit else "unlimited",
        ",".join(offer.get("accounts") or ()),
        str(offer.get("problem") or ""),
    ]


def _gpus(offer: Mapping[str, Any]) -> list[str]:
    return [f"{gpu['count']} {gpu.get('model') or gpu['vendor']}" for gpu in offer.get("gpus") or ()]
