"""What of the batch system's environment reaches a pod: nothing, unless it says that it is an MPI program.

A program that finds SLURM_* or PMI_* variables takes itself for a task of the batch job: an MPI library hangs waiting
for siblings that do not exist, PyTorch Lightning and Dask derive ranks and addresses from them.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIXES = ("SLURM_", "PMI_", "PMIX_", "OMPI_", "PRTE_", "PALS_", "MPI_LOCAL", "FLUX_", "I_MPI_")


def for_pod(environ: Mapping[str, str], mpi: bool) -> dict[str, str]:
    """The variables of the batch system that a pod gets."""
    return {key: value for key, value in environ.items() if key.startswith(PREFIXES)} if mpi else {}


def for_tools(environ: Mapping[str, str]) -> dict[str, str]:
    """What a tool of the site (apptainer) gets to work with: its PATH and the user's, but no settings of the site's
    login environment that would change what a container looks like."""
    kept = ("PATH", "HOME", "USER", "LOGNAME", "LD_LIBRARY_PATH", "TMPDIR")
    return {key: environ[key] for key in kept if key in environ}
