"""From what containers do to what their pod is: restarts and v1.PodStatus.phase, as the kubelet computes them."""

from __future__ import annotations

from collections.abc import Sequence

from .state import State, Terminated, Waiting


def restarts(policy: str, exit_code: int) -> bool:
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def init_policy(policy: str) -> str:
    """Init containers run to their success: Always means until then."""
    return "OnFailure" if policy == "Always" else policy


def succeeded(state: State) -> bool:
    return isinstance(state, Terminated) and state.exit_code == 0


def phase_alive(inits: Sequence[State], containers: Sequence[tuple[State, State | None]]) -> str:
    """Of an attempt that has not ended; `containers` are pairs of state and last state."""
    if not all(succeeded(state) for state in inits):
        return "Pending"
    if any(isinstance(state, Waiting) and last is None for state, last in containers):
        return "Pending"
    return "Running"


def phase_ended(containers: Sequence[State]) -> str:
    """None: it was ended before it had any."""
    return "Succeeded" if containers and all(succeeded(state) for state in containers) else "Failed"
