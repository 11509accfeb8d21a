#!/bin/sh
# The batch job of every allocation, the same for all: it starts the runner under a supervisor and ends with it.
# Told by environment only: FARNODE_ALLOCATION, the allocation's private directory on the spool, whose last component
# is the allocation's nonce; FARNODE_PYTHON, optional, a Python to prefer. Sources nothing and evaluates nothing.
# In a job array FARNODE_ALLOCATION lacks the end of the nonce, which is `-` and the element's index. With FARNODE_GANG,
# where this file lies on the spool, each node of the job gets a runner: this is then the script of the job, which
# starts itself on each, by FARNODE_SRUN or an srun on PATH, with the argument `seat`, and there the nonce ends with the
# node's place in the job. The file `seat` then holds the pid that is to be warned, and `over` the exit status when
# nothing is left on that node.
# Exits with the runner's status; 78 when this node cannot run it (the words are in $FARNODE_ALLOCATION/problem).

# The mark by which an allocation's processes are found must not be on this shell's own subshells.
if [ -n "${FARNODE_NONCE+set}" ]; then
    unset FARNODE_NONCE
    exec /bin/sh "$0" "$@"
fi
umask 077
ulimit -c 0
unset supervisor
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH

fail() {
    echo "farnode: $1" >&2
    echo "$1" >"$FARNODE_ALLOCATION/problem"
    exit 78
}

usable() { # a Python this runner works with, with the modules that distributions like to leave out
    "$1" -I -S -c 'import sys; sys.version_info >= (3, 9) or sys.exit(1); import _ctypes, _ssl, _posixsubprocess, zlib' \
        </dev/null >/dev/null 2>&1
}

find_python() {
    for python in "$FARNODE_PYTHON" python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 \
        /usr/libexec/platform-python; do
        [ -n "$python" ] && usable "$python" && return
        [ -n "$python" ] && [ "$python" = "$FARNODE_PYTHON" ] &&
            echo "farnode: FARNODE_PYTHON=$python is no Python >= 3.9; looking for another" >&2
    done
    fail "no Python 3.9 or newer (with ctypes and ssl) on $(uname -n): set FARNODE_PYTHON for this site; PATH=$PATH"
}

leftovers() { # pids of this allocation's processes, but for the one that started this script
    grep -alzxF -e "FARNODE_NONCE=$nonce" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3 | grep -vxF "$PPID"
}

settle() { # a runner whose supervisor was killed ends its pods by itself: give it 5 s to write down their ends
    round=0
    while [ -n "$(leftovers)" ] && [ $round -lt 5 ]; do
        round=$((round + 1))
        sleep 1
    done
}

sweep() { # a process in an uninterruptible call does not die: it is left to the batch system after 20 rounds
    round=0
    while left=$(leftovers) && [ -n "$left" ] && [ $round -lt 20 ]; do
        kill -9 $left 2>/dev/null
        round=$((round + 1))
        [ $round -gt 2 ] && sleep 1
    done
}

tidy() { # what a runner that was killed could not remove from the node: its directories have the nonce in their names
    for parent in "$FARNODE_SCRATCH" "$SLURM_TMPDIR" "$TMPDIR" /tmp /dev/shm; do
        [ -n "$parent" ] || continue
        for left in "$parent/farnode-$nonce-"*; do
            rm -rf "$left" 2>/dev/null && continue
            find "$left" -type d ! -perm -700 -exec chmod u+rwx {} \; 2>/dev/null # what a container closed
            rm -rf "$left" 2>/dev/null
        done
    done
}

pass_on() {
    [ -n "$supervisor" ] || exit 143
    interrupted=1
    kill "-$1" "$supervisor" 2>/dev/null
}

attend() { # wait for the supervisor's end, and set status
    status=1
    interrupted=1
    while [ -n "$interrupted" ]; do # a trapped signal ends wait early
        interrupted=
        wait "$supervisor"
        ended=$?
        [ $ended -eq 127 ] || status=$ended # 127: it ended during the trap, and the wait before this one told how
    done
}

on_each_node() { # this script, with an argument; WaitTime, or one that fails, must not end the others
    "$srun" --overlap --mem=0 --mpi=none --no-kill --kill-on-bad-exit=0 --wait=0 --export=ALL \
        --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
        --cpus-per-task="$SLURM_CPUS_PER_TASK" /bin/sh "$FARNODE_GANG" "$1" </dev/null &
}

lead() { # a runner on each node, until all have ended. Slurm gives TERM to the processes of every node itself, and srun
    # would answer it by KILL; a signal that srun passes on reaches the pods' processes, too, so the warning goes round it
    trap 'interrupted=1' TERM INT
    trap 'interrupted=1; on_each_node warning' USR1 USR2
    on_each_node seat
    supervisor=$!
    attend
    exit $status
}

if [ -n "$FARNODE_GANG" ]; then
    srun=$FARNODE_SRUN
    [ -x "$srun" ] || srun=srun
    [ -n "$1" ] || lead
    place=$SLURM_PROCID
else
    place=$SLURM_ARRAY_TASK_ID
fi
FARNODE_ALLOCATION=$FARNODE_ALLOCATION${place:+-$place}
[ -n "$FARNODE_ALLOCATION" ] && cd "$FARNODE_ALLOCATION" || {
    echo "farnode: FARNODE_ALLOCATION is no directory on $(uname -n): '$FARNODE_ALLOCATION'" >&2
    exit 78
}
if [ "$1" = warning ]; then
    read -r pid <seat && kill -USR1 "$pid"
    exit
fi
nonce=${FARNODE_ALLOCATION##*/}
trap 'pass_on TERM' TERM INT
trap 'pass_on USR1' USR1
trap 'pass_on USR2' USR2
if [ "$1" = seat ]; then
    exec >>job.out 2>&1
    echo $$ >seat
    trap 'code=$?; [ -n "$(leftovers)" ] || echo $code >over' EXIT
fi
find_python

# -I and -S: nothing of the user's (PYTHONPATH, sitecustomize, ~/.local) gets in, and it starts faster.
FARNODE_NONCE=$nonce "$python" -I -S -X utf8 "$FARNODE_ALLOCATION/runner.pyz" supervise </dev/null &
supervisor=$!
attend
trap '' TERM USR1 USR2 INT
rm -f seat
[ $status -eq 137 ] && settle
sweep
tidy
exit $status
