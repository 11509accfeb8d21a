"""What the answers to a probe come to, and nothing about how it is asked.

Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes", and the kubelet's prober.
"""

from __future__ import annotations

from ...wire.messages import ContainerOrder, ProbeOrder

KINDS = STARTUP, LIVENESS, READINESS = "startup", "liveness", "readiness"


def probes(order: ContainerOrder) -> dict[str, ProbeOrder]:
    """By kind."""
    found = zip(KINDS, (order.get("startup_probe"), order.get("liveness_probe"), order.get("readiness_probe")))
    return {kind: probe for kind, probe in found if probe is not None}


class Tally:
    """Of one probe of one run of a container."""

    def __init__(self, order: ProbeOrder) -> None:
        self._thresholds = {True: order.get("success_threshold", 1), False: order.get("failure_threshold", 3)}
        self._last: bool | None = None
        self._times = 0

    def add(self, success: bool) -> bool | None:
        """What the probe says now; None where this answer was not yet given often enough in a row to count."""
        self._times = self._times + 1 if success is self._last else 1
        self._last = success
        return success if self._times >= self._thresholds[success] else None
