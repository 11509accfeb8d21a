"""Real sites with a real gateway: a subprocess that is started, killed and started again like any other service.

`EmbeddedSite` is this machine with the `local` provider; `BoxSite` is Slurm and apptainer in a box, its gateway run by
alice on the login node. Both are `GatewaySite`s, so whatever is asserted of one can be asserted of the other.
"""

from tests.sites.box import BoxSite
from tests.sites.embedded import EmbeddedSite
from tests.sites.site import GatewaySite, SiteProcess, wait_until

__all__ = ["BoxSite", "EmbeddedSite", "GatewaySite", "SiteProcess", "wait_until"]
