"""A connection of the runner's own to a port of a pod: to nobody but a process of that pod."""

from __future__ import annotations

import asyncio
import ssl

from ..pods.attempt import Attempt
from ..processes.listeners import address_of

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(attempt: Attempt, port: int, tls: ssl.SSLContext | None = None) -> Connection:
    """Raises OSError, in the words of the kubelet's dialler, when nobody of the pod takes it."""
    address = address_of(port, attempt.pids())
    try:
        if address is None:
            raise ConnectionRefusedError(0, "Connection refused")
        return await asyncio.open_connection(address, port, ssl=tls)
    except ssl.SSLError:
        raise
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise ConnectionError(f"dial tcp {authority(attempt.host.address, port)}: connect: {words}") from error


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def hang_up(connection: Connection) -> None:
    """At once: what was not sent yet is not waited for."""
    connection[1].transport.abort()
