"""What pods use now: every runner concerned is asked at once, and its answer checked as all that runners say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

import orjson

from farnode.errors import FarnodeError
from farnode.gateway.records import PodRecord
from farnode.gateway.runners import Runners
from farnode.model.api import ContainerUsage, PodUsage, StatsView
from farnode.model.bundle import Bundle
from farnode.wire.link import Data, Stream

log = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds a runner has for its answer: whoever asks would rather know of the others than wait for one."""
CLOSING = 1.0
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer; some kilobytes for each pod of a large node."""
_CONTAINER = {
    "started_at": ("startedAt", float),
    "cpu": ("cpu", float),
    "memory": ("memory", int),
    "memory_peak": ("memoryPeak", int),
    "storage": ("storage", int),
    "processes": ("processes", int),
}
_GPU = {"memory": ("memory", int), "memory_total": ("memoryTotal", int), "utilization": ("utilization", float)}


async def ask(pods: Iterable[PodRecord], bundles: Mapping[str, Bundle], runners: Runners) -> StatsView:
    """Of these bound pods. A runner that does not answer in time, or with nonsense, is named in `missing`."""
    by_nonce: dict[str, dict[tuple[str, int], PodRecord]] = {}
    for pod in pods:
        by_nonce.setdefault(pod.nonce or "", {})[pod.uid, pod.attempt] = pod
    answers = await asyncio.gather(*(_ask(runners, nonce) for nonce in by_nonce))
    view = StatsView(pods=[], missing=[])
    for (nonce, wanted), answer in zip(by_nonce.items(), answers, strict=True):
        if answer is None:
            view["missing"].append(nonce)
        else:
            view["pods"] += _usages(answer, wanted, bundles)
    return view


async def _ask(runners: Runners, nonce: str) -> Any:
    try:
        async with asyncio.timeout(TIMEOUT):
            stream = await runners.open(nonce, kind="stats", uid="", attempt=0)
            try:
                return _checked(orjson.loads(await _document(stream)))
            finally:
                with suppress(OSError, TimeoutError):
                    await asyncio.wait_for(stream.close(), CLOSING)
    except (FarnodeError, OSError, ValueError, TimeoutError) as error:
        log.warning("allocation %s: no statistics: %s", nonce, str(error) or "no answer in time")
        return None


async def _document(stream: Stream) -> bytes:
    document = b""
    while (item := await stream.receive()) is not None:
        document += item.data if isinstance(item, Data) else b""
        if len(document) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
    if error := stream.result.get("error"):
        raise ValueError(str(error))
    return document


def _checked(answer: object) -> dict[str, Any]:
    if isinstance(answer, dict) and _is_number(answer.get("at")) and isinstance(answer.get("pods"), list):
        return answer
    raise ValueError("these are none")


def _usages(
    answer: dict[str, Any], wanted: Mapping[tuple[str, int], PodRecord], bundles: Mapping[str, Bundle]
) -> Iterable[PodUsage]:
    for one in answer["pods"]:
        with suppress(KeyError, TypeError, AttributeError):
            record = wanted[one["uid"], one["attempt"]]
            pod = bundles[record.uid].pod
            containers = [usage for each in one["containers"] if (usage := _container(each))]
            yield PodUsage(
                uid=pod.uid,
                namespace=pod.namespace,
                name=pod.name,
                attempt=record.attempt,
                at=float(answer["at"]),
                containers=containers,
            )


def _container(value: Mapping[str, Any]) -> ContainerUsage | None:
    """None where it names no container."""
    if not isinstance(value.get("name"), str):
        return None
    usage = {"name": value["name"], **_numbers(value, _CONTAINER)}
    gpus = [
        {"device": gpu["device"], **_numbers(gpu, _GPU)}
        for gpu in value.get("gpus", ())
        if isinstance(gpu.get("device"), str)
    ]
    return cast("ContainerUsage", {**usage, "gpus": gpus} if gpus else usage)


def _numbers(value: Mapping[str, Any], fields: Mapping[str, tuple[str, type]]) -> dict[str, Any]:
    return {name: kind(value[key]) for key, (name, kind) in fields.items() if _is_number(value.get(key))}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 2**63
