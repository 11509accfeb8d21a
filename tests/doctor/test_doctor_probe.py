"""The probe's two programs: they look for a Python as runners do, and run on the oldest one supported."""

from __future__ import annotations

import ast
from importlib.resources import files


def test_the_probe_finds_the_python_a_runner_would() -> None:
    probe = files("farnode.gateway.doctor").joinpath("probe.sh").read_text()
    script = files("farnode.runner").joinpath("job.sh").read_text()
    search = script[script.index("usable() {") : script.index("leftovers() {")]
    assert search in probe


def test_the_probe_is_python_3_9() -> None:
    ast.parse(files("farnode.gateway.doctor").joinpath("probe.py").read_text(), feature_version=(3, 9))
