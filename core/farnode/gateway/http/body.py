"""Request bodies: bounded while they arrive, then JSON. No deep models: a batch of bundles is checked by the service,
per pod, and one wrong pod must not fail the others."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request

from farnode.errors import Invalid
from farnode.gateway.http.failures import TooLarge
from farnode.model.api import Deletion

MAX_BATCH = 10_000
"""Pods of one request: its answer has a verdict for each, however small the request was."""


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """The body, an object; TooLarge as soon as it exceeds `limit` bytes, Invalid when it is not JSON."""
    body = await _read(request, limit)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid("", f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Invalid("", "the body is not a JSON object")
    return value


async def _read(request: Request, limit: int) -> bytearray:
    declared = request.headers.get("content-length", "")
    body = bytearray()
    if not declared.isdecimal() or int(declared) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return body
    raise TooLarge(f"the body exceeds {limit} bytes; send fewer pods at once")


def batch(body: dict[str, Any], field: str) -> list[Any]:
    """The list under `field`, checked for being one and for its length."""
    items = body.get(field)
    if not isinstance(items, list):
        raise Invalid(field, "is not a list")
    if len(items) > MAX_BATCH:
        raise Invalid(field, f"has {len(items)} entries; accepted: {MAX_BATCH} at once")
    return items


def deletions(body: dict[str, Any]) -> list[Deletion]:
    return [_deletion(item, f"pods[{index}]") for index, item in enumerate(batch(body, "pods"))]


def _deletion(item: Any, field: str) -> Deletion:
    if not isinstance(item, dict) or not isinstance(item.get("uid"), str):
        raise Invalid(f"{field}.uid", "is not a string")
    deletion = Deletion(uid=item["uid"])
    if "graceSeconds" in item:
        grace = item["graceSeconds"]
        if type(grace) is not int or not 0 <= grace < 2**31:
            raise Invalid(f"{field}.graceSeconds", "is not a whole number of seconds from 0 on")
        deletion["graceSeconds"] = grace
    purge = item.get("purge", False)
    if not isinstance(purge, bool):
        raise Invalid(f"{field}.purge", "is neither true nor false")
    deletion["purge"] = purge
    return deletion
