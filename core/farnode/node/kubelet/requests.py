"""What every route reads of a request, and how errors of ours are answered, in the words of kubelets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from farnode.errors import FarnodeError, Invalid, NotFound, Transient
from farnode.node.kubelet.pods import Pods, Target

Json = dict[str, Any]

_KINDS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Named:
    """The container a path names."""

    target: Target
    pod: str
    container: str


def target(pods: Pods, path: Mapping[str, str]) -> Target:
    """The pod of a path: 404 as the kubelet words it, also for another pod of that name than the uid asked for."""
    found = pods.find(path["namespace"], path["pod"])
    if found is None or path.get("uid", found.uid) != found.uid:
        raise NotFound(f'pod "{path["pod"]}" does not exist')
    return found


def named(pods: Pods, path: Mapping[str, str]) -> Named:
    """The container of a path."""
    found = target(pods, path)
    names = [one["name"] for kind in _KINDS for one in found.pod["spec"].get(kind) or ()]
    if path["container"] not in names:
        raise NotFound(f'container "{path["container"]}" not found in pod "{path["pod"]}"')
    return Named(found, path["pod"], path["container"])


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true")


def number(query: Mapping[str, str], name: str, least: int) -> int | None:
    """A whole number, None where it is not given."""
    if not (text := query.get(name)):
        return None
    if not (text.isascii() and text.isdecimal() and least <= int(text[:20]) < 2**53):
        raise Invalid(name, f"is {text[:40]!r}; accepted: whole numbers from {least}")
    return int(text)


def failure(error: FarnodeError) -> web.Response:
    """An error as an answer; what fails between here and the gateway is no fault of the caller."""
    codes = {NotFound: 404, Invalid: 400, Transient: 503}
    code = next((code for kind, code in codes.items() if isinstance(error, kind)), 500)
    return web.Response(status=code, text=str(error))
