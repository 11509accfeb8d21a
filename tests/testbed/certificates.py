"""A certificate authority of the testbed's own, for servers that are known by an address."""

from __future__ import annotations

from pathlib import Path

from tests.testbed import host

TOOLS = {"openssl": "openssl"}
NEW = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
AUTHORITY = ["-subj", "/CN=testbed", "-addext", "keyUsage=critical,keyCertSign"]
SERVER = [
    *("-subj", "/CN=server", "-addext", "basicConstraints=critical,CA:FALSE"),
    *("-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=serverAuth"),
]


def issue(directory: Path, address: str) -> None:
    """Make ``ca.pem``, ``server.pem`` and ``server.key`` for the server at an IP address, unless they are there."""
    if (directory / "server.pem").exists():
        return
    host.install(TOOLS)
    directory.mkdir(exist_ok=True)
    key, authority = str(directory / "ca.key"), str(directory / "ca.pem")
    host.call([*NEW, *AUTHORITY, "-keyout", key, "-out", authority])
    of_authority = [*NEW, *SERVER, "-CA", authority, "-CAkey", key, "-addext", f"subjectAltName=IP:{address}"]
    host.call([*of_authority, "-keyout", str(directory / "server.key"), "-out", str(directory / "server.pem")])
