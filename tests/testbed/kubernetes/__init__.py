"""A real Kubernetes control plane on one machine, for tests, benchmarks and examples.

::

    with ControlPlane() as plane:
        plane.kubectl("get", "namespaces")

By hand: ``python -m tests.testbed kubernetes up``.
"""

from tests.testbed.kubernetes.arguments import COMPONENTS
from tests.testbed.kubernetes.plane import ControlPlane
from tests.testbed.kubernetes.programs import HELM, KUBERNETES, programs

__all__ = ["COMPONENTS", "HELM", "KUBERNETES", "ControlPlane", "programs"]
