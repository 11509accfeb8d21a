"""The gateway's configuration: one YAML file."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from farnode.config import part
from farnode.config.part import Part
from farnode.config.values import (
    AbsolutePath,
    Address,
    Duration,
    HostPort,
    Listen,
    RegistryName,
    Size,
    may_meet,
    own_platform,
    template,
)

Runtime = Literal["apptainer", "podman", "charliecloud", "bubblewrap", "process"]


class Runners(Part):
    """Where runners, on compute nodes, reach this gateway."""

    listen: Address = HostPort("0.0.0.0", 0)  # noqa: S104
    """All interfaces, because which of them compute nodes see is not known here; a free port, because several
    accounts run gateways on one login node."""
    advertise: str = Field(default_factory=socket.gethostname, min_length=1)
    """The name runners dial: this host's own, which compute nodes of most clusters resolve."""


class Provider(Part):
    """The batch system; all keys but `kind` are the driver's own, which checks them."""

    kind: str
    """The driver's entry point in the group `farnode.providers`, such as `slurm`."""
    settings: Mapping[str, Any] = Field(default_factory=dict)


def _provider(value: Any) -> Any:
    if isinstance(value, str):
        return {"kind": value}
    if not isinstance(value, dict):
        return value
    settings = {key: item for key, item in value.items() if key != "kind"}
    return {"settings": settings} | {key: value[key] for key in ("kind",) if key in value}


class Walltime(Part):
    """How long allocations are asked for when the pod does not say it."""

    default: Duration = Field(default=3600.0, gt=0)
    """One hour: short enough to fit into the gaps that backfill leaves."""
    margin: Duration = Field(default=120.0, ge=0)
    """Asked for beyond a pod's own deadline: a runner needs time to start, and to end its pods with grace."""


class Pilots(Part):
    """Allocations that run many pods, one after another and beside each other."""

    enabled: bool = True
    """Without pilots each pod is a batch job of its own."""
    cores: int | None = Field(default=None, ge=1)
    """Of one pilot at most; a whole node where nothing is said. Pilots are smaller where fewer pods wait."""
    walltime: Duration = Field(default=4 * 3600.0, gt=0)
    """Asked for, or more where a pod needs it: long enough to be worth a wait in the queue."""
    idle_after: Duration = Field(default=120.0, gt=0)
    """A pilot without pods for so long is given back: long enough for the next cell of a notebook."""
    max: int = Field(default=64, ge=1)
    """Queued or running at once."""
    first: int = Field(default=4, ge=1)
    """Queued at once while none runs; with each that has run for 10 s, two more may queue: a mistake floods no queue.
    Pods that none is for get a first one all the same."""


class Retention(Part):
    """How long things are kept that nobody needs to run."""

    pods: Duration = Field(default=7 * 86400.0, ge=0)
    """Records and logs of ended pods; a week outlasts a long weekend."""


class Quotas(Part):
    """Limits that keep one owner, or this gateway, from filling what others need too."""

    pods_per_owner: int = Field(default=10_000, ge=1)
    """Pods not ended yet; ten times what one virtual node is usually given."""
    node_hours_per_day: float | None = Field(default=None, gt=0)
    """Of allocations, for one owner and day (UTC); what would begin beyond it waits for the next day."""
    bundle_bytes: Size = Field(default=4 * 1024**2, ge=64 * 1024)
    """One pod with all its ConfigMaps and Secrets; the kube-apiserver's own objects end at 1.5 MiB each."""
    spool_bytes: Size = Field(default=50 * 1024**3, ge=1024**2)
    """Pods' directories and logs on the shared file system; within the home quotas of most sites."""


class Limits(Part):
    """The site's own, on every container, whatever its pod says."""

    processes: int = Field(default=4096, ge=0)
    """At once, threads counted; 0: any number. More than programs need, and few enough to keep a fork bomb harmless."""
    log_size: Size = Field(default=256 * 1024**2, ge=64 * 1024)
    """Of one log file: a spool has room for more than the 10 MiB that a kubelet keeps on a node's disk."""
    log_files: int = Field(default=5, ge=2)
    """Kept of each run of a container; as many as a kubelet keeps, and like there at least two."""


class RegistryAccess(Part):
    """How one registry is spoken to."""

    ca_file: AbsolutePath | None = None
    """Certificates (PEM) of an authority that the registry's is signed by, trusted beside the system's."""
    insecure: bool = False
    """Without TLS."""
    mirror: RegistryName | None = None
    """`host:port` of another registry that is asked first; what it does not have comes from this one."""

    @model_validator(mode="after")
    def _consistent(self) -> RegistryAccess:
        if self.insecure and self.ca_file:
            raise ValueError("caFile and insecure exclude each other: without TLS nothing is signed")
        return self


class Images(Part):
    """Container images: where they come from and in which form compute nodes get them."""

    format: Literal["sif", "directory"] = "sif"
    """What apptainer gets; other runtimes and image volumes always get directories. One file per image is what
    parallel file systems like; `directory` where compute nodes cannot mount SIF."""
    platform: str = Field(default_factory=own_platform, pattern=r"^linux/[a-z0-9_]+(/v[0-9]+)?$")
    """Of the compute nodes, such as `linux/arm64`: which of an image's variants is taken."""
    prepared: Mapping[str, AbsolutePath] = Field(default_factory=dict)
    """Images that are already there: `name:tag` or a pattern (`registry.example/lab/*`) to a SIF or directory.
    In a pattern's path `{name}` is the image's name in full and `{path}` that without its registry, as in
    `docker.io/*: /cvmfs/unpacked.cern.ch/registry.hub.docker.com/{path}`."""
    directories: tuple[AbsolutePath, ...] = ()
    """Prefixes below which a pod may name its image by absolute path. None: a path could be anybody's file."""
    pull_secrets: tuple[AbsolutePath, ...] = ()
    """Files in docker's config.json format, mode 0600."""
    registries: Mapping[RegistryName, RegistryAccess] = Field(default_factory=dict)
    """By `host:port` (or `docker.io`), those that differ: `caFile` (an authority of their own), `insecure: true`
    (no TLS; logins travel in the clear), `mirror` (the `host:port` of another registry to ask first)."""
    max_bytes: Size = Field(default=100 * 1024**3, ge=1024**2)
    """Converted images on the spool; a score of GPU frameworks. The least recently used go first."""
    fetches: int = Field(default=2, ge=1)
    """Images fetched at once: conversion keeps a core busy, and this is usually a shared login node."""
    timeout: Duration = Field(default=3600.0, gt=0)
    """Of one fetch; 20 GB images over a slow line take most of an hour."""


class HostPath(Part):
    """A directory of the compute nodes that pods may mount by hostPath, with all below it."""

    path: AbsolutePath
    read_only: bool = False


class StorageClass(Part):
    """Where the directories of claims are made."""

    path: Annotated[str, BeforeValidator(template)]
    """The directory of one claim."""
    reclaim: Literal["delete", "retain"] = "delete"
    """What becomes of the directory when the claim is deleted."""
    default: bool = False
    """Taken by claims that name no class."""
    quota: tuple[str, ...] = ()
    """A command that sets the quota of `{path}` to `{bytes}`."""


class Storage(Part):
    """What of the site's file systems pods may use, beside the images and the node's scratch space."""

    host_paths: tuple[HostPath, ...] = ()
    """Directories that pods may mount by hostPath, with all below them: `{path: /cvmfs, readOnly: true}`. None: the
    account can read more of a site than every pod should. Links that lead out of them are refused on the node;
    `readOnly` holds for what is there, not for other file systems that are mounted inside."""
    storage_classes: Mapping[str, StorageClass] = Field(default_factory=dict)
    """By name, where claims get their directories: `path`, such as `/scratch/{owner}/{namespace}/{claim}`, on a file
    system that this host and the compute nodes share; `reclaim`, `delete` (default) or `retain`; `default: true` for
    claims that name no class; `quota`, a command run when the directory has been made and when its claim grows, such as
    `[lfs, setquota, …, "{path}", "{bytes}"]`."""

    @model_validator(mode="after")
    def _one_default(self) -> Storage:
        defaults = [name for name, each in self.storage_classes.items() if each.default]
        if len(defaults) > 1:
            raise ValueError(f"{' and '.join(defaults)} are both the default storage class; accepted: one at most")
        for (name, one), (other, two) in combinations(self.storage_classes.items(), 2):
            if one.path != two.path and may_meet(one.path, two.path):
                raise ValueError(f"two claims of {name} and {other} could share a directory: {one.path} and {two.path}")
        return self


class GatewayConfig(Part):
    """One site, as one account sees it. Only `site` and `provider` must be given."""

    site: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """A DNS label; names the site in nodes, metrics and directories."""
    provider: Annotated[Provider, BeforeValidator(_provider)]
    state: AbsolutePath = Field(
        default_factory=lambda data: Path("~/.local/state/farnode").expanduser() / data["site"],
    )
    """The database, keys and tokens; on a local disk, of which the account's home may well be none."""
    spool: AbsolutePath = Field(default_factory=lambda data: Path("~/.farnode/spool").expanduser() / data["site"])
    """Shared with compute nodes: the job script, images, pods' directories. Home is shared nearly everywhere."""
    listen: Listen = Field(default_factory=lambda data: f"unix:{data['state']}/gateway.sock", validate_default=True)
    """A unix socket: nobody else on a login node can open it."""
    runners: Runners = Runners()
    runtimes: tuple[Runtime, ...] = Field(default=("apptainer", "process"), min_length=1)
    """Allowed, in order of preference. `process` runs a pod's command without its image."""
    python: str = Field(default="/usr/bin/python3", pattern=r"^/[-A-Za-z0-9._+/]+$")
    """The interpreter on compute nodes, 3.9 or newer; the system's own, as modules are not loaded there."""
    fence_after: Duration = Field(default=1800.0, gt=0)
    """A runner unheard for this long ends its pods: longer than a gateway's restart or a move to another host."""
    heartbeat: Duration = Field(default=10.0, gt=0)
    """Between signs of life of a runner; three missed ones are a lost connection, which ends nothing."""
    poll_interval: Duration = Field(default=15.0, gt=0)
    """Between questions to the batch system, one for all allocations; runners tell the rest, so it may be slow."""
    settle_after: Duration = Field(default=30.0, ge=0)
    """How long a submission whose answer was lost may take to show up before it is made again."""
    starve_after: Duration = Field(default=300.0, gt=0)
    """A pod that waited so long for room that smaller ones keep taking gets a runner's room kept for it."""
    max_attempts: int = Field(default=3, ge=1)
    """Of a pod that restarts after its allocation ended; more would burn an account's hours on a broken node."""
    walltime: Walltime = Walltime()
    pilots: Pilots = Pilots()
    share_across_owners: bool = False
    """Pods of different owners in one allocation run as one account and could read each other's files."""
    retention: Retention = Retention()
    quotas: Quotas = Quotas()
    limits: Limits = Limits()
    images: Images = Images()
    storage: Storage = Storage()

    @model_validator(mode="after")
    def _consistent(self) -> GatewayConfig:
        if self.fence_after < 3 * self.heartbeat:
            raise ValueError("fenceAfter must be at least three heartbeats, or every hiccup would end pods")
        return self


def load(path: Path) -> GatewayConfig:
    """Read the file; Invalid names it, the key, what is wrong and what is accepted."""
    return part.load(GatewayConfig, path, "`site: NAME` and `provider: {kind: …}`")
