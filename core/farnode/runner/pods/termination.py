"""A container's last words: its termination message, by the kubelet's rules."""

from __future__ import annotations

import contextlib
import io
import os

from ...wire.crilog import select
from ...wire.messages import ContainerOrder
from ...wire.rotation import open_log

LONGEST = 4096
LONGEST_FROM_LOG = 2048
LINES_FROM_LOG = 80


def message_of(order: ContainerOrder, path: str, log: str, failed: bool) -> str:
    """The end of the file at `path`, which is removed; where the pod wants it and it is empty, the end of the log."""
    message = b""
    with contextlib.suppress(OSError):
        message = _end(path)
        os.unlink(path)
    if not message and failed and order.get("termination_message_policy") == "FallbackToLogsOnError":
        with contextlib.suppress(OSError):
            message = _end_of_log(log)
    return message.decode("utf-8", "replace")


def _end(path: str) -> bytes:
    with open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - LONGEST))
        return file.read(LONGEST)


def _end_of_log(path: str) -> bytes:
    end = b""
    with open_log(path) as file:
        for chunk in select(file, {"tail": LINES_FROM_LOG}):
            end = (end + chunk)[-LONGEST_FROM_LOG:]
    return end
