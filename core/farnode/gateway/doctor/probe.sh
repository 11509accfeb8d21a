#!/bin/sh
# The doctor's batch job, submitted in place of the runners' job script and told as that is, by environment only:
# FARNODE_ALLOCATION, its directory on the spool; FARNODE_PYTHON, a Python to prefer. A test holds the search for a
# Python to that of the runners' script.
umask 077
ulimit -c 0
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

[ -n "$FARNODE_ALLOCATION" ] && cd "$FARNODE_ALLOCATION" || {
    echo "farnode: FARNODE_ALLOCATION is no directory on $(uname -n): '$FARNODE_ALLOCATION'" >&2
    exit 78
}
find_python
exec "$python" -I -S -X utf8 "$FARNODE_ALLOCATION/probe.py" "$FARNODE_ALLOCATION" </dev/null
