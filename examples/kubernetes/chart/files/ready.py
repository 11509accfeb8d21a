"""Wait until the nodes are Ready: SECONDS NODE…"""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def node(name):
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}/api/v1/nodes/{name}"
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}"}
    trust = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10, context=trust) as answer:
        return json.load(answer)


def problem(name):
    """In words; none when the node is Ready."""
    try:
        conditions = node(name)["status"].get("conditions", [])
    except (OSError, ValueError) as error:
        return f"{name}: {error}"
    ready = next((each for each in conditions if each["type"] == "Ready"), {"status": "Unknown"})
    return "" if ready["status"] == "True" else f"{name}: Ready is {ready['status']}: {ready.get('message', '')}"


def main(seconds, *names):
    deadline = time.monotonic() + float(seconds)
    while problems := [words for name in names if (words := problem(name))]:
        if time.monotonic() > deadline:
            return "\n".join(problems)
        time.sleep(1)
    print("Ready: " + ", ".join(names))
    return None


sys.exit(main(*sys.argv[1:]))
