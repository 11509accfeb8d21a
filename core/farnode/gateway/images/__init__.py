"""Fetches and converts container images on the gateway's host, as compute nodes have no internet.

reference    names of images, parsed
credentials  logins of registries
registry     which manifest a name is now, and its configuration
prepared     images that are at the site already
apptainer    fetches and converts
shelf        the files on the spool, and their quota
once         one conversion at a time
store        all of it, behind `prepare`
"""

from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.store import ImageStore

__all__ = ["ImageError", "ImageStore"]
