"""The site's own storage: which of its paths pods may mount, and the directories of claims.

hostpath   which hostPath volumes a site allows
classes    storage classes: which one a claim gets, and where its directory is
directory  making one, setting its quota, removing it
keeper     claims of pods: checked, made ready, reclaimed
"""

from farnode.gateway.storage.keeper import Keeper

__all__ = ["Keeper"]
