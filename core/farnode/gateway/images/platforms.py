"""Which variant of an image a site's nodes can run. Pure.

The order is containerd's, but for amd64 running 386 and arm64 running arm: compute nodes may lack 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_DEFAULTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_NAMES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


def choose(manifests: Sequence[Mapping[str, Any]], platform: str) -> Mapping[str, Any] | None:
    """The entry of an index for `platform` (`linux/arm/v7`): its own variant, else the next lower one."""
    wanted = _parts(*platform.split("/"))
    fitting = [entry for entry in manifests if _fits(_of(entry.get("platform") or {}), wanted)]
    return max(fitting, key=lambda entry: _number(_of(entry.get("platform") or {})[2]), default=None)


def fits(config: Mapping[str, Any], platform: str) -> bool:
    """Whether an image of this configuration runs there; what does not say what it is for is believed to."""
    return not config.get("architecture") or _fits(_of(config), _parts(*platform.split("/")))


def name(platform: Mapping[str, Any]) -> str:
    parts = (platform.get("os") or "linux", platform.get("architecture"), platform.get("variant"))
    return "/".join(str(part) for part in parts if part)


def names(manifests: Sequence[Mapping[str, Any]]) -> str:
    """For words; attestations and the like, which are for `unknown`, are left out."""
    found = (name(entry.get("platform") or {}) for entry in manifests)
    return ", ".join(sorted({one for one in found if "unknown" not in one})) or "none"


def _of(platform: Mapping[str, Any]) -> tuple[str, str, str]:
    given = (platform.get("os") or "linux", platform.get("architecture") or "", platform.get("variant") or "")
    return _parts(*map(str, given))


def _parts(system: str, architecture: str, variant: str = "") -> tuple[str, str, str]:
    architecture = _NAMES.get(architecture, architecture)
    return system, architecture, variant or _DEFAULTS.get(architecture, "")


def _fits(offered: tuple[str, str, str], wanted: tuple[str, str, str]) -> bool:
    return offered[:2] == wanted[:2] and _number(offered[2]) <= _number(wanted[2])


def _number(variant: str) -> int:
    digits = variant.removeprefix("v").partition(".")[0]
    return int(digits) if digits.isdecimal() and digits.isascii() else 0
