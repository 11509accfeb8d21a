"""How the job script finds a Python, under the shells that sites have as /bin/sh."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "core/farnode/runner/job.sh"
TOOLS = ("grep", "cut", "uname", "sleep", "cat", "rm")
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
RUNNER = 'import sys; print(sys.argv[1], sys.flags.isolated, sys.flags.no_site); sys.exit(int(open("status").read()))'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """`bin` with the tools the script uses, and an allocation whose `runner.pyz` is a plain program."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    (tmp_path / "nonce1").mkdir()
    (tmp_path / "nonce1/runner.pyz").write_text(RUNNER)
    (tmp_path / "nonce1/status").write_text("0")
    return tmp_path


def python(site: Path, name: str, body: str = "") -> Path:
    """A Python on the site's PATH: this one, or a program that does something else."""
    path = site / "bin" / name
    this = f'echo {name} >>{site}/used; exec {sys.executable} "$@"'
    path.write_text(f"#!/bin/sh\n{body or this}\n")
    path.chmod(0o755)
    return path


def run(site: Path, shell: str = "dash", **env: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which(shell)
    assert found
    variables = {"FARNODE_ALLOCATION": str(site / "nonce1"), "PATH": str(site / "bin"), **env}
    return subprocess.run([found, SCRIPT], env=variables, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_it_runs_the_archive_isolated_and_returns_its_status(site: Path, shell: str) -> None:
    python(site, "python3")
    (site / "nonce1/status").write_text("7")
    done = run(site, shell)
    assert (done.stdout, done.returncode) == ("supervise 1 1\n", 7), done.stderr


def test_what_a_killed_runner_left_on_the_node_is_removed(site: Path) -> None:
    python(site, "python3")
    scratch = site / "scratch"
    for name in ("farnode-nonce1-abc", "farnode-nonce2-abc"):
        (scratch / name / "home").mkdir(parents=True)
    run(site, FARNODE_SCRATCH=str(scratch))
    assert [path.name for path in scratch.iterdir()] == ["farnode-nonce2-abc"]


@pytest.mark.parametrize("shell", SHELLS)
def test_too_old_or_broken_pythons_are_passed_over(site: Path, shell: str) -> None:
    python(site, "python3", "exit 1  # as an old one answers")
    python(site, "python3.12", "exit 127")
    python(site, "python3.10")
    assert run(site, shell).returncode == 0
    assert set((site / "used").read_text().split()) == {"python3.10"}


def test_the_sites_choice_comes_first(site: Path) -> None:
    python(site, "python3")
    chosen = python(site, "special-python")
    assert run(site, FARNODE_PYTHON=str(chosen)).returncode == 0
    assert set((site / "used").read_text().split()) == {"special-python"}


def test_a_wrong_choice_is_said_and_another_found(site: Path) -> None:
    python(site, "python3")
    done = run(site, FARNODE_PYTHON="/no/such")
    assert done.returncode == 0
    assert "FARNODE_PYTHON=/no/such is no Python >= 3.9" in done.stderr


@pytest.mark.skipif(Path("/usr/libexec/platform-python").exists(), reason="this machine has the last resort")
def test_without_a_python_it_says_so(site: Path) -> None:
    done = run(site)
    assert done.returncode == 78
    assert "no Python 3.9 or newer" in done.stderr
    assert (site / "nonce1/problem").read_text() in done.stderr


def test_an_element_of_an_array_has_its_own_allocation(site: Path) -> None:
    python(site, "python3")
    (site / "nonce1").rename(site / "nonce-4")
    done = run(site, FARNODE_ALLOCATION=str(site / "nonce"), SLURM_ARRAY_TASK_ID="4")
    assert (done.stdout, done.returncode) == ("supervise 1 1\n", 0), done.stderr


def nodes(site: Path, count: int, **env: str) -> subprocess.CompletedProcess[str]:
    """A job of several nodes, whose srun starts what it should on each, one after the other."""
    (site / "nonce1").rename(site / "nonce-0")
    for index in range(1, count):
        shutil.copytree(site / "nonce-0", site / f"nonce-{index}")
    each = f"for SLURM_PROCID in $(seq 0 {count - 1})"
    srun = f'echo "$@" >>{site}/steps; while [ "${{1#--}}" != "$1" ]; do shift; done; {each}'
    srun += '; do export SLURM_PROCID; "$@" || code=$?; done; exit ${code:-0}'
    python(site, "srun", srun)
    (site / "bin/seq").symlink_to(shutil.which("seq") or "seq")
    job = {"SLURM_JOB_NUM_NODES": str(count), "SLURM_CPUS_PER_TASK": "4", "FARNODE_GANG": str(SCRIPT)}
    return run(site, FARNODE_ALLOCATION=str(site / "nonce"), **job, **env)


def test_each_node_of_a_job_has_its_own_allocation(site: Path) -> None:
    python(site, "python3")
    done = nodes(site, 3)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    for index in range(3):
        assert (site / f"nonce-{index}/job.out").read_text() == "supervise 1 1\n"
        assert not (site / f"nonce-{index}/seat").exists()
    (step,) = (site / "steps").read_text().splitlines()
    assert {"--overlap", "--mem=0", "--kill-on-bad-exit=0", "--wait=0", "--nodes=3", "--cpus-per-task=4"} <= set(
        step.split()
    )


def test_the_sites_srun_need_not_be_on_the_path(site: Path) -> None:
    python(site, "python3")
    (site / "tools").mkdir()
    done = nodes(site, 2, FARNODE_SRUN=str(site / "none"))
    assert done.returncode == 0, done.stderr
    (site / "bin/srun").rename(site / "tools/srun")
    again = {"SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "4", "FARNODE_GANG": str(SCRIPT)}
    done = run(site, FARNODE_ALLOCATION=str(site / "nonce"), FARNODE_SRUN=str(site / "tools/srun"), **again)
    assert done.returncode == 0, done.stderr


def test_one_nodes_failure_is_the_jobs_when_all_have_ended(site: Path) -> None:
    python(site, "python3")
    (site / "nonce1/status").write_text("9")
    assert nodes(site, 2).returncode == 9


def test_a_missing_allocation_is_said(site: Path) -> None:
    python(site, "python3")
    for wrong in ("", str(site / "none")):
        done = run(site, FARNODE_ALLOCATION=wrong)
        assert done.returncode == 78
        assert "FARNODE_ALLOCATION is no directory" in done.stderr


def test_nothing_of_the_users_is_sourced(site: Path) -> None:
    python(site, "python3")
    (site / "rc").write_text("echo sourced; exit 9")
    done = run(site, "dash", ENV=str(site / "rc"), BASH_ENV=str(site / "rc"), HOME=str(site), PYTHONSTARTUP="x")
    assert (done.stdout, done.returncode) == ("supervise 1 1\n", 0)
