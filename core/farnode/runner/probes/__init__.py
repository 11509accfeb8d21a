"""Probes and hooks: what is asked of a container while it runs, and how.

probe         thresholds, without I/O;  prober  when what is asked
actions       doing it: command, httpget, dial;  timeout  no longer than allowed
"""
