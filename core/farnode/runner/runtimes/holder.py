"""The program that keeps a container open: it exists in no image, so it is brought along.

An image may hold one static program and nothing else, no shell, no `sleep`. So what apptainer is told to run is this
ELF file. It blocks every signal (a batch system's SIGTERM to all processes must not take the container from under a
program that is still in its grace time), writes one byte to say that the container stands, and reads from its standard
input until that ends: with the process that set the container up, however that one ends.

    rt_sigprocmask(SIG_BLOCK, &all, NULL, 8); write(1, &all, 1); while (read(0, sp, 1) > 0); exit_group(0)
"""

from __future__ import annotations

import os
import platform
import struct

NAME = "holder"
SIGN = b"\xff"
"""The byte it writes."""
CODE = {
    "x86_64": (
        62,
        (
            "b80e00000031ff488d353300000031d241ba080000000f05b801000000bf01000000ba010000000f05"
            "31c031ff488d7424f80f0585c07ff1b8e700000031ff0f05ffffffffffffffff"
        ),
    ),
    "aarch64": (
        183,
        (
            "e81080d2000080d221020010020080d2030180d2010000d4080880d2200080d2220080d2010000d4"
            "e80780d2000080d2e14300d1010000d41f0000f16cffff54c80b80d2000080d2010000d4ffffffffffffffff"
        ),
    ),
}
"""By machine: ELF's number for it, and the instructions; the last eight bytes are the signal mask."""
BASE = 0x400000
HEADERS = 64 + 56


def program(machine: str = "") -> bytes:
    """The ELF file for a machine (this one); KeyError where there is none."""
    number, code = CODE[machine or platform.machine()]
    text = bytes.fromhex(code)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, number, 1, BASE + HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    size = HEADERS + len(text)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return identity + header + segment + text


def write(path: str) -> None:
    """Put the program at `path`, whole or not at all, executable by its owner."""
    new = f"{path}.{os.getpid()}"
    with open(new, "wb", opener=lambda name, flags: os.open(name, flags, 0o700)) as file:
        file.write(program())
    os.replace(new, path)
