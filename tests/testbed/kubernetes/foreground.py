"""``python -m tests.testbed kubernetes up``: a control plane by hand, as long as this process lasts."""

from __future__ import annotations

import shlex
import signal
import sys
from typing import NoReturn

from tests.testbed.kubernetes.plane import ControlPlane
from tests.testbed.kubernetes.programs import KUBERNETES

UP = """\
Kubernetes {version} is up at {url}
{pids}
  kubeconfig     export KUBECONFIG={kubeconfig}
  kubectl        {kubectl}
  end            Ctrl-C
"""


def up() -> NoReturn:
    """Ends on SIGINT and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with ControlPlane() as plane:
        pids = "\n".join(f"  pid            {name} {each.pid}" for name, each in plane.components.items())
        print(
            UP.format(
                version=KUBERNETES.version,
                url=plane.url,
                pids=pids,
                kubeconfig=shlex.quote(str(plane.kubeconfig)),
                kubectl=plane.command()[0],
            ),
            end="",
            flush=True,
        )
        while True:
            signal.pause()
