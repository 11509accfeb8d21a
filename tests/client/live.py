"""Pods of a real site for the tests of clients: programs of this machine."""

from __future__ import annotations

import sys
from typing import Any

from farnode import Client, Pod
from tests.sites import wait_until

SERVER = """
import http.server, os, sys
os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def program(name: str, *command: str, **container: Any) -> dict[str, Any]:
    """The command line is taken as it is, dollars too."""
    words = [word.replace("$", "$$") for word in command]
    main = {"name": "main", "image": "none", "command": words, **container}
    metadata = {"name": name, "annotations": {"farnode.io/runtime": "process"}}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def web(name: str, directory: str, **container: Any) -> dict[str, Any]:
    """Serves a directory at a port which it prints."""
    return program(name, sys.executable, "-c", SERVER, directory, **container)


def running(client: Client, manifest: dict[str, Any]) -> Pod:
    (pod,) = client.submit(manifest)
    wait_until(lambda: client.pod(pod.uid).phase == "Running", f"{pod} runs")
    return client.pod(pod.uid)


def printed(client: Client, pod: Pod) -> str:
    """Its first line."""
    chunks = client.logs(pod, follow=True)
    found = b""
    while b"\n" not in found:
        found += next(chunks)
    chunks.close()
    return found.partition(b"\n")[0].decode()
