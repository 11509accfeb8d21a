"""Runs on a compute node as the doctor's batch job: looks at what a runner will need there and writes it down.

A program of its own, for any Python from 3.9 on, copied to the spool beside the runner's archive. It asks the modules
of that archive, so that what it finds is what a runner will find. It judges nothing; the doctor does.
"""

import hashlib
import importlib
import json
import os
import shutil
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 90.0
"""Seconds to wait for the doctor's question: twice what NFS may keep a directory's old contents."""
DIAL_TIMEOUT = 10.0
SETUID = 0o4000
KINDS = ("apptainer", "singularity")


def main(directory: Path) -> None:
    write(directory, "begun", {"node": socket.gethostname(), "time": time.time()})
    report: dict[str, Any] = {
        "node": socket.gethostname(),
        "python": sys.executable,
        "version": ".".join(map(str, sys.version_info[:3])),
    }
    report["answered"] = answer(directory)
    report["dialled"] = dial(read(directory, "task"))
    report.update(archive(directory))
    report["sif"] = sif()
    write(directory, "report", report)


def write(directory: Path, name: str, content: Any) -> None:
    """Complete or not there at all."""
    new = directory / f"{name}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    new.rename(directory / f"{name}.json")


def read(directory: Path, name: str) -> Any:
    return json.loads((directory / f"{name}.json").read_text("utf-8"))


def answer(directory: Path) -> bool:
    """Answers the doctor's question, which may take a while to become visible here."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            read(directory, "question")
        except FileNotFoundError:
            time.sleep(0.02)
        else:
            write(directory, "answer", {"time": time.time()})
            return True
    return False


def dial(task: Any) -> str:
    """Why the gateway's address is of no use here; "" when whoever is meant answers."""
    where = f"{task['host']}:{task['port']}"
    try:
        with socket.create_connection((task["host"], task["port"]), DIAL_TIMEOUT) as plain:
            if "word" in task:
                known = plain.makefile("rb").readline(100).decode("ascii", "replace").strip() == task["word"]
            else:
                known = certificate(plain) == task["fingerprint"]
    except socket.gaierror as error:
        return f"{task['host']} is not a name that this node can resolve ({error.strerror})"
    except OSError as error:
        return f"{where} cannot be reached: {error.strerror or error}"
    return "" if known else f"somebody else answers at {where}"


def certificate(plain: socket.socket) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is compared by whoever asked
    with context.wrap_socket(plain) as secured:
        return hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()


def archive(directory: Path) -> "dict[str, Any]":
    """What the runner itself would find on this node."""
    sys.path.insert(0, str(directory / "runner.pyz"))
    try:
        runtimes = importlib.import_module("farnode.runner.runtimes.available")
        gpu = importlib.import_module("farnode.runner.limits.gpu")
        _, versions, problems = runtimes.available(dict(os.environ))
    except Exception as error:  # whatever it is, the doctor must hear of it
        return {"broken": repr(error)}
    return {
        "runtimes": versions,
        "problems": problems,
        "devices": gpu.devices(os.environ),
        "variables": {name: os.environ[name] for name in gpu.LISTS if name in os.environ},
        "namespaces": namespaces(),
    }


def namespaces() -> str:
    """Why a process of this user may not make a user and mount namespace here; "" when it may."""
    module = importlib.import_module("farnode.runner.runtimes.namespaces")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            module.own_user_namespace()
        except OSError as error:
            os.write(writer, str(error).encode()[:500])
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as file:
        return file.read().decode(errors="replace")


def sif() -> str:
    """Why a SIF file may not be mountable here; "" when nothing speaks against it."""
    tool = shutil.which("apptainer") or shutil.which("singularity")
    if tool is None:
        return ""
    libexec = [Path(tool).resolve().parents[1] / "libexec" / kind / "bin" for kind in KINDS]
    starters = [path / "starter-suid" for path in libexec]
    if any(starter.exists() and starter.stat().st_mode & SETUID for starter in starters):
        return ""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, libexec)])
    if not any(shutil.which(name, path=path) for name in ("squashfuse_ll", "squashfuse")):
        return "there is no squashfuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
