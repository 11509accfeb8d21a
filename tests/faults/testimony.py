"""What pods themselves say, in one file: lines appended by single writes, so their order is what really happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROCESS = {"farnode.io/runtime": "process"}


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    uid: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Testimony:
    """`inside` is the file's path as pods see it, `path` as this machine does."""

    path: Path
    inside: str

    __test__ = False

    @classmethod
    def at(cls, path: Path) -> Testimony:
        return cls(path, str(path))

    def script(self, work: str) -> str:
        """`work`, between a line at its start and one at its end."""
        return f'exec 3>>{self.inside}; echo "start $FARNODE_ATTEMPT" >&3; {work}; echo "end $FARNODE_ATTEMPT" >&3'

    def lines(self) -> Sequence[Line]:
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            what, key = line.split()
            uid, number = key.split("/")
            found.append(Line(what, uid, int(number)))
        return found

    def count(self, what: str, uid: str) -> int:
        return sum(line.what == what and line.uid == uid for line in self.lines())

    def check(self) -> None:
        """No attempt ran twice, and none went on when a newer one had begun."""
        lines = self.lines()
        twice = {line: count for line, count in Counter(lines).items() if count > 1 and line.what != "tick"}
        assert not twice, f"these were written more than once: {twice}"
        newest: dict[str, int] = {}
        for line in lines:
            assert line.attempt >= newest.get(line.uid, 0), f"{line} after attempt {newest[line.uid]} had begun"
            newest[line.uid] = line.attempt

    def finished(self) -> Mapping[str, set[int]]:
        """The attempts that came to their end, by UID; none for a pod that is not in it."""
        found = defaultdict[str, set[int]](set)
        for line in self.lines():
            if line.what == "end":
                found[line.uid].add(line.attempt)
        return found


def pod(name: str, script: str, policy: str = "Never", **spec: Any) -> dict[str, Any]:
    """A small pod that runs `script` as a process of the node."""
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}}
    container = {"name": "main", "image": "none", "command": ["/bin/sh", "-c", script], "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": dict(PROCESS)},
        "spec": {"restartPolicy": policy, "containers": [container], **spec},
    }
