"""Runs one container as the runner would, as whatever user starts this, from the packed archive in argv[1].

Standard input: what to do, as JSON; standard output: what came of it. It runs on any Python the runner runs on and in
any place that has the archive, so it imports nothing else.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from farnode.runner.runtime import ContainerSpec, Mount, NotYet
from farnode.runner.runtimes.available import KNOWN


def started(command, stdin, stdout, stderr):
    begun = time.perf_counter()
    process = subprocess.Popen(
        command.argv,
        env=command.env,
        cwd=command.cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    return process, begun


def captured(command):
    process, begun = started(command, subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    return {"code": process.returncode, "out": text(out), "err": text(err), "seconds": time.perf_counter() - begun}


def on_terminal(command):
    master, slave = pty.openpty()
    process, _ = started(command, slave, slave, slave)
    os.close(slave)
    out = b""
    try:
        while data := os.read(master, 4096):
            out += data
    except OSError:
        pass
    os.close(master)
    return {"code": process.wait(60), "out": text(out), "err": ""}


def patiently(call, *arguments):
    for _ in range(500):
        try:
            return call(*arguments)
        except NotYet:
            time.sleep(0.01)
    return call(*arguments)


def container(values):
    mounts = [Mount(*mount) for mount in values["mounts"]]
    return ContainerSpec(**{**values, "mounts": mounts, "termination_log": Mount(*values["termination_log"])})


def read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def text(data):
    return data.decode("utf-8", "surrogateescape")


def with_execs(runtime, spec, order):
    """Start it, wait for its first line, run programs in it and another container beside it, send it a signal, wait
    for its end."""
    process, _ = started(runtime.start(spec), subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
    first = process.stdout.readline()
    commands = [text(read(f"/proc/{pid}/cmdline")).replace("\0", " ") for pid in os.listdir("/proc") if pid.isdigit()]  # noqa: PTH208
    results = []
    for argv, tty in order.get("execs", []):
        command = patiently(runtime.exec, spec, process.pid, argv, tty)
        results.append(on_terminal(command) if tty else captured(command))
    beside = captured(runtime.start(container(order["beside"]))) if "beside" in order else None
    begun = time.perf_counter()
    if order.get("signal"):
        os.kill(process.pid, order["signal"])
    out, err = process.communicate(timeout=60)
    ended = time.perf_counter() - begun
    code = process.returncode
    return {
        "code": code,
        "out": text(first + out),
        "err": text(err),
        "execs": results,
        "beside": beside,
        "seconds": ended,
        "commands": commands,
    }


def main():
    order = json.load(sys.stdin)
    os.environ["PATH"] = order.get("path", os.environ["PATH"])
    environ = {**os.environ, **order.get("environ", {})}
    runtime = KNOWN[order["runtime"]](environ)
    spec = container(order["spec"])
    result = {}
    try:
        result["probe"] = runtime.probe()
    except ValueError as error:
        result["problem"] = str(error)
    result["check"] = runtime.check(order["pod"]) if "pod" in order else None
    begun = time.perf_counter()
    try:
        if {"execs", "signal", "beside"} & order.keys():
            result.update(with_execs(runtime, spec, order))
        elif spec.tty:
            result.update(on_terminal(runtime.start(spec)))
        else:
            command = runtime.start(spec)
            result["argv"], result["building"] = command.argv, time.perf_counter() - begun
            result.update(captured(command))
        result["failure"] = runtime.outcome(spec, result["code"], b"")
    except (OSError, ValueError) as error:
        result["refused"] = str(error)
    json.dump(result, sys.stdout)


main()
