"""One container of a pod, as Kubernetes defaults and validates it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from farnode.model.action import Action, HttpGet, TcpSocket
from farnode.model.env import EnvFrom, EnvVar, read_env, read_env_from
from farnode.model.image import read_image
from farnode.model.mount import Mount, read_mounts
from farnode.model.names import LABEL
from farnode.model.port import Port, read_ports
from farnode.model.probe import PROBES, Lifecycle, Probe, read_lifecycle, read_probe
from farnode.model.reader import Reader
from farnode.model.resources import Resources, read_resources
from farnode.model.restart import RestartRule, read_restart
from farnode.model.volume import Volume

MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container's fields are checked against: the pod's volumes by name, its grace period in seconds, and the
    operating system it names, "" for none."""

    volumes: Mapping[str, Volume]
    grace: int
    os: str


@dataclass(frozen=True, slots=True)
class Container:
    """`command` and `args` None: the image's ENTRYPOINT and CMD. An empty list means the same to Kubernetes, so it
    becomes None here. `working_dir` "": the image's. `sidecar`: an init container that keeps running beside the others
    (restartPolicy Always). `restart_policy` "": the pod's."""

    name: str
    image: str
    pull_policy: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    working_dir: str = ""
    resources: Resources = field(default_factory=Resources)
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    sidecar: bool = False
    restart_policy: str = ""
    restart_rules: tuple[RestartRule, ...] = ()
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    read_only_root: bool = False
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"

    @property
    def ports_named(self) -> Iterator[int]:
        """Every port the container, its probes and its hooks name."""
        yield from (port.port for port in self.ports)
        probes = (self.startup_probe, self.liveness_probe, self.readiness_probe)
        actions: list[Action | None] = [probe.action for probe in probes if probe]
        for action in (*actions, self.lifecycle.post_start, self.lifecycle.pre_stop):
            if isinstance(action, HttpGet | TcpSocket):
                yield action.port


def read_init_container(reader: Reader, around: Surroundings) -> Container:
    """One with restartPolicy Always is a sidecar; only that one may have probes and a lifecycle."""
    sidecar = reader.at("restartPolicy").text("") == "Always"
    for name in () if sidecar else (*PROBES, "lifecycle"):
        if reader.at(name).given:
            raise reader.at(name).invalid("must not be set for an init container without restartPolicy: Always")
    return read_container(reader, around, sidecar=sidecar)


def read_container(reader: Reader, around: Surroundings, *, sidecar: bool = False) -> Container:
    image, pull_policy = read_image(reader, "image", "imagePullPolicy")
    ports = read_ports(reader.at("ports"))
    policy, rules = read_restart(reader)
    startup, liveness, readiness = (read_probe(reader.at(name), ports, around.grace) for name in PROBES)
    return Container(
        name=LABEL.check(reader.at("name").text(), f"{reader.path}.name"),
        image=image,
        pull_policy=pull_policy,
        command=reader.at("command").texts() or None,
        args=reader.at("args").texts() or None,
        env=tuple(read_env(item) for item in reader.at("env").items()),
        env_from=tuple(read_env_from(item) for item in reader.at("envFrom").items()),
        working_dir=reader.at("workingDir").text(""),
        resources=read_resources(reader.at("resources")),
        mounts=read_mounts(reader.at("volumeMounts"), around.volumes),
        ports=ports,
        tty=reader.at("tty").flag(),
        stdin=reader.at("stdin").flag(),
        stdin_once=reader.at("stdinOnce").flag(),
        sidecar=sidecar,
        restart_policy=policy,
        restart_rules=rules,
        startup_probe=startup,
        liveness_probe=liveness,
        readiness_probe=readiness,
        lifecycle=read_lifecycle(reader.at("lifecycle"), ports, around.grace, around.os),
        read_only_root=reader.at("securityContext").at("readOnlyRootFilesystem").flag(),
        termination_message_path=reader.at("terminationMessagePath").text("/dev/termination-log"),
        termination_message_policy=reader.at("terminationMessagePolicy").choice(MESSAGE_POLICIES, "File"),
    )
