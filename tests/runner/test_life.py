"""Whole pods in a real runner: sidecars, probes and hooks by the real clock, on any Python it may run on."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from .gateway import FakeGateway, container, order
from .test_runner import Process, play

SERVER = """
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists(sys.argv[1]) else 503)
        self.end_headers()

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.HTTPServer(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def shell(name: str, script: str, **fields: Any) -> dict[str, Any]:
    return container(name, "sh", "-c", script.replace("$", "$$"), **fields)


def command(script: str) -> dict[str, Any]:
    return {"kind": "exec", "command": ["sh", "-c", script]}


def test_a_server_beside_a_pod(tmp_path: Path) -> None:
    """A sidecar that is started when it takes connections, ready when it says so, and ends after the others."""
    ready, ends, port = tmp_path / "ready", tmp_path / "ends", free_port()
    http = {"kind": "http", "port": port, "path": "/", "scheme": "HTTP"}
    server = container(
        "server",
        sys.executable,
        "-c",
        SERVER,
        str(ready),
        str(port),
        sidecar=True,
        startup_probe={"action": {"kind": "tcp", "port": port}, "period": 0.1, "failure_threshold": 100},
        readiness_probe={"action": http, "period": 0.1, "timeout": 5.0},
        pre_stop=command(f"echo server >> {ends}"),
    )
    main = shell(
        "main",
        "trap 'exit 0' TERM; while :; do sleep 0.05; done",
        post_start=command(f"touch {ready}"),
        pre_stop=command(f"echo main >> {ends}"),
        liveness_probe={"action": command("exit 0"), "period": 0.1, "timeout": 5.0},
    )

    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(order(init_containers=[server], containers=[main]))
        event = await gateway.event(lambda event: event["init_containers"] and event["init_containers"][0]["ready"])
        assert event["init_containers"][0]["started"]
        await gateway.event(lambda event: event["phase"] == "Running" and event["containers"][0]["ready"])
        ready.unlink()
        at = len(gateway.events)
        await gateway.until(lambda: any(not e["init_containers"][0]["ready"] for e in gateway.events[at:]))
        await gateway.send(type="stop", uid="u1", attempt=1)
        ended = await gateway.ended()
        assert ended["phase"] == "Succeeded"
        assert ended["init_containers"][0]["state"]["terminated"]["exitCode"] == 0
        assert sorted(ends.read_text().split()) == ["main", "server"]

    play(tmp_path, scenario)


def test_a_container_that_its_probe_restarts(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        probe = {"action": command("exit 1"), "period": 0.1, "timeout": 5.0, "failure_threshold": 2, "grace": 3.0}
        main = shell("main", "trap 'exit 0' TERM; while :; do sleep 0.05; done", liveness_probe=probe)
        await gateway.start(order(restart_policy="OnFailure", containers=[main]))
        event = await gateway.event(lambda event: event["containers"] and event["containers"][0]["restartCount"] == 1)
        notes = [note["reason"] for event in gateway.events for note in event["notes"]]
        assert notes[:5] == ["Created", "Started", "Unhealthy", "Unhealthy", "Killing"]
        assert event["containers"][0]["lastState"]["terminated"]["exitCode"] == 0
        await gateway.send(type="stop", uid="u1", attempt=1, grace=0)
        await gateway.ended()

    play(tmp_path, scenario)
