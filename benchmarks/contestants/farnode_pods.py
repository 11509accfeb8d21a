"""farnode's client, as a user on the login node writes it: submit, then take each pod as it ends.

A round is {"pods": how many, "gpus": of each, "command": optional, /bin/true else}; {"tidy": true} removes all that
earlier ones left.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import rounds
from anyio.from_thread import start_blocking_portal

from farnode import AsyncClient


def manifest(name: str, command: list[str], gpus: int) -> dict[str, Any]:
    devices = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    resources = {"requests": {"cpu": "1"}, "limits": devices}
    container = {"name": "c", "image": "none", "command": command, "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"farnode.io/runtime": "process"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


async def run(client: AsyncClient, documents: list[dict[str, Any]]) -> None:
    pods = await client.submit(documents)
    ended = [pod.phase async for pod in client.as_ended(pods)]
    assert ended == ["Succeeded"] * len(documents), {phase: ended.count(phase) for phase in set(ended)}


async def tidy(client: AsyncClient) -> None:
    await client.delete(await client.pods(), purge=True)
    while await client.pods():
        await asyncio.sleep(0.1)


def main() -> None:
    names = (f"pod-{number}" for number in count())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(AsyncClient("box")) as client:

        def play(asked: dict[str, Any]) -> dict[str, Any]:
            if asked.get("tidy"):
                portal.call(tidy, client)
                return {}
            command, gpus = asked.get("command", ["/bin/true"]), asked.get("gpus", 0)
            portal.call(run, client, [manifest(next(names), command, gpus) for _ in range(asked["pods"])])
            return {}

        rounds.serve(play)


if __name__ == "__main__":
    main()
