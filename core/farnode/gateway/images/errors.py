"""Why an image is not there, in the kubelet's words."""

from __future__ import annotations

from typing import Literal

from farnode.errors import FarnodeError

Reason = Literal["ErrImagePull", "ErrImageNeverPull", "InvalidImageName"]
"""ImagePullBackOff is the caller's: who tries again knows how often it failed."""


class ImageError(FarnodeError):
    """An image that cannot be had now. `reason` goes into the container's waiting state; `after` is the number of
    seconds a registry wants to be left alone."""

    def __init__(self, reason: Reason, message: str, *, after: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.after = after


class AccessDenied(ImageError):
    """The registry does not give the image to this login; it may give it to another."""

    def __init__(self, message: str) -> None:
        super().__init__("ErrImagePull", message)
