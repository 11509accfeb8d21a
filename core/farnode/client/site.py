"""Where a gateway is and how its caller proves who it is. No I/O but reading the token file."""

from __future__ import annotations

import os
import string
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from farnode.errors import Invalid


@dataclass(frozen=True, slots=True)
class Site:
    """One gateway. `url` is `unix:/path.sock` or `https://host:port`; the latter needs the SHA-256 `fingerprint` of its
    certificate (hex, colons allowed) or a `ca_file` to verify it with, never nothing. `token_file` has mode 0600."""

    name: str
    url: str
    token_file: Path | None = None
    fingerprint: str | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise Invalid("name", "a site needs a name")
        if self.fingerprint is not None:
            object.__setattr__(self, "fingerprint", _fingerprint(self.fingerprint))

    @property
    def socket(self) -> str | None:
        """The path of the Unix socket, where it is one."""
        return self.url.removeprefix("unix:") if self.url.startswith("unix:") else None

    def address(self) -> tuple[str, int]:
        """Host and port of an https site; Invalid names what is missing."""
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise Invalid("url", f"{self.url!r} is not understood: unix:/path.sock or https://host:port is accepted")
        if self.fingerprint is None and self.ca_file is None:
            raise Invalid("fingerprint", "an https site needs fingerprint (sha256 of its certificate) or caFile")
        try:
            return parts.hostname, parts.port or 443
        except ValueError:
            raise Invalid("url", f"the port of {self.url!r} is not a number up to 65535") from None

    def token(self) -> str | None:
        """The bearer token, read anew. Invalid when the file can be read by others: it would no longer be a secret.
        A file that is not ours may be open to its group: so Kubernetes gives a pod a Secret's files, which are root's.
        """
        if self.token_file is None:
            return None
        try:
            status = self.token_file.stat()
            token = self.token_file.read_text("ascii").strip()
        except OSError as error:
            raise Invalid("tokenFile", f"{self.token_file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Invalid("tokenFile", f"{self.token_file} holds no token") from None
        mode = status.st_mode & 0o777
        if mode & (0o077 if status.st_uid == os.geteuid() else 0o007):
            raise Invalid("tokenFile", f"{self.token_file} is open to others (mode {mode:04o}): chmod 600 it")
        if not token or not token.isprintable() or " " in token:
            raise Invalid("tokenFile", f"{self.token_file} holds no token")
        return token


def _fingerprint(text: str) -> str:
    digits = text.lower().removeprefix("sha256:").replace(":", "")
    if len(digits) != 64 or set(digits) - set(string.hexdigits):
        raise Invalid("fingerprint", "a SHA-256 fingerprint is 64 hexadecimal digits")
    return digits
