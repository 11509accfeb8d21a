"""From what containers do to what their pod is: restarts and v1.PodStatus.phase, as the kubelet computes them."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from ...wire.messages import ContainerOrder, RestartRule
from .state import State, Terminated, Waiting


class Role(enum.Enum):
    """What a container is to its pod. A sidecar is an init container that keeps running, but keeps no pod alive."""

    INIT = "init"
    SIDECAR = "sidecar"
    REGULAR = "regular"


def restart_policy(order: ContainerOrder, pod_policy: str) -> str:
    """A container's own goes before its pod's."""
    return "Always" if order.get("sidecar") else order.get("restart_policy") or pod_policy


def restarts(policy: str, exit_code: int, rules: Sequence[RestartRule] = ()) -> bool:
    """The first rule that matches says yes; where none does, the policy decides (Kubernetes, "Pod Lifecycle",
    Individual container restart policy and rules)."""
    if any((exit_code in rule["codes"]) is (rule["operator"] == "In") for rule in rules):
        return True
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def succeeded(state: State) -> bool:
    return isinstance(state, Terminated) and state.exit_code == 0


def phase_alive(inits: Sequence[State], containers: Sequence[tuple[State, State | None]]) -> str:
    """Of an attempt that has not ended. `inits` without the sidecars, which are started before the `containers`;
    these are pairs of state and last state."""
    if not all(succeeded(state) for state in inits):
        return "Pending"
    if any(isinstance(state, Waiting) and last is None for state, last in containers):
        return "Pending"
    return "Running"


def phase_ended(containers: Sequence[State]) -> str:
    """Without the sidecars, whose ends do not count. None: it was ended before it had any."""
    return "Succeeded" if containers and all(succeeded(state) for state in containers) else "Failed"
