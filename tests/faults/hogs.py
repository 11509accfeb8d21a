"""Pods that take all they can get, and one that only wants its turn."""

from __future__ import annotations

from typing import Any

from farnode import Client, Pod
from tests.scenarios.stage import shell
from tests.sites import GatewaySite

Json = dict[str, Any]
PROCESSES, LOG_SIZE, LOG_FILES = 200, 4 << 20, 3
LIMITS = {"processes": PROCESSES, "logSize": LOG_SIZE, "logFiles": LOG_FILES}
"""Of the site the hogs run at."""

MEMORY = """
held = []
while True:
    held.append(bytearray(b"x") * (8 << 20))
"""
CHILDREN = """
import os, time
for _ in range(8):
    if not os.fork():
        break
held = []
while True:
    held.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.01)
"""
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
FLOOD = """
import os, time
end, line = time.monotonic() + 5, b"x" * 99 + b"\\n"
while time.monotonic() < end:
    os.write(1, line * 600)
"""
WITNESS = """
import time
end, last = time.time() + %g, time.time()
while last < end:
    time.sleep(0.01)
    now = time.time()
    print("%%.6f" %% (now - last), flush=False)
    last = now
"""


def python(name: str, program: str, limits: Json | None = None) -> Json:
    container = {
        "image": "python:1",
        "command": ["python3", "-u", "-c", program],
        "resources": {"limits": limits or {}},
    }
    return shell(name, "", container=container, terminationGracePeriodSeconds=1)


HOGS: dict[str, Json] = {
    pod["metadata"]["name"]: pod
    for pod in (
        python("memory-hog", MEMORY, {"memory": "256Mi"}),
        python("many-small-hogs", CHILDREN, {"memory": "256Mi"}),
        python("fork-bomb", BOMB, {"memory": "4Gi"}),
        python("log-flood", FLOOD),
    )
}


def neighbour(seconds: float) -> Json:
    pod = python("neighbour", WITNESS % seconds)
    pod["spec"]["containers"][0]["command"].remove("-u")
    return pod


def gaps(client: Client, pod: Pod) -> list[float]:
    """Milliseconds between its turns; it wants one every 10."""
    text = b"".join(client.logs(pod)).decode()
    return [round(float(line) * 1000, 1) for line in text.split()]


def log_bytes(site: GatewaySite, uid: str) -> int:
    """What the pod's logs take on the spool."""
    return sum(path.stat().st_size for path in site.spool.glob(f"allocations/*/pods/{uid}/*"))
