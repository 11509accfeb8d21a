"""The embedded site: allocations are processes of this machine, which outlive the gateway and are found again.

settings    what the site pretends to have
record      what is known of one allocation, on disk before anything of it runs
launch      the process of an allocation: held back until its record is on disk, exit code kept in a file
proc        who lives, by /proc
ledger      all allocations: starts, warns, ends and buries them (blocking; no event loop)
telling     what is told of an allocation, in words
provider    the port, in front of it
"""

from farnode.providers.local.provider import LocalProvider

__all__ = ["LocalProvider"]
