"""Images that are at the site already: SIF files and unpacked trees, used as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from farnode.errors import Invalid
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.reference import Reference, parse


def by_full_name(setting: Mapping[str, Path]) -> Mapping[str, Path]:
    """The setting with its names in full, so that `busybox:1` is found however a pod spells it; patterns stay."""
    try:
        return {key if _is_pattern(key) else parse(key).name: path for key, path in setting.items()}
    except ImageError as error:
        raise Invalid("images.prepared", str(error)) from error


def find(prepared: Mapping[str, Path], reference: Reference) -> Path | None:
    """The first path for this image that exists; its name before patterns, else in the setting's order."""
    return next((path for path in _paths(prepared, reference) if path.exists()), None)


def _paths(prepared: Mapping[str, Path], reference: Reference) -> Iterator[Path]:
    if reference.name in prepared:
        yield prepared[reference.name]
    for pattern, template in prepared.items():
        if _is_pattern(pattern) and fnmatchcase(reference.name, pattern):
            below = reference.name.partition("/")[2]
            yield Path(str(template).replace("{name}", reference.name).replace("{path}", below))


def check_directory(path: Path) -> None:
    """ImageError where this is none: a runtime, or an image volume, needs one."""
    if not path.is_dir():
        words = "is a file, which apptainer alone can run (farnode.io/runtime: apptainer); a directory is needed here"
        raise ImageError("ErrImagePull", f"{path} {words}")


def _is_pattern(key: str) -> bool:
    return any(sign in key for sign in "*?[")


def by_path(text: str, allowed: Sequence[Path]) -> Path:
    """The image a pod names by its absolute path; ImageError unless it is below an allowed directory, links
    followed: what is anywhere else could be anybody's file."""
    path = Path(text).resolve()
    if not any(path.is_relative_to(directory.resolve()) for directory in allowed):
        names = ", ".join(map(str, allowed)) or "none (the site's setting images.directories)"
        message = f"{text!r} is not below a directory of images; accepted: {names}"
        raise ImageError("InvalidImageName", message)
    if not path.exists():
        raise ImageError("ErrImagePull", f"there is no {text} at this site")
    return path
