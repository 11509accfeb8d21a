"""Fetches and converts container images on the gateway's host, as compute nodes have no internet.

reference    names of images, parsed
wants        which images a pod needs, and in which form
credentials  logins of registries: the pod's and the site's
access       who may have what is here already
endpoints    how a registry is reached: mirrors, certificates
session      questions to one: tokens, limits, patience
source       who gives the image
registry     what a name is now; platforms, manifest: which variant, and what it is made of
layout       its layers on disk, checked
convert      makes a SIF file or a directory of them; unpack, tool: the programs that do it
prepared     images that are at the site already; found, sif: how these are run
shelf        the files on the spool, and their quota
once         one conversion at a time
store        all of it, behind `prepare`
"""

from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.store import ImageStore

__all__ = ["ImageError", "ImageStore"]
