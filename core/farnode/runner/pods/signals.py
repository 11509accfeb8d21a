"""The signal that asks a container to end, by the name a pod or an image gives it."""

from __future__ import annotations

import signal

from ...wire.messages import ContainerOrder


def stop_signal(order: ContainerOrder) -> int:
    """The container's own (lifecycle.stopSignal), else its image's STOPSIGNAL, else SIGTERM."""
    name = order.get("stop_signal") or order.get("image", {}).get("stop_signal", "")
    return _number(name) or signal.SIGTERM


def _number(name: str) -> int:
    """Of "SIGUSR1", "USR1", "10" or "SIGRTMIN+3"; 0 where there is no such signal."""
    base, _, above = name.upper().partition("+")
    numbers = {one.name: int(one) for one in signal.Signals}
    number = int(base) if base.isdigit() else numbers.get(base if base.startswith("SIG") else f"SIG{base}", 0)
    number += int(above) if above.isdigit() and number else 0
    return number if number in map(int, signal.valid_signals()) else 0
