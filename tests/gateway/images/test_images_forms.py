"""Which variant of an image, in which form, and how an image that is at the site already is run."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway.images import found, platforms
from farnode.gateway.images.wants import Wanted, wants
from farnode.gateway.images.words import quote, span
from farnode.model.bundle import parse_bundle


def entry(text: str) -> dict[str, Any]:
    system, architecture, *variant = text.split("/")
    return {"digest": text, "platform": {"os": system, "architecture": architecture, "variant": "".join(variant)}}


@pytest.mark.parametrize(
    ("platform", "offered", "chosen"),
    [
        ("linux/amd64", "linux/arm64 linux/amd64", "linux/amd64"),
        ("linux/amd64", "windows/amd64 linux/amd64/v3 linux/386", None),
        ("linux/amd64/v3", "linux/amd64 linux/amd64/v2 linux/amd64/v4", "linux/amd64/v2"),
        ("linux/arm64", "linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm64", "linux/arm64/v9 linux/arm64", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v6 linux/arm/v5", "linux/arm/v6"),
        ("linux/arm/v6", "linux/arm", None),
        ("linux/arm64", "linux/aarch64", "linux/aarch64"),
        ("linux/ppc64le", "unknown/unknown linux/ppc64le", "linux/ppc64le"),
    ],
)
def test_the_variant_of_a_platform(platform: str, offered: str, chosen: str | None) -> None:
    found_one = platforms.choose([entry(text) for text in offered.split()], platform)
    assert (found_one and found_one["digest"]) == chosen


def test_what_an_index_has_in_words() -> None:
    manifests = [entry("linux/arm64/v8"), entry("unknown/unknown"), {}, entry("windows/amd64")]
    assert platforms.names(manifests) == "linux, linux/arm64/v8, windows/amd64"
    assert platforms.choose([{}], "linux/amd64") is None
    assert platforms.names([]) == "none"


def pod(*volumes: tuple[str, str]) -> Any:
    containers = [
        {"name": "a", "image": "tool:1"},
        {"name": "b", "image": "tool:1"},
        {"name": "c", "image": "data:1", "imagePullPolicy": "Never"},
    ]
    images = [
        {"name": f"v{number}", "image": {"reference": reference, "pullPolicy": policy}}
        for number, (reference, policy) in enumerate(volumes)
    ]
    spec = {"containers": containers, "volumes": images}
    return parse_bundle(
        {"pod": {"metadata": {"name": "p", "uid": "0b6cc0d3-0c1c-4b8a-a6b5-0d5f7f0e7a11"}, "spec": spec}}
    )


def test_the_form_a_runtime_needs() -> None:
    tool, data = ("tool:1", "IfNotPresent"), ("data:1", "Never")
    for form in ("sif", "directory"):
        assert wants(pod(), "apptainer", form) == (Wanted(*tool, form, True), Wanted(*data, form, True))
    assert wants(pod(), "podman", "sif") == (Wanted(*tool, "directory"), Wanted(*data, "directory"))
    assert wants(pod(), "process", "sif") == ()
    volume = ("data:1", "Always")
    assert wants(pod(volume), "process", "sif") == (Wanted(*volume, "directory"),)
    assert wants(pod(volume), "apptainer", "sif")[1:] == (Wanted(*data, "directory"), Wanted(*volume, "directory"))


def sif(path: Path, objects: Mapping[str, bytes]) -> None:
    """A file of this format, as far as it says how an image is run."""
    table, data = b"", b""
    at = 128 + 585 * (len(objects) + 1)
    for name, content in {"": b"unused", **objects}.items():
        fields = (1, bool(name), 1, 1, 0, at + len(data), len(content), len(content), 0, 0, 0, 0)
        table += struct.pack("<i?IIIqqqqqqq128s384s", *fields, name.encode(), b"")
        data += content
    header = (b"#!/usr/bin/env run-singularity\n", b"SIF_MAGIC", b"01", b"02", b"", 0, 0, 0, len(objects) + 1, 128)
    path.write_bytes(struct.pack("<32s10s3s3s16sqqqqqqqq", *header, len(table), at, len(data)) + table + data)


CONFIG = {"Entrypoint": ["/bin/tool"], "Cmd": ["a b"], "StopSignal": "SIGINT"}
RUNSCRIPT = """#!/bin/sh
OCI_ENTRYPOINT='"/bin/tool" "with \\"quotes\\""'
OCI_CMD='"a b" "'"'"'"'
"""
EXPORTS = """#!/bin/sh
export FOO="${FOO:-"im\\"age"}"
export PATH="/usr/bin:/bin"
"""
SAID = {
    "Entrypoint": ["/bin/tool", 'with "quotes"'],
    "Cmd": ["a b", "'"],
    "Env": ['FOO=im"age', "PATH=/usr/bin:/bin"],
}


def test_a_file_with_its_configuration(tmp_path: Path) -> None:
    sif(tmp_path / "a.sif", {"oci-config.json": json.dumps(CONFIG).encode()})
    assert found.config(tmp_path / "a.sif") == CONFIG


def test_a_file_of_an_older_apptainer(tmp_path: Path) -> None:
    environment = {"/.singularity.d/env/90-environment.sh": "", "/.singularity.d/env/10-docker2singularity.sh": EXPORTS}
    attributes = {"runscript": RUNSCRIPT, "environment": environment}
    noted = json.dumps({"data": {"attributes": attributes}}).encode()
    sif(tmp_path / "a.sif", {"deffile": b"", "inspect-metadata.json": noted})
    assert found.config(tmp_path / "a.sif") == SAID


def test_directories(tmp_path: Path) -> None:
    sandbox, charlie, plain = (tmp_path / name for name in ("sandbox", "charlie", "plain"))
    (sandbox / ".singularity.d/env").mkdir(parents=True)
    (sandbox / ".singularity.d/runscript").write_text(RUNSCRIPT)
    (sandbox / ".singularity.d/env/10-docker2singularity.sh").write_text(EXPORTS)
    (charlie / "ch").mkdir(parents=True)
    (charlie / "ch/metadata.json").write_text(json.dumps({"cwd": "/work", "env": {"A": "1"}, "labels": {}}))
    plain.mkdir()
    assert found.config(sandbox) == SAID
    assert found.config(charlie) == {"Env": ["A=1"], "WorkingDir": "/work"}
    assert found.config(plain) == found.config(tmp_path / "absent") == {}


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"x" * 200, b"\0" * 32 + b"SIF_MAGIC\0" + b"\xff" * 200])
def test_files_that_say_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.sif").write_bytes(content)
    nothing: dict[str, Any] = {"Entrypoint": [], "Cmd": [], "Env": []}
    assert found.config(tmp_path / "a.sif") == nothing
    sif(tmp_path / "b.sif", {"oci-config.json": content or b"{", "inspect-metadata.json": b"[1]"})
    assert found.config(tmp_path / "b.sif") == nothing
    (tmp_path / "ch").mkdir()
    (tmp_path / "ch/metadata.json").write_bytes(content or b"[]")
    assert found.config(tmp_path) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0004, "0s"), (0.31, "310ms"), (1.5, "1.5s"), (62.25, "1m2.25s"), (60, "1m0s"), (3723, "1h2m3s")],
)
def test_times_as_the_kubelet_writes_them(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_names_as_the_kubelet_writes_them() -> None:
    assert [quote("a"), quote('a"b\n'), quote("ü")] == ['"a"', '"a\\"b\\n"', '"ü"']
