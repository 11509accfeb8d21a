"""Probes and lifecycle hooks of a container, as the API server defaults and validates them.

Source: Kubernetes, "Pod Lifecycle", "Container probes" and "Container Lifecycle Hooks".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farnode.model.action import Action, read_action
from farnode.model.port import Port
from farnode.model.reader import Reader

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)
STOP_SIGNALS = frozenset(
    [
        *(f"SIG{name}" for name in _SIGNALS.split()),
        *(f"SIGRTMIN+{offset}" for offset in range(1, 16)),
        *(f"SIGRTMAX-{offset}" for offset in range(1, 15)),
    ]
)


@dataclass(frozen=True, slots=True)
class Probe:
    """Times in seconds; `grace` None: the pod's."""

    action: Action
    initial_delay: int = 0
    timeout: int = 1
    period: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """`stop_signal` "": the image's, else SIGTERM."""

    post_start: Action | None = None
    pre_stop: Action | None = None
    stop_signal: str = ""


def read_probe(reader: Reader, ports: Sequence[Port], grace: int) -> Probe | None:
    """A probe of a container, None where it has none; which one it is, is the last word of the path."""
    if not reader.given:
        return None
    success = reader.at("successThreshold")
    if success.number(0) not in (None, 0, 1) and not reader.path.endswith("readinessProbe"):
        raise success.invalid(f"{success.value} must be 1 for a startupProbe or livenessProbe")
    limit = reader.at("terminationGracePeriodSeconds")
    if limit.given and reader.path.endswith("readinessProbe"):
        raise limit.invalid("must not be set for a readinessProbe: it ends nothing")
    return Probe(
        action=read_action(reader, ("exec", "httpGet", "tcpSocket"), ports, grace),
        initial_delay=reader.at("initialDelaySeconds").number(0) or 0,
        timeout=reader.at("timeoutSeconds").number(0) or 1,
        period=reader.at("periodSeconds").number(0) or 10,
        success_threshold=success.number(0) or 1,
        failure_threshold=reader.at("failureThreshold").number(0) or 3,
        grace=limit.number(1),
    )


def read_lifecycle(reader: Reader, ports: Sequence[Port], grace: int, os: str) -> Lifecycle:
    """`os` is the pod's spec.os.name, without which the API server takes no stop signal."""
    signal = reader.at("stopSignal")
    if signal.text("") and not os:
        raise signal.invalid("needs spec.os.name: linux")
    if signal.text("") and signal.text() not in STOP_SIGNALS:
        raise signal.invalid(f"{signal.text()!r} is not a signal such as SIGTERM, SIGUSR1 or SIGRTMIN+3")
    return Lifecycle(
        _read_hook(reader.at("postStart"), ports, grace),
        _read_hook(reader.at("preStop"), ports, grace),
        signal.text(""),
    )


def _read_hook(reader: Reader, ports: Sequence[Port], grace: int) -> Action | None:
    return read_action(reader, ("exec", "httpGet", "sleep"), ports, grace) if reader.given else None
