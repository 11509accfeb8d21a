"""The published description of the API: what is really answered, from the types of `model.api`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.responses import Response

from farnode.gateway.http.body import MAX_BATCH
from farnode.model import api

_REF = "#/components/schemas/{model}"
OPEN: dict[str, Any] = {"security": []}
"""`openapi_extra` of routes that need no token."""
_WORDS = {
    400: "Input that cannot be honoured; `field` names it.",
    401: "No token, or an unknown one.",
    403: "The token does not allow this.",
    404: "No such thing of the caller's.",
    409: "Refused, and would be refused again.",
    410: "The sequence number is too old: list again.",
    413: "The body is too large.",
    503: "Try again, after Retry-After seconds.",
}
_ANYTHING = {"type": "object", "additionalProperties": True}
_BUNDLE = {"description": "A pod with all it refers to. A wrong one fails by itself: verdict `invalid`."}
_INTEGER = {"type": "integer"}
_STRING = {"type": "string"}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=name)}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_ENVELOPES: Mapping[str, dict[str, Any]] = {
    "Bundles": _object(bundles={**_array(_BUNDLE), "maxItems": MAX_BATCH}),
    "Claims": _object(claims=_array(_reference("ClaimView"))),
    "Deletions": _object(pods={**_array(_reference("Deletion")), "maxItems": MAX_BATCH}),
    "Drain": _object(drain={"type": "boolean"}),
    "Error": _object(error=_object(code=_STRING, field=_STRING, message=_STRING)),
    "Inputs": _ANYTHING,
    "InputsVersion": _object(version=_INTEGER),
    "Pods": _object(pods=_array(_reference("PodView")), seq=_INTEGER),
    "Stopped": _object(pods=_INTEGER),
    "Verdicts": _object(verdicts=_array(_reference("Verdict"))),
}
"""What `model.api` says in its table, not as types."""
_VIEWS: tuple[Any, ...] = (
    api.Verdict,
    api.Deletion,
    api.EventView,
    api.PodView,
    api.SiteView,
    api.AllocationView,
    api.StatsView,
    api.ClaimView,
)


def body(name: str) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _reference(name)}}}}


def returns(
    name: str | None, *failures: int, media_type: str = "application/json", needs_token: bool = True
) -> dict[str, Any]:
    """Arguments of a route that answers with this schema (None: text or bytes), or fails with one of these."""
    schema = _reference(name) if name else _STRING
    responses: dict[int, Any] = {200: {"description": "Done.", "content": {media_type: {"schema": schema}}}}
    for status in sorted({*failures, *((401, 503) if needs_token else ())}):
        content = {"application/json": {"schema": _reference("Error")}}
        responses[status] = {"description": _WORDS[status], "content": content}
    return {"response_model": None, "response_class": Response, "responses": responses}


def _portable(hint: Any) -> Any:
    """The same type, each TypedDict in it as pydantic takes it on every Python: from typing_extensions."""
    if get_origin(hint) is list:
        return list[_portable(get_args(hint)[0])]  # type: ignore[misc]  # not known before it runs
    if not is_typeddict(hint):
        return hint
    fields = {name: _portable(field) for name, field in get_type_hints(hint).items()}
    make: Any = typing_extensions.TypedDict  # by its functional form, which type checkers only take literally
    twin = make(hint.__name__, fields, total=hint.__total__)
    twin.__doc__ = hint.__doc__
    return twin


def _schemas() -> dict[str, Any]:
    adapters = [(view.__name__, "serialization", TypeAdapter(_portable(view))) for view in _VIEWS]
    _, definitions = TypeAdapter.json_schemas(adapters, ref_template=_REF)  # type: ignore[arg-type]
    return {**definitions["$defs"], **_ENVELOPES}


def describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # FastAPI's own; ours is 400
    document["components"] = {
        "schemas": dict(sorted(_schemas().items())),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    document["security"] = [{"token": []}]
    return document
