"""Shipped test classes: whoever writes a driver for a batch system checks it with them (needs pytest)."""

from farnode.testing.provider_contract import JOB_SCRIPT, Bench, ProviderContract

__all__ = ["JOB_SCRIPT", "Bench", "ProviderContract"]
