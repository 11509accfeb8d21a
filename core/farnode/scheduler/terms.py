"""Site settings that decide who gets room."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. `default_need`: what a pod is taken to run that does not say it; `margin`: how long after its time a pod
    may still have its place; a pod that has waited longer than `starve_after` gets a room kept for it."""

    default_need: float
    margin: float
    starve_after: float
