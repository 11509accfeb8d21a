"""Which images a pod needs, and in which form. Pure.

A runtime other than apptainer needs a root directory, and so does an image volume. One reference has one form in a pod:
apptainer takes a directory, too, where a volume needs one of the same image.
"""

from __future__ import annotations

from dataclasses import dataclass

from farnode.gateway.images.convert import Form
from farnode.model.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Wanted:
    """`policy` is v1's imagePullPolicy, `form` what is made of it; `any_form`: where it is at the site already, a file
    does as well as a directory."""

    reference: str
    policy: str
    form: Form
    any_form: bool = False


def wants(bundle: Bundle, runtime: str, form: Form) -> tuple[Wanted, ...]:
    """`form` is what the site gives to apptainer. The process runtime looks at no image of a container."""
    pod = bundle.pod
    volumes = {reference for reference, _ in pod.image_volumes}
    wanted = pod.image_volumes if runtime == "process" else pod.image_references
    free = {reference for reference, _ in wanted if runtime == "apptainer" and reference not in volumes}
    return tuple(
        Wanted(reference, policy, form if reference in free else "directory", any_form=reference in free)
        for reference, policy in wanted
    )
