"""farnode's client, as a user on the login node writes it: submit, then take each pod as it ends.

A round is {"pods": how many, "gpus": of each, "command": optional, /bin/true else}.
"""

from __future__ import annotations

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


def main() -> None:
    names = (f"pod-{number}" for number in count())
    with Client("box") as client:

        def play(asked: dict[str, Any]) -> dict[str, Any]:
            command, gpus = asked.get("command", ["/bin/true"]), asked.get("gpus", 0)
            pods = client.submit([manifest(next(names), command, gpus) for _ in range(asked["pods"])])
            ended = [pod.phase for pod in client.as_ended(pods)]
            assert ended == ["Succeeded"] * asked["pods"], {phase: ended.count(phase) for phase in set(ended)}
            return {}

        rounds.serve(play)


if __name__ == "__main__":
    main()
