from __future__ import annotations

from pathlib import Path

from farnode.runner.runtimes import driver

LISTING = """\
7 libs found in cache `/etc/ld.so.cache'
\tlibnvidia-ml.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libnvidia-ml.so.1
\tlibnvidia-ml.so.1 (libc6) => /lib/i386-linux-gnu/libnvidia-ml.so.1
\tlibcuda.so.1 (libc6,x86-64) => /opt/driver/libcuda.so.1
\tlibcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1
\tlibcuda.so (libc6,AArch64) => /lib/aarch64-linux-gnu/libcuda.so
\tlibGLX_nvidia.so.0 (libc6,x86-64) => /lib/x86_64-linux-gnu/libGLX_nvidia.so.0
\tlibcudart.so.12 (libc6,x86-64) => /usr/local/cuda/libcudart.so.12
\tlibc.so.6 (libc6,x86-64, OS ABI: Linux 3.2.0) => /lib/x86_64-linux-gnu/libc.so.6
"""


def test_the_drivers_libraries_are_found_and_no_others() -> None:
    assert driver.listed(LISTING) == [
        ("libnvidia-ml.so.1", "/lib/x86_64-linux-gnu/libnvidia-ml.so.1"),
        ("libcuda.so.1", "/opt/driver/libcuda.so.1"),
        ("libcuda.so", "/lib/aarch64-linux-gnu/libcuda.so"),
        ("libGLX_nvidia.so.0", "/lib/x86_64-linux-gnu/libGLX_nvidia.so.0"),
    ]


def test_a_library_that_has_gone_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").touch()
    files = [driver.File(name, f"{tmp_path}/{name}") for name in ("libcuda.so.1", "libnvidia-ml.so.1")]
    shown = [mount for mount in driver.mounts(files) if mount.target.startswith(driver.LIBRARIES)]
    assert shown == [(f"{tmp_path}/libcuda.so.1", "/.farnode/libs/libcuda.so.1", True)]
