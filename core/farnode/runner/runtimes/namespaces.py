"""The system calls a container needs and Python 3.9 has no functions for. Every one raises OSError with words."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x04000000, 0x08000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_MOVE, MS_REC = 1024, 2048, 4096, 8192, 16384
MS_SLAVE, MS_RELATIME = 1 << 19, 1 << 21
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 23, 24, 38
NS_GET_USERNS = 0xB701
RLIMIT_NPROC = 6
OPEN_TREE, MOVE_MOUNT = 428, 429
AT_FDCWD, OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = -100, 1, 4
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
ESCAPED = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}
"""In the kernel's lists of mounts; the backslash comes last."""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, *what: object) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{' '.join(map(str, what))}: {os.strerror(number)}")
    return result


def own_user_namespace() -> None:
    """Leave for a user and mount namespace of our own, as the same user and group: there we may mount."""
    user_namespace(os.geteuid(), os.getegid(), CLONE_NEWNS)
    follow_the_node()


def user_namespace(uid: int, gid: int, others: int = 0) -> None:
    """Leave for a user namespace, and those of the flags `others`, in which we are `uid` and `gid` and nobody else is
    there."""
    was = os.geteuid(), os.getegid()
    check(libc.unshare(CLONE_NEWUSER | others), "making a user namespace")
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")  # else these files are not ours to write
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {was[0]} 1"), ("gid_map", f"{gid} {was[1]} 1")):
        with open(f"/proc/self/{name}", "wb", buffering=0) as file:  # as text it would need modules of Python's
            file.write(text.encode())


def unshare(flags: int) -> None:
    check(libc.unshare(flags), "making namespaces")


def follow_the_node() -> None:
    """Slave, not private: what the node mounts later (automounted homes) still appears."""
    mount("none", "/", MS_REC | MS_SLAVE)


def owner_of(descriptor: int) -> int:
    """The user namespace that an open namespace belongs to, opened."""
    return check(libc.ioctl(descriptor, NS_GET_USERNS), "asking for the owner of a namespace")


def join(descriptor: int) -> None:
    """Enter the namespace of an open `/proc/<pid>/ns/<kind>`. The process must have one thread only."""
    check(libc.setns(descriptor, 0), "entering a namespace")


def mount(source: str, target: str, flags: int, kind: str | None = None, options: str | None = None) -> None:
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    check(libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), "mounting", target)


def bind(source: str, target: str, read_only: bool = False) -> None:
    mount(source, target, MS_BIND | MS_REC)
    if read_only:
        protect(target)


def protect(target: str) -> None:
    """Let nothing be written through the mount at `target`."""
    has = os.statvfs(target).f_flag
    kept = sum(flag for shown, flag in LOCKED.items() if has & shown)
    mount("none", target, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def protect_below(target: str) -> None:
    """The same for all that is mounted below `target`, as far as it can be reached."""
    for place in mounted():
        if place.startswith(target + "/"):
            with contextlib.suppress(OSError):
                protect(place)


def mounted() -> list[str]:
    """Where something is mounted, as seen from here."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        places = [line.split(" ")[4] for line in file]
    for escaped, sign in ESCAPED.items():
        places = [place.replace(escaped, sign) for place in places]
    return places


def take(path: str) -> int:
    """A mount of the file at `path`, that has no place yet: `put` gives it one, in another mount namespace. OSError
    before Linux 5.2."""
    result = libc.syscall(OPEN_TREE, AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | os.O_CLOEXEC)
    return check(result, "taking", path)


def put(descriptor: int, target: str) -> None:
    flags = MOVE_MOUNT_F_EMPTY_PATH
    check(libc.syscall(MOVE_MOUNT, descriptor, b"", AT_FDCWD, os.fsencode(target), flags), "mounting", target)


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


def limit_capabilities(kept: Collection[int]) -> None:
    """No program started from now on can have any but these, whoever it is. Those we have stay ours until then."""
    number = 0
    while libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        if number not in kept:
            check(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), "prctl")
        number += 1


def no_new_privileges() -> None:
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def limit_processes(number: int) -> None:
    """At once in this user namespace, threads counted, from here on; 0: no limit. Before Linux 5.14 the kernel counted
    all processes of the user, wherever they are: there it is left to who watches."""
    parts = os.uname().release.split("-")[0].split(".")[:2]
    version = tuple(int("".join(filter(str.isdigit, part))) for part in parts)
    if number and version >= (5, 14):
        limits = (ctypes.c_ulong * 2)()  # not by a module of Python's: it may be out of sight by now
        check(libc.getrlimit(RLIMIT_NPROC, limits), "asking for the limit of processes")
        limits[0] = limits[1] = min(number, limits[1])  # "unlimited" is the largest number
        check(libc.setrlimit(RLIMIT_NPROC, limits), "limiting processes")


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
