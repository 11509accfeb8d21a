"""Configuration files of the services: what gateway and node have in common."""
