"""farnode's client, as a user on the login node writes it: submit, then take each pod as it ends.

A round is {"pods": how many, "gpus": of each, "command": optional, /bin/true else}; {"tidy": true} removes all that
earlier ones left.
"""

from __future__ import annotations

import time
from itertools import count
from typing import Any

import rounds

from farnode import Client


def manifest(name: str, command: list[str], gpus: int) -> dict[str, Any]:
    wanted = {"cpu": "1"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    container = {"name": "c", "image": "none", "command": command, "resources": {"requests": wanted, "limits": wanted}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"farnode.io/runtime": "process"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def run(client: Client, documents: list[dict[str, Any]]) -> None:
    pods = client.submit(documents)
    ended = [pod.phase for pod in client.as_ended(pods)]
    assert ended == ["Succeeded"] * len(documents), {phase: ended.count(phase) for phase in set(ended)}


def tidy(client: Client) -> None:
    client.delete(client.pods(), purge=True)
    while client.pods():
        time.sleep(0.1)


def main() -> None:
    names = (f"pod-{number}" for number in count())
    with Client("box") as client:

        def play(asked: dict[str, Any]) -> dict[str, Any]:
            if asked.get("tidy"):
                tidy(client)
                return {}
            command, gpus = asked.get("command", ["/bin/true"]), asked.get("gpus", 0)
            run(client, [manifest(next(names), command, gpus) for _ in range(asked["pods"])])
            return {}

        rounds.serve(play)


if __name__ == "__main__":
    main()
