"""What one container asks for: requests and limits, as the API server checks and defaults them.

Source: Kubernetes, "Resource Management for Pods and Containers" and "Extended Resources": a request never exceeds its
limit; a limit without a request is also the request; extended resources (`vendor/name`) are whole numbers in limits,
and a request of one equals its limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from farnode.errors import Invalid
from farnode.model.names import check_qualified
from farnode.model.quantity import Quantity
from farnode.model.reader import Reader

CPU, MEMORY, EPHEMERAL_STORAGE = "cpu", "memory", "ephemeral-storage"
NATIVE = (CPU, MEMORY, EPHEMERAL_STORAGE)


@dataclass(frozen=True, slots=True)
class Resources:
    """By resource name; `requests` already has the limits filled in where no request was given."""

    requests: Mapping[str, Quantity] = field(default_factory=dict)
    limits: Mapping[str, Quantity] = field(default_factory=dict)

    @property
    def extended(self) -> dict[str, int]:
        """Counts of the resources that are not Kubernetes' own; those asked for zero times are left out."""
        return {name: amount.whole for name, amount in self.limits.items() if name not in NATIVE and amount.nanos}


def read_resources(reader: Reader) -> Resources:
    limits, requests = read_amounts(reader.at("limits")), read_amounts(reader.at("requests"))
    for name, amount in requests.items():
        _check_request(name, amount, limits.get(name), f"{reader.path}.requests[{name}]")
    return Resources({**limits, **requests}, limits)


def read_amounts(reader: Reader) -> dict[str, Quantity]:
    return {name: _amount(name, value) for name, value in reader.entries().items()}


def _amount(name: str, reader: Reader) -> Quantity:
    check_qualified(name, reader.path)
    if name not in NATIVE and "/" not in name:
        raise reader.invalid(f"{name!r} is not a resource known here; use {', '.join(NATIVE)} or a GPU's name")
    amount = reader.quantity()
    if amount.nanos < 0:
        raise reader.invalid(f"{amount} must not be negative")
    if name not in NATIVE and not amount.exact:
        raise reader.invalid(f"{amount} must be a whole number: devices are not divided")
    return amount


def _check_request(name: str, amount: Quantity, limit: Quantity | None, path: str) -> None:
    if name not in NATIVE:
        if limit is None:
            raise Invalid(path, f"needs a limit as well: put {name} into limits")
        if limit != amount:
            raise Invalid(path, f"{amount} must equal the limit, {limit}")
    elif limit is not None and amount > limit:
        raise Invalid(path, f"{amount} is more than the limit, {limit}")
