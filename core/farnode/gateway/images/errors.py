"""Why an image is not there, in the kubelet's words."""

from __future__ import annotations

from typing import Literal

from farnode.errors import FarnodeError

Reason = Literal["ErrImagePull", "ErrImageNeverPull", "InvalidImageName"]
"""ImagePullBackOff is the caller's: who tries again knows how often it failed."""


class ImageError(FarnodeError):
    """An image that cannot be had now. `reason` goes into the container's waiting state; `retry` is False where only
    another pod, or another configuration of the site, would help."""

    def __init__(self, reason: Reason, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
