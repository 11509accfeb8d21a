"""The configuration file: defaults that work, and words for everything that does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from farnode.config.values import HostPort, UnixSocket, duration, size
from farnode.errors import Invalid
from farnode.gateway.config import GatewayConfig, Provider, load

SMALLEST: dict[str, Any] = {"site": "lab", "provider": "local"}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HOME", "/home/alice")

    def write(content: Any) -> Path:
        path = tmp_path / "gateway.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def test_two_keys_are_enough(write: Any) -> None:
    config = load(write(SMALLEST))
    assert config.state == Path("/home/alice/.local/state/farnode/lab")
    assert config.spool == Path("/home/alice/.farnode/spool/lab")
    assert config.listen == UnixSocket(config.state / "gateway.sock")
    assert config.provider == Provider(kind="local")
    assert (config.fence_after, config.heartbeat, config.walltime.default) == (1800, 10, 3600)
    assert (config.limits.processes, config.limits.log_size, config.limits.log_files) == (4096, 256 << 20, 5)


def test_a_full_file(write: Any, tmp_path: Path) -> None:
    config = load(
        write(
            """
            site: lab
            state: state
            spool: ~/spool
            listen: https://[::]:7443
            runners: {listen: "10.0.0.1:0", advertise: login1}
            provider: {kind: slurm, partitions: [gpu]}
            runtimes: [apptainer]
            python: /opt/python/bin/python3.12
            fenceAfter: 1h30m
            walltime: {default: 4h, margin: 2m}
            shareAcrossOwners: true
            retention: {pods: 1d}
            quotas: {bundleBytes: 1Mi}
            limits: {processes: 0, logSize: 10Mi, logFiles: 2}
            images:
              format: directory
              prepared: {"docker.io/library/*": "/cvmfs/unpacked/{name}", "lab:1": lab.sif}
              registries: {"10.0.0.1:5000": {insecure: true}, quay.io: {mirror: "cache:5000", caFile: ca.pem}}
            """
        )
    )
    assert config.state == tmp_path / "state"
    assert config.listen == HostPort("::", 7443)
    assert config.runners.listen == HostPort("10.0.0.1", 0)
    assert config.provider.settings == {"partitions": ["gpu"]}
    assert config.fence_after == 5400
    assert config.quotas.bundle_bytes == 1024**2
    assert (config.limits.processes, config.limits.log_size, config.limits.log_files) == (0, 10 << 20, 2)
    assert config.images.prepared["lab:1"] == tmp_path / "lab.sif"
    assert config.images.registries["10.0.0.1:5000"].insecure
    assert config.images.registries["quay.io"].ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"maxAttemps": 1}, "maxAttemps: unknown key, did you mean 'maxAttempts'?; accepted: site, provider, state"),
        (
            {"images": {"fromat": "sif"}},
            "images.fromat: unknown key, did you mean 'format'?; accepted: format, platform",
        ),
        (
            {"images": {"registries": {"quay.io": {"caFle": "ca.pem"}}}},
            "images.registries.quay.io.caFle: unknown key, did you mean 'caFile'?; accepted: caFile, insecure, mirror",
        ),
        ({"images": {"registries": {"http://x": {}}}}, "'http://x' is no registry; accepted: host:port, or a host's"),
        (
            {"images": {"registries": {"x": {"caFile": "a", "insecure": True}}}},
            "images.registries.x: caFile and insecure exclude each other",
        ),
        ({"images": {"platform": "windows/amd64"}}, "images.platform: string should match pattern"),
        ({"site": None}, "site: input should be a valid string; got None"),
        ({"site": "Lab"}, "site: string should match pattern"),
        ({"provider": {"partitions": []}}, "provider.kind: is missing"),
        ({"provider": 7}, "provider: is not a mapping; accepted: kind, settings"),
        ({"fenceAfter": "soon"}, "fenceAfter: 'soon' is not a duration; accepted: a number and its unit"),
        ({"fenceAfter": 30}, "fenceAfter: 30 is not a duration"),
        ({"fenceAfter": "20s"}, "gateway.yaml: fenceAfter must be at least three heartbeats"),
        ({"listen": "http://host:1"}, "listen: 'http://host:1' is no place to listen; accepted: unix:/path or https"),
        ({"listen": "unix:/" + "x" * 120}, "listen: .* is too long for a unix socket"),
        ({"state": "/" + "x" * 120}, "listen: .* is too long for a unix socket"),
        ({"runners": {"listen": "host"}}, "runners.listen: 'host' is not an address; accepted: host:port"),
        ({"runtimes": ["docker"]}, "runtimes.0: input should be 'apptainer', 'podman', .* or 'process'; got 'docker'"),
        ({"quotas": {"bundleBytes": "4MB"}}, "quotas.bundleBytes: '4MB' is not a size"),
        ({"quotas": {"nodeHoursPerDay": 0}}, "quotas.nodeHoursPerDay: input should be greater than 0"),
        ({"pilots": {"idleAfter": "0s"}}, "pilots.idleAfter: input should be greater than 0"),
        ({"python": "python3 -c"}, "python: string should match pattern"),
        ({"retention": []}, "retention: is not a mapping; accepted: pods"),
    ],
)
def test_a_wrong_key_is_named(write: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as raised:
        load(write({**SMALLEST, **change}))
    message = str(raised.value)
    assert "gateway.yaml: " in message
    assert re.search(words.replace("?", r"\?").replace("(", r"\("), message), message


@pytest.mark.parametrize("content", ["", "[]", "a: [", "\tx: 1"])
def test_a_file_that_is_no_mapping(write: Any, content: str) -> None:
    with pytest.raises(Invalid, match=r"gateway\.yaml"):
        load(write(content))


def test_a_missing_file_and_a_missing_key(write: Any, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"cannot be read: .*No such file"):
        load(tmp_path / "nothing.yaml")
    with pytest.raises(Invalid, match="provider: is missing"):
        load(write({"site": "lab"}))


def test_it_is_frozen_and_every_field_says_why() -> None:
    config = GatewayConfig(site="lab", provider=Provider(kind="local"))
    with pytest.raises(ValueError, match="frozen"):
        config.site = "other"
    undocumented = {name for name, field in GatewayConfig.model_fields.items() if not field.description}
    parts = {"provider", "runners", "walltime", "pilots", "retention", "quotas", "limits", "images", "storage"}
    assert undocumented == parts  # their own classes do


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("7d", 604800), ("1h30m", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5", "-5s", "5 s", "5w", "٣s", True, None, 5])
def test_no_durations(text: Any) -> None:
    with pytest.raises(ValueError, match="accepted"):
        duration(text)


@pytest.mark.parametrize(("text", "number"), [("4Mi", 4 * 1024**2), ("20G", 20 * 10**9), (7, 7), ("1k", 1000)])
def test_sizes(text: Any, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize("text", ["", "4MB", "-1", "1.5G", True, None])
def test_no_sizes(text: Any) -> None:
    with pytest.raises(ValueError, match="accepted"):
        size(text)
