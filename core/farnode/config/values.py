"""The values a configuration file is written in: durations, sizes, paths, addresses. Each refuses with words."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+)(|k|M|G|T|Ki|Mi|Gi|Ti)", re.ASCII)
_BYTES: dict[str, int] = {"": 1} | {unit: 1000**n for n, unit in enumerate("kMGT", 1)}
_BYTES |= {f"{unit}i": 1024**n for n, unit in enumerate("KMGT", 1)}
REGISTRY = re.compile(r"(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
"""The first part of an image's name."""
CLAIM_PARTS = ("{owner}", "{namespace}", "{claim}")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm/v7"}
_SOCKET_PATH_BYTES = 107
"""What fits into the kernel's sun_path; a longer path fails at bind with words nobody understands."""


def duration(value: Any) -> float:
    """Seconds of `90s`, `30m`, `1h30m`, `7d`; ValueError for anything else, a bare number included."""
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
    raise ValueError(f"{value!r} is not a duration; accepted: a number and its unit, such as 90s, 30m, 1h30m or 7d")


def size(value: Any) -> int:
    """Bytes of `4Mi`, `20G`, `1024`; ValueError for anything else."""
    match = _SIZE.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size; accepted: bytes, or a number with k, M, G, T, Ki, Mi, Gi or Ti")
    return int(match[1]) * _BYTES[match[2]]


def _path(value: Any, info: ValidationInfo) -> Path:
    """Absolute: `~` is the account's home; what is relative is below the directory of the configuration file."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"{value!r} is not a path")
    base: Path = (info.context or {}).get("base", Path.cwd())
    return base / Path(value).expanduser()


def _registry(value: Any) -> str:
    if isinstance(value, str) and REGISTRY.fullmatch(value):
        return value
    raise ValueError(f"{value!r} is no registry; accepted: host:port, or a host's name such as docker.io")


def template(value: Any, info: ValidationInfo) -> str:
    """An absolute path in which each of CLAIM_PARTS is one whole component: so no two claims can share a directory."""
    path = _path(value, info)
    parts = [part for part in path.parts if "{" in part or "}" in part]
    if sorted(parts) != sorted(CLAIM_PARTS):
        words = f"accepted: a path with {', '.join(CLAIM_PARTS)} in it, each once and each a directory of its own"
        raise ValueError(f"{value!r} does not tell the claims of a site apart; {words}")
    return str(path)


def may_meet(one: str, other: str) -> bool:
    """Whether a directory of one template could be that of another, or lie in it."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return all(left == right or "{" in left + right for left, right in pairs)


def own_platform() -> str:
    """This host's, as images name it: `linux/amd64`."""
    return f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}"


@dataclass(frozen=True, slots=True)
class HostPort:
    """A TCP address; port 0 lets the system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, value: Any) -> HostPort:
        host, colon, port = str(value).rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
            raise ValueError(f"{value!r} is not an address; accepted: host:port, such as 0.0.0.0:0 or [::]:7443")
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket file that only this account can open."""

    path: Path


def _listen(value: Any, info: ValidationInfo) -> UnixSocket | HostPort:
    if isinstance(value, UnixSocket | HostPort):
        return value
    scheme, _, rest = str(value).partition(":")
    if scheme == "unix" and rest:
        path = _path(rest, info)
        if len(str(path).encode()) > _SOCKET_PATH_BYTES:
            raise ValueError(f"{path} is too long for a unix socket; accepted: at most {_SOCKET_PATH_BYTES} bytes")
        return UnixSocket(path)
    if scheme == "https" and rest.startswith("//"):
        return HostPort.parse(rest[2:].removesuffix("/"))
    raise ValueError(f"{value!r} is no place to listen; accepted: unix:/path or https://host:port")


Duration = Annotated[float, BeforeValidator(duration)]
Size = Annotated[int, BeforeValidator(size)]
AbsolutePath = Annotated[Path, BeforeValidator(_path)]
Address = Annotated[
    HostPort, BeforeValidator(lambda value: value if isinstance(value, HostPort) else HostPort.parse(value))
]
RegistryName = Annotated[str, BeforeValidator(_registry)]
Listen = Annotated[UnixSocket | HostPort, BeforeValidator(_listen)]
