"""What may change of a pod's inputs while it lives. Source: Kubernetes, "ConfigMaps", "Immutable ConfigMaps"."""

from __future__ import annotations

from farnode.errors import Invalid
from farnode.gateway.commands import encoded
from farnode.model.bundle import Bundle
from farnode.model.files import File, files_of
from farnode.model.projection import FieldFiles, ObjectFiles, Projected

FILES_BYTES = 23 * 1024 * 1024
"""Of all files of a pod's volumes, in base64: below `dispatcher.ORDER_BYTES`, for a message has more than them."""
_FILE_BYTES = 40
"""Of what stands around a file's path and content."""


def check_change(old: Bundle, new: Bundle) -> None:
    """Invalid when a ConfigMap or Secret that is marked immutable would change."""
    lists = (("configMaps", old.config_maps, new.config_maps), ("secrets", old.secrets, new.secrets))
    for field, before, after in lists:
        for name, known in before.items():
            if known.immutable and after.get(name, known) != known:
                words = f"{name!r} is immutable: its content stays as it is; make a new one and a new pod"
                raise Invalid(f"{field}[{name}]", words)


def check_files(bundle: Bundle) -> None:
    """Invalid when the files of its volumes are more than can be sent to a runner at once."""
    size = 0
    for volume in bundle.pod.volumes:
        if isinstance(volume.source, ObjectFiles | FieldFiles | Projected):
            size += sum(map(_size, files_of(volume.source, bundle.pod, bundle.inputs, bundle.demand)))
    if size > FILES_BYTES:
        raise Invalid("spec.volumes", f"their files are {size} bytes in base64; a runner takes {FILES_BYTES}")


def _size(file: File) -> int:
    return len(encoded(file.path)) + 4 * ((len(file.data) + 2) // 3) + _FILE_BYTES
