"""Ours against the code of a real kubelet, which main.go asks."""
