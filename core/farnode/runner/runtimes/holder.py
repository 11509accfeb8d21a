"""The program that keeps a container open: it exists in no image, so it is brought along.

An image may hold one static program and nothing else, no shell, no `sleep`. So what a tool is told to run, and what is
process 1 of a container where its runtime brings none, is this ELF file. It ignores the end of its children, so that
the kernel reaps them and the orphans that come to it, and blocks every signal (a batch system's SIGTERM to all
processes must not take the container from under a program that is still in its grace time). It writes one byte to say
that the container stands, and reads from its standard input until that ends: with the process that set the container
up, however that one ends.

    rt_sigaction(SIGCHLD, {SIG_IGN}, NULL, 8); rt_sigprocmask(SIG_BLOCK, &all, NULL, 8); write(1, &all, 1);
    while (read(0, sp, 1) > 0); exit_group(0)
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
            "b80d000000bf11000000488d355700000031d241ba080000000f05b80e00000031ff488d355f00000031d241ba080000000f05"
            "b801000000bf01000000488d3544000000ba010000000f0531c031ff488d7424f8ba010000000f0585c07fecb8e700000031ff0f05"
            "0100000000000000000000000000000000000000000000000000000000000000ffffffffffffffff"
        ),
    ),
    "aarch64": (
        183,
        (
            "c81080d2200280d221030010020080d2030180d2010000d4e81080d2000080d261030010020080d2030180d2010000d4"
            "080880d2200080d2a1020010220080d2010000d4e80780d2000080d2e12300d1220080d2010000d41f0000f14cffff54"
            "c80b80d2000080d2010000d4"
            "0100000000000000000000000000000000000000000000000000000000000000ffffffffffffffff"
        ),
    ),
}
"""By machine: ELF's number for it, and the instructions; the last forty bytes are a `sigaction`
and the signal mask."""
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


def provide(path: str) -> None:
    """See that the program is at `path`."""
    try:
        with open(path, "rb") as file:
            there = file.read() == program()
    except FileNotFoundError:
        there = False
    if not there:
        write(path)


def write(path: str) -> None:
    """Put the program at `path`, whole or not at all, executable by its owner. No other thread may start a process
    meanwhile: that could hold the file open for writing, and then it cannot be executed."""
    new = f"{path}.{os.getpid()}"
    with open(new, "wb", opener=lambda name, flags: os.open(name, flags, 0o700)) as file:
        file.write(program())
    os.replace(new, path)
