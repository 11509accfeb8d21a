"""Who asks a store for images, and hears what it says meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from farnode.gateway.images import ImageStore
from farnode.gateway.images.convert import Form
from farnode.gateway.images.credentials import Login
from farnode.gateway.images.wants import Wanted
from farnode.model.image import Image


@dataclass
class User:
    store: ImageStore
    logins: Sequence[Login] = ()
    heard: list[tuple[str, str]] = field(default_factory=list)

    async def prepare(self, reference: str, policy: str, form: Form = "sif") -> Image:
        return await self.store.prepare(Wanted(reference, policy, form, form == "sif"), self.logins, self._hear)

    async def _hear(self, reason: str, message: str) -> None:
        self.heard.append((reason, message))
