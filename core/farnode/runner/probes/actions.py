"""What probes and hooks do, and what comes of it.

Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes" and "Container Lifecycle Hooks"; where these say
nothing, the kubelet: the failure of an exec probe is told by its output, of an HTTP probe never by the body; any answer
to the request of an HTTP hook is a success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

from ...wire.messages import ActionOrder, ContainerOrder
from ..pods import environment
from ..pods.attempt import Attempt
from ..pods.instance import Instance
from . import command, timeout
from .dial import authority, dial, hang_up

PROBE_AGENT, HOOK_AGENT = "kube-probe/farnode", "kube-lifecycle/farnode"


class Outcome(NamedTuple):
    """`words` say why it failed, or what is strange about its success."""

    ok: bool
    words: str = ""


@dataclass(frozen=True)
class Place:
    """Where it is done: the run of a container."""

    attempt: Attempt
    order: ContainerOrder
    instance: Instance


async def probe(place: Place, action: ActionOrder, seconds: float) -> Outcome:
    """Raises OSError or ValueError with words when the container could not be asked."""
    asked = PROBES.get(action["kind"])
    if asked is None:
        raise ValueError(f"probes of kind {action['kind']!r} are unknown to this runner")
    try:
        return await timeout.within(place.attempt.host.clock, seconds, asked(place, action))
    except asyncio.TimeoutError:
        return Outcome(False, _too_slow(place, action, seconds))


async def hook(place: Place, action: ActionOrder) -> bool:
    """Whether it succeeded; it takes as long as it takes."""
    try:
        return await HOOKS[action["kind"]](place, action)
    except (OSError, ValueError, KeyError):
        return False


# ---- probes ------------------------------------------------------------------------------------------------------


async def _exec_probe(place: Place, action: ActionOrder) -> Outcome:
    """`$(VAR)` stands for those variables of the container that the pod gives a value."""
    values = {one["name"]: one["value"] for one in place.order.get("env", ()) if "value" in one}
    argv = [environment.expand(argument, values) for argument in action["command"]]
    answer = await command.run(place.attempt, place.instance, argv)
    return Outcome(not answer.exit_code, answer.output.decode("utf-8", "replace") if answer.exit_code else "")


async def _http_probe(place: Place, action: ActionOrder) -> Outcome:
    from . import httpget  # only here: few pods pay for it

    try:
        target = httpget.first_target(action, place.attempt.host.address)
        response = await httpget.get(place.attempt, target, httpget.headers_of(action, PROBE_AGENT))
    except (OSError, ValueError) as error:
        return Outcome(False, str(error))
    if not 200 <= response.status < 400:
        return Outcome(False, f"HTTP probe failed with statuscode: {response.status}")
    if response.status < 300:
        return Outcome(True)
    body = response.body.decode("utf-8", "replace")
    return Outcome(True, f"Probe terminated redirects, Response body: {body}")


async def _tcp_probe(place: Place, action: ActionOrder) -> Outcome:
    try:
        hang_up(await dial(place.attempt, action["port"]))
    except OSError as error:
        return Outcome(False, str(error))
    return Outcome(True)


def _too_slow(place: Place, action: ActionOrder, seconds: float) -> str:
    host = place.attempt.host.address
    if action["kind"] == "exec":
        return f'command timed out: "{" ".join(action["command"])}" timed out after {seconds:g}s'
    if action["kind"] == "tcp":
        return f"dial tcp {authority(host, action['port'])}: i/o timeout"
    from . import httpget

    url = httpget.first_target(action, host).url
    return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'


# ---- hooks -------------------------------------------------------------------------------------------------------


async def _exec_hook(place: Place, action: ActionOrder) -> bool:
    return not (await command.run(place.attempt, place.instance, action["command"])).exit_code


async def _http_hook(place: Place, action: ActionOrder) -> bool:
    from . import httpget

    headers = httpget.headers_of(action, HOOK_AGENT)
    await httpget.get(place.attempt, httpget.first_target(action, place.attempt.host.address), headers)
    return True


async def _sleep_hook(place: Place, action: ActionOrder) -> bool:
    await timeout.sleep(place.attempt.host.clock, action["seconds"])
    return True


PROBES: Mapping[str, Callable[[Place, ActionOrder], Coroutine[Any, Any, Outcome]]] = {
    "exec": _exec_probe,
    "http": _http_probe,
    "tcp": _tcp_probe,
}
HOOKS: Mapping[str, Callable[[Place, ActionOrder], Coroutine[Any, Any, bool]]] = {
    "exec": _exec_hook,
    "http": _http_hook,
    "sleep": _sleep_hook,
}
