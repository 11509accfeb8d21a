"""A name, namespace/name or uid (or its beginning) -> one pod. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from farnode.client.pod import Pod
from farnode.errors import Invalid, NotFound

_SHORTEST = 4  # of a uid's beginning: fewer characters would too easily be a typing error


def find(pods: Iterable[Pod], wanted: str, namespace: str | None = None) -> Pod:
    """The pod meant. A name may come again (pods are kept after their end): the one still alive is meant, else the
    newest. NotFound, or Invalid where several live ones fit."""
    if namespace is None and "/" in wanted:
        namespace, _, wanted = wanted.rpartition("/")
    here = [pod for pod in pods if namespace is None or pod.namespace == namespace]
    fitting = [pod for pod in here if pod.uid == wanted] or [pod for pod in here if pod.name == wanted]
    if not fitting and len(wanted) >= _SHORTEST:
        fitting = [pod for pod in here if pod.uid.startswith(wanted)]
    if not fitting:
        raise NotFound(f"no pod {wanted!r}" + (f" in namespace {namespace!r}" if namespace else ""))
    alive = [pod for pod in fitting if not pod.ended]
    if len(alive) > 1:
        raise Invalid(wanted, "several pods are meant: " + ", ".join(f"{pod} ({pod.uid})" for pod in alive))
    return alive[0] if alive else max(fitting, key=lambda pod: pod.created_at)
