"""Drivers for batch systems, found by entry point (group `farnode.providers`). None knows another, or Kubernetes."""
