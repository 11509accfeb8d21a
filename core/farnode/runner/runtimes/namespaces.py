"""The system calls a container needs and Python 3.9 has no functions for. Every one raises OSError with words."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import termios

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_MOVE, MS_REC = 1024, 2048, 4096, 8192, 16384
MS_SLAVE, MS_RELATIME = 1 << 19, 1 << 21
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203}
LOCKED = {
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
    os.ST_NOATIME: MS_NOATIME,
    os.ST_NODIRATIME: MS_NODIRATIME,
    os.ST_RELATIME: MS_RELATIME,
}
"""Flags of a mount that came from outside may not be taken off in a user namespace, so a remount repeats them."""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, *what: object) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{' '.join(map(str, what))}: {os.strerror(number)}")


def own_user_namespace() -> None:
    """Leave for a user and mount namespace of our own, as the same user and group: there we may mount."""
    uid, gid = os.geteuid(), os.getegid()
    check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "making a user namespace")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    # Slave, not private: what the node mounts later (automounted homes) still appears.
    mount("none", "/", MS_REC | MS_SLAVE)


def join(descriptor: int) -> None:
    """Enter the namespace of an open `/proc/<pid>/ns/<kind>`. The process must have one thread only."""
    check(libc.setns(descriptor, 0), "entering a namespace")


def mount(source: str, target: str, flags: int, kind: str | None = None, options: str | None = None) -> None:
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    check(libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), "mounting", target)


def bind(source: str, target: str, read_only: bool = False) -> None:
    mount(source, target, MS_BIND | MS_REC)
    if read_only:
        has = os.statvfs(target).f_flag
        kept = sum(flag for shown, flag in LOCKED.items() if has & shown)
        mount("none", target, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def detach(target: str) -> None:
    check(libc.umount2(os.fsencode(target), MNT_DETACH), "unmounting", target)


def pivot(root: str) -> None:
    """Make the mount `root` the root of this mount namespace, and let go of the old one."""
    os.chdir(root)
    try:
        check(libc.syscall(PIVOT_ROOT[os.uname().machine], b".", b"."), "changing the root directory")
        detach(".")
    except OSError:  # a node that lives in its initial RAM disk has a root that cannot be exchanged, only covered
        mount(".", "/", MS_MOVE)
        os.chroot(".")
    os.chdir("/")


def set_hostname(name: str) -> None:
    text = os.fsencode(name)[:64]
    check(libc.sethostname(text, len(text)), "setting the host name")


def die_with_parent(signal: int) -> None:
    check(libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")


def no_new_privileges() -> None:
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def control_terminal() -> None:
    """Make the terminal on standard input that of this session. A terminal that has a session already keeps it."""
    with contextlib.suppress(PermissionError):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def leave_terminal() -> None:
    """Give the controlling terminal up, if there is one, so that a process below can have it."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.ioctl(descriptor, termios.TIOCNOTTY)
    finally:
        os.close(descriptor)
