"""A client that may be killed at any moment: it hands in a list of bundles and waits for the end of all of them.

    python driver.py BUNDLES URL TOKEN_FILE

Pods have their UIDs in the file, so whoever starts it again only repeats what was not heard of.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from farnode import Client, Site

BATCH = 100


def main(bundles: Path, url: str, token: Path) -> None:
    documents = json.loads(bundles.read_text())
    with Client(Site("site", url, token), patience=300) as client:
        for start in range(0, len(documents), BATCH):
            client.submit(documents[start : start + BATCH])
        for pod in client.as_ended([document["pod"]["metadata"]["uid"] for document in documents]):
            print(pod.uid, pod.phase, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
