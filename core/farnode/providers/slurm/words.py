"""Slurm's codes and what they mean: one row for every state and reason of Slurm 22.05 to 25.11.

Sources: squeue(1), sacct(1), Slurm's table of reason codes. Codes of later versions are passed on as they are, in words
that say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from farnode.model.allocation import Cause, Phase


@dataclass(frozen=True, slots=True)
class StateRow:
    phase: Phase
    words: str
    cause: Cause | None = None
    fenced: bool = True


def _queued(words: str) -> StateRow:
    return StateRow(Phase.QUEUED, words)


def _running(words: str) -> StateRow:
    return StateRow(Phase.RUNNING, words)


def _ended(cause: Cause, words: str, *, fenced: bool = True) -> StateRow:
    return StateRow(Phase.ENDED, words, cause, fenced)


STATES: dict[str, StateRow] = {
    "PENDING": _queued("it waits in the queue"),
    "REQUEUED": _queued("somebody put it back into the queue"),
    "REQUEUE_FED": _queued("another cluster of the federation gave it back into the queue"),
    "REQUEUE_HOLD": _queued("it was put back into the queue and is held: `scontrol release` its id, or cancel it"),
    "SPECIAL_EXIT": _queued("it was put back and is held for a special exit: `scontrol release` its id, or cancel it"),
    "RESV_DEL_HOLD": _queued("its reservation was deleted and it is held: `scontrol release` its id, or cancel it"),
    "EXPEDITING": _queued("it was put back into the queue, to start as soon as nodes are free"),
    "CONFIGURING": _queued("its nodes are being made ready"),
    "POWER_UP_NODE": _queued("its nodes are being switched on"),
    "RUNNING": _running("its allocation runs"),
    "COMPLETING": _running("it is ending; some of its processes may still live"),
    "RESIZING": _running("its allocation runs and changes its size"),
    "SIGNALING": _running("its allocation runs and is sent a signal"),
    "STAGE_OUT": _running("its files are being copied out of the burst buffer"),
    "STOPPED": _running("its processes are stopped (SIGSTOP) but keep their nodes: `scancel -s CONT` its id"),
    "SUSPENDED": _running("its processes are stopped for a job that goes first; they continue later"),
    "UPDATE_DB": _running("Slurm is still writing down what it did"),
    "COMPLETED": _ended(Cause.COMPLETED, "the job script ended by itself"),
    "FAILED": _ended(Cause.FAILED, "the job script failed; see its job.out"),
    "BOOT_FAIL": _ended(Cause.NODE_FAILURE, "its nodes could not be started"),
    "LAUNCH_FAILED": _ended(Cause.NODE_FAILURE, "Slurm could not start it on its nodes"),
    "RECONFIG_FAIL": _ended(Cause.NODE_FAILURE, "its nodes could not be reconfigured"),
    "CANCELLED": _ended(Cause.CANCELLED, "it was cancelled"),
    "REVOKED": _ended(Cause.CANCELLED, "another cluster of the federation runs it"),
    "TIMEOUT": _ended(Cause.WALLTIME, "it reached its time limit"),
    "DEADLINE": _ended(Cause.WALLTIME, "it could not have ended before its deadline"),
    "PREEMPTED": _ended(Cause.PREEMPTED, "a job that goes first took its nodes"),
    "NODE_FAIL": _ended(Cause.NODE_FAILURE, "a node failed; its processes may live on there", fenced=False),
    "OUT_OF_MEMORY": _ended(Cause.OUT_OF_MEMORY, "it used more memory than it asked for"),
}

NEVER = "it will never start: cancel it"
REASONS: dict[str, str] = {
    "None": "Slurm has not looked at it yet",
    "Resources": "it waits for nodes, cores, memory or GPUs to become free",
    "Priority": "jobs of a higher priority go first",
    "Prolog": "the site's prolog runs on its nodes",
    "Cleaning": "its last run is still being cleaned up",
    "BeginTime": "its earliest start has not come yet (a requeued job waits for about two minutes)",
    "Dependency": "it waits for another job",
    "DependencyNeverSatisfied": f"it depends on a job that will not end as required; {NEVER}",
    "Licenses": "it waits for a licence",
    "Reservation": "it waits for its reservation to begin",
    "ReservationDeleted": f"its reservation was deleted; {NEVER}",
    "ReservationInvalid": f"its reservation is not valid; {NEVER}",
    "ReqNodeNotAvail": "nodes it needs are down, drained or reserved; it starts when they are back",
    "NodeDown": "a node it needs is down",
    "FrontEndDown": "the site's front-end node is down",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        "all nodes that would fit are down, drained or reserved; it starts when they are back"
    ),
    "MaxPoweredUpNodes": "the site has as many nodes switched on as it allows",
    "MpiPortsBusy": "all of the site's MPI ports are in use",
    "SchedDefer": "the site does not start jobs at the moment they are submitted",
    "JobArrayTaskLimit": "the array runs as many tasks at once as it may",
    "BurstBufferResources": "it waits for room in the burst buffer",
    "BurstBufferStageIn": "its files are being copied into the burst buffer",
    "BurstBufferOperation": "the burst buffer failed for it",
    "FedJobLock": "the clusters of the federation have not agreed yet who runs it",
    "JobHeldUser": "this account holds it: `scontrol release` its id",
    "JobHeldAdmin": "an administrator of the site holds it: ask them, or cancel it",
    "JobHoldMaxRequeue": "it was requeued so often that Slurm holds it: `scontrol release` its id, or cancel it",
    "launch failed requeued held": "its nodes could not start it, so Slurm holds it: `scontrol release` its id",
    "PartitionDown": "the partition is down; it starts when the site opens it again",
    "PartitionInactive": "the partition is inactive; it starts when the site opens it again",
    "PartitionConfig": f"the partition's rules (accounts, groups, sizes) do not allow it; {NEVER}",
    "PartitionNodeLimit": f"it asks for more nodes than the partition allows; {NEVER}",
    "PartitionTimeLimit": f"it asks for more time than the partition allows; {NEVER} and ask for less",
    "MaxMemPerLimit": f"it asks for more memory per core or node than the site allows; {NEVER}",
    "BadConstraints": f"no node fits what it asks for; {NEVER}",
    "Constraints": "no node fits what it asks for now",
    "InvalidAccount": f"its account is not valid any more; {NEVER}",
    "InvalidQOS": f"its QOS is not valid any more; {NEVER}",
    "AccountNotAllowed": f"its account may not use the partition; {NEVER}",
    "QOSNotAllowed": f"its QOS may not be used in the partition; {NEVER}",
    "QOSUsageThreshold": "this account has used too much for its QOS; it starts when its share has recovered",
    "AccountingPolicy": "a limit of its account or QOS holds it back",
    "AssociationJobLimit": "this account runs as many jobs as it may",
    "AssociationResourceLimit": "this account uses as much as it may",
    "AssociationTimeLimit": "this account has used up its time",
    "QOSJobLimit": "the QOS runs as many jobs as it may",
    "QOSResourceLimit": "the QOS uses as much as it may",
    "QOSTimeLimit": "the QOS has used up its time",
    "DeadLine": "it cannot end before its deadline",
    "InactiveLimit": "it was inactive for longer than the site allows",
    "JobLaunchFailure": "its nodes could not start the job script",
    "NonZeroExitCode": "the job script ended with an error",
    "RaisedSignal": "a signal ended the job script",
    "OutOfMemory": "it used more memory than it asked for",
    "SystemFailure": "Slurm itself failed",
    "TimeLimit": "it reached its time limit",
}


def state_row(code: str) -> StateRow:
    """The row of a state as squeue or sacct prints it (`CANCELLED by 1001`, `NODE_FAIL+`)."""
    name = code.split()[0].rstrip("+").upper() if code.split() else ""
    unknown = f"Slurm calls its state {name or 'nothing'}, which farnode does not know; it is taken as running"
    return STATES.get(name) or _running(unknown)
