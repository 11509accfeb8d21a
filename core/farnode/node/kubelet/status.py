"""How exec and attach end: a v1.Status, as the kubelet words it (k8s.io/kubelet, pkg/cri/streaming/remotecommand).

Clients take the exit code from its cause. A session that ends without any reads as success, so each must get one.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_INTERNAL = "Internal error occurred: "


def ended(code: int) -> Json:
    """Of a process that ran."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failed(words: str) -> Json:
    """Of one that could not be started, or whose end nobody knows."""
    words = words.removeprefix(_INTERNAL)
    return {
        "metadata": {},
        "status": "Failure",
        "message": _INTERNAL + words,
        "reason": "InternalError",
        "details": {"causes": [{"message": words}]},
        "code": 500,
    }
