"""What may change of a pod's inputs while it lives. Source: Kubernetes, "ConfigMaps", "Immutable ConfigMaps"."""

from __future__ import annotations

from farnode.errors import Invalid
from farnode.model.bundle import Bundle


def check_change(old: Bundle, new: Bundle) -> None:
    """Invalid when a ConfigMap or Secret that is marked immutable would change."""
    lists = (("configMaps", old.config_maps, new.config_maps), ("secrets", old.secrets, new.secrets))
    for field, before, after in lists:
        for name, known in before.items():
            if known.immutable and after.get(name, known) != known:
                words = f"{name!r} is immutable: its content stays as it is; make a new one and a new pod"
                raise Invalid(f"{field}[{name}]", words)
