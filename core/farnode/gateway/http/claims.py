"""Routes of claims: the storage that pods share and that outlives them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from farnode.gateway.http.context import Ctx, Who
from farnode.gateway.http.openapi import returns
from farnode.gateway.http.pods import reply

router = APIRouter()

Owner = Annotated[str | None, Query(description="Whose claim, where an administrator means another's.")]


@router.get("/v1/claims", **returns("Claims"))
async def claims(context: Ctx, caller: Who) -> Response:
    """The caller's claims."""
    return reply({"claims": context.service.claims(caller)})


@router.delete("/v1/claims/{namespace}/{name}", **returns("ClaimView", 404, 409))
async def delete_claim(
    context: Ctx,
    caller: Who,
    namespace: Annotated[str, Path(description="The namespace of the pods that use it.")],
    name: str,
    owner: Owner = None,
) -> Response:
    """Delete a claim that no pod uses any more; the intention is durable when the answer comes. What becomes of its
    directory is up to its storage class."""
    return reply(await context.service.delete_claim(caller, namespace, name, owner))
