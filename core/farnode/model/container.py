"""One container of a pod, as Kubernetes defaults and validates it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from farnode.errors import Invalid
from farnode.model.env import EnvFrom, EnvVar, read_env, read_env_from
from farnode.model.names import LABEL
from farnode.model.reader import Reader
from farnode.model.resources import Resources, read_resources
from farnode.model.volume import Mount, read_mount

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")


@dataclass(frozen=True, slots=True)
class Port:
    """What a container says it listens on: for people and port-forwarding by name, nothing is opened or closed."""

    port: int
    name: str = ""
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Container:
    """`command` and `args` None: the image's ENTRYPOINT and CMD. An empty list means the same to Kubernetes, so it
    becomes None here. `working_dir` "": the image's. `sidecar`: an init container that keeps running beside the others
    (restartPolicy Always)."""

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
    sidecar: bool = False
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"


def read_container(reader: Reader, volumes: Collection[str]) -> Container:
    image = reader.at("image").text()
    if image != image.strip():
        raise reader.at("image").invalid("must not begin or end with white space")
    return Container(
        name=LABEL.check(reader.at("name").text(), f"{reader.path}.name"),
        image=image,
        pull_policy=reader.at("imagePullPolicy").choice(PULL_POLICIES, default_pull_policy(image)),
        command=reader.at("command").texts() or None,
        args=reader.at("args").texts() or None,
        env=tuple(read_env(item) for item in reader.at("env").items()),
        env_from=tuple(read_env_from(item) for item in reader.at("envFrom").items()),
        working_dir=reader.at("workingDir").text(""),
        resources=read_resources(reader.at("resources")),
        mounts=_read_mounts(reader.at("volumeMounts"), volumes),
        ports=tuple(_read_port(item) for item in reader.at("ports").items()),
        tty=reader.at("tty").flag(),
        stdin=reader.at("stdin").flag(),
        termination_message_path=reader.at("terminationMessagePath").text("/dev/termination-log"),
        termination_message_policy=reader.at("terminationMessagePolicy").choice(MESSAGE_POLICIES, "File"),
    )


def default_pull_policy(image: str) -> str:
    """Kubernetes' "Default image pull policy": Always for `:latest` or no tag at all, else IfNotPresent."""
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if "@" in image or tag not in ("", "latest") else "Always"


def _read_mounts(reader: Reader, volumes: Collection[str]) -> tuple[Mount, ...]:
    mounts: dict[str, Mount] = {}
    for item in reader.items():
        mount = read_mount(item, volumes)
        if mounts.setdefault(mount.path, mount) is not mount:
            raise Invalid(f"{item.path}.mountPath", f"{mount.path!r} is already the path of another mount")
    return tuple(mounts.values())


def _read_port(reader: Reader) -> Port:
    port = reader.at("containerPort").number(1, 65535)
    if port is None:
        raise reader.at("containerPort").invalid("is required")
    return Port(port, reader.at("name").text(""), reader.at("protocol").choice(("TCP", "UDP", "SCTP"), "TCP"))
