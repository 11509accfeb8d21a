"""``python -m tests.testbed cluster up``: a cluster with a site as its node, as long as this process lasts."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import NoReturn

from tests.node.kubectl import PROCESS
from tests.node.stack import NODE, Stack

UP = """\
A Kubernetes cluster is up, and '{node}' is its node: this machine, which plays a site with four pretended GPUs
  export KUBECONFIG={kubeconfig}
  alias kubectl={kubectl}
  kubectl run hello --image=any --restart=Never --annotations={process} --command -- echo hello
  kubectl logs -f hello
There are no images here: {process} runs a command without one
"""


def up(announce: Path | None) -> NoReturn:
    """Ends on SIGINT and SIGTERM. `announce`: where to say that it is up, instead of standard output."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with Stack() as stack:
        words = UP.format(
            node=NODE,
            kubeconfig=shlex.quote(str(stack.plane.kubeconfig)),
            kubectl=shlex.quote(stack.plane.command()[0]),
            process=",".join(f"{key}={value}" for key, value in PROCESS.items()),
        )
        if announce is None:
            print(words, end="", flush=True)
        else:
            new = announce.with_suffix(".new")
            new.write_text(words)
            new.replace(announce)
        while True:
            signal.pause()
