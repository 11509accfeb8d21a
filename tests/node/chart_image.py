"""The image of the node's process, made by buildah without any registry, and its container, run as a kubelet would."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.testbed import host
from tests.testbed.build import SLIM

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
TOOLS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "unshare": "util-linux"}
PACKAGES = "python3,python3-venv,ca-certificates"
BASE, IMAGE = "localhost/python", "localhost/farnode-node"
CERTIFICATES = Path("/etc/ssl/certs")
ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
"""/var/run, which a kubelet says, is a link."""


class Image:
    """Built by the Containerfile from a base of Debian's packages. A context manager: its storage is temporary.

    `root` is the file system of a container, `config` what the image says beside it (OCI image specification)."""

    def __init__(self) -> None:
        host.require()
        host.install(TOOLS)
        self._scratch = Path(tempfile.mkdtemp(prefix="fnimage-"))
        self.root = Path()
        self.config: Json = {}

    def __enter__(self) -> Self:
        try:
            self._import(_base())
            self._build()
            container = self.buildah("from", IMAGE)
            self.root = Path(self.buildah("mount", container))
            self.config = json.loads(self.buildah("inspect", "--type=image", IMAGE))["OCIv1"]["config"]
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def buildah(self, *argv: str) -> str:
        storage = [f"--root={self._scratch / 'storage'}", f"--runroot={self._scratch / 'run'}"]
        return host.call(["nice", "buildah", *storage, "--storage-driver=overlay", *argv], cwd=str(ROOT)).strip()

    def _import(self, archive: Path) -> None:
        container = self.buildah("from", "scratch")
        self.buildah("add", container, str(archive), "/")
        self.buildah("commit", "--rm", container, BASE)

    def _build(self) -> None:
        """With this machine's network, whose authorities pip is to trust."""
        self.buildah(
            *("build", "--isolation=chroot", f"--volume={CERTIFICATES}:{CERTIFICATES}:ro", f"--build-arg=BASE={BASE}"),
            *("--file=examples/kubernetes/Containerfile", f"--tag={IMAGE}", "."),
        )

    def _remove(self) -> None:
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")
        host.call(["rm", "-rf", "--one-file-system", str(self._scratch)])


def _base() -> Path:
    """An archive of a small Debian with Python, made once."""
    key = hashlib.sha256(json.dumps([PACKAGES, SLIM]).encode()).hexdigest()[:12]
    ready = host.CACHE / f"python-{key}.tar"
    with host.locked("python"):
        if not ready.exists():
            made = ready.with_name(f"making-{ready.name}")
            include = f"--include={PACKAGES}"
            host.call(["nice", "mmdebstrap", "--variant=minbase", *SLIM, include, "trixie", str(made), host.mirror()])
            made.rename(ready)
    return ready


@dataclass(frozen=True, slots=True)
class Volume:
    """Files by their paths in it; none: an empty one that can be written."""

    files: Mapping[str, bytes]


class Container:
    """The one of a pod's `spec`, with its mounts, its user and group, a root that cannot be written and no rights.

    `volumes` by name, beside the service account's, which is called "account". `environ` is what the cluster adds.
    """

    def __init__(
        self, image: Image, spec: Json, volumes: Mapping[str, Volume], environ: Mapping[str, str], scratch: Path
    ) -> None:
        self._image, self._spec, self._scratch = image, spec, scratch
        self._volumes = volumes
        (self._container,) = spec["containers"]
        self._environ = {**dict(pair.split("=", 1) for pair in image.config["Env"]), **environ}
        self.log = scratch / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-euc", self._script(), "sh", *self._argv()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(30)

    def _argv(self) -> Sequence[str]:
        command = self._container.get("command") or self._image.config["Entrypoint"]
        return [self._expanded(word) for word in (*command, *self._container["args"])]

    def _expanded(self, word: str) -> str:
        for name, value in self._environ.items():
            word = word.replace(f"$({name})", value)
        return word

    def _script(self) -> str:
        """Mounts, then the arguments as the pod's user."""
        context, root = self._spec["securityContext"], str(self._image.root)
        own = f"--reuid={context['runAsUser']} --regid={context['runAsGroup']} --groups={context['fsGroup']}"
        powerless = "--no-new-privs --inh-caps=-all --bounding-set=-all"
        return "\n".join(
            [
                f"mount --bind {root} {root}",
                f"mount -t proc proc {root}/proc",
                *(self._mount(mount["name"], root + mount["mountPath"]) for mount in self._mounts()),
                f"mount -o remount,bind,ro {root}",
                f'exec /usr/sbin/chroot {root} setpriv {own} {powerless} "$@"',
            ]
        )

    def _mounts(self) -> list[Json]:
        return [*self._container.get("volumeMounts", ()), {"name": "account", "mountPath": ACCOUNT}]

    def _mount(self, name: str, path: str) -> str:
        Path(path).mkdir(parents=True, exist_ok=True)
        if not self._volumes[name].files:
            return f"mount -t tmpfs -o mode=0777 none {shlex.quote(path)}"
        return f"mount --bind -o ro {shlex.quote(str(self._written(name)))} {shlex.quote(path)}"

    def _written(self, name: str) -> Path:
        """Root's files, which the pod's group may read: so a kubelet applies fsGroup to a volume."""
        directory = self._scratch / name
        for file, content in self._volumes[name].files.items():
            path = directory / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o440)
            os.chown(path, 0, self._spec["securityContext"]["fsGroup"])
        return directory
