"""What the job dials, to find out whether runners will reach the gateway.

An open port proves nothing: routers exist that accept a connection to anywhere. So whoever answers must show who it is:
a listener of ours by a word, a running gateway by its certificate.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from farnode.gateway.config import GatewayConfig
from farnode.gateway.doctor.directories import lock_holder
from farnode.gateway.tls import fingerprint


@asynccontextmanager
async def listening(config: GatewayConfig) -> AsyncIterator[dict[str, Any]]:
    """Where to dial and what must be heard there, for the job; OSError when the configured address cannot be had."""
    where, host = config.runners.listen, config.runners.advertise
    if where.port and lock_holder(config.state) is not None:
        yield {"host": host, "port": where.port, "fingerprint": _fingerprint(config.state)}
        return
    word = secrets.token_hex(16)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(word.encode() + b"\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, where.host, where.port) as server:
        yield {"host": host, "port": server.sockets[0].getsockname()[1], "word": word}


def _fingerprint(state: Path) -> str:
    certificate = x509.load_pem_x509_certificate((state / "tls.pem").read_bytes())
    return fingerprint(certificate.public_bytes(Encoding.DER))
