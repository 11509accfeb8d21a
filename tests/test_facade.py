"""The public face: what `__all__` says is what is visible, and importing it is cheap."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import farnode

SERVER = {"fastapi", "uvicorn", "pydantic", "starlette", "cryptography", "rich", "farnode.gateway", "farnode.cli"}


def test_all_is_what_is_visible() -> None:
    assert farnode.__all__ == sorted(farnode.__all__)
    visible = {
        name
        for name, value in vars(farnode).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert visible == set(farnode.__all__)


def test_every_error_is_of_the_tree() -> None:
    errors = [value for value in vars(farnode).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(error, farnode.FarnodeError) for error in errors)


def test_importing_it_leaves_the_server_alone() -> None:
    program = "import json, sys, farnode; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not SERVER & set(json.loads(done.stdout))
