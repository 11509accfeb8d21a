"""farnode …: kubectl's habits for pods at a site. Each command calls the client; none holds rules of its own.

root        the group, and errors as one line
settings    options every command has
connection  an AsyncClient for one command
words       a pod's state in the few words of a column
tables      columns, JSON, YAML
story       a pod's life, for describe
inventory   sites and offers, in columns
claims      storage that pods share
manifest    `run --image …` -> a pod
attended    pods somebody waits for; views, live and streams show them and what they write
terminal    this process's own terminal
demo        every kind of pod, expected and got
"""

from __future__ import annotations

from farnode.cli.root import main

__all__ = ["main"]
