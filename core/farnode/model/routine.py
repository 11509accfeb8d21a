"""How a container lives: what of its order concerns its running, ending, limits and standard input.

Only what says something is put in: what a runner misses has the meaning of its absence (wire.messages).
"""

from __future__ import annotations

from farnode.model.action import Action, Exec, HttpGet, Sleep
from farnode.model.container import Container
from farnode.model.probe import Probe
from farnode.model.resources import CPU, EPHEMERAL_STORAGE, MEMORY, Resources
from farnode.wire.messages import ActionOrder, ContainerOrder, ProbeOrder, RestartRule


def routine(container: Container, whole: Resources) -> ContainerOrder:
    """`whole` are the resources of the pod itself, whose limits hold for a container without its own."""
    made = ContainerOrder()
    if container.stdin_once:
        made["stdin_once"] = True
    if container.sidecar:
        made["sidecar"] = True
    if container.read_only_root:
        made["read_only_root"] = True
    if container.restart_policy:
        made["restart_policy"] = container.restart_policy
    if container.restart_rules:
        rules = container.restart_rules
        made["restart_rules"] = [RestartRule(operator=rule.operator, codes=list(rule.codes)) for rule in rules]
    made.update(_probes(container))
    made.update(_lifecycle(container))
    made.update(_limits(container, whole))
    return made


def _probes(container: Container) -> ContainerOrder:
    made = ContainerOrder()
    if container.startup_probe:
        made["startup_probe"] = _probe(container.startup_probe)
    if container.liveness_probe:
        made["liveness_probe"] = _probe(container.liveness_probe)
    if container.readiness_probe:
        made["readiness_probe"] = _probe(container.readiness_probe)
    return made


def _lifecycle(container: Container) -> ContainerOrder:
    made, lifecycle = ContainerOrder(), container.lifecycle
    if lifecycle.post_start:
        made["post_start"] = _action(lifecycle.post_start)
    if lifecycle.pre_stop:
        made["pre_stop"] = _action(lifecycle.pre_stop)
    if lifecycle.stop_signal:
        made["stop_signal"] = lifecycle.stop_signal
    return made


def _limits(container: Container, whole: Resources) -> ContainerOrder:
    """A limit of 0 is none."""
    made = ContainerOrder()
    given = (*whole.limits.items(), *container.resources.limits.items())
    limits = {name: limit for name, limit in given if limit.nanos}
    if CPU in limits:
        made["cpu_limit"] = limits[CPU].millicores / 1000
    if MEMORY in limits:
        made["memory_limit"] = limits[MEMORY].whole
    if EPHEMERAL_STORAGE in limits:
        made["ephemeral_limit"] = limits[EPHEMERAL_STORAGE].whole
    if MEMORY in container.resources.requests:
        made["memory_request"] = container.resources.requests[MEMORY].whole
    return made


def _probe(probe: Probe) -> ProbeOrder:
    return ProbeOrder(
        action=_action(probe.action),
        initial_delay=float(probe.initial_delay),
        timeout=float(probe.timeout),
        period=float(probe.period),
        success_threshold=probe.success_threshold,
        failure_threshold=probe.failure_threshold,
        grace=None if probe.grace is None else float(probe.grace),
    )


def _action(action: Action) -> ActionOrder:
    if isinstance(action, Exec):
        return ActionOrder(kind="exec", command=list(action.command))
    if isinstance(action, Sleep):
        return ActionOrder(kind="sleep", seconds=float(action.seconds))
    if isinstance(action, HttpGet):
        headers = [[name, value] for name, value in action.headers]
        return ActionOrder(kind="http", port=action.port, path=action.path, scheme=action.scheme, headers=headers)
    return ActionOrder(kind="tcp", port=action.port)
