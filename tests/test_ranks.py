"""A function in several processes: results come back, errors say whose they are, and no process is left over."""

import os
import subprocess
import sys
import time

import pytest
import torch
import torch.distributed as dist

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")
pytest.importorskip("sklearn", reason="the lab's extra is not installed")
pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="this torch has no gloo")

from optimbook import lab

FOREVER = 600


def beat(rank, folder):
    """Shows that it is alive, until somebody ends it."""
    while True:
        with open(os.path.join(folder, f"beat {rank}"), "a") as file:
            file.write(".")
        time.sleep(0.05)


def assert_still(folder):
    """Nobody shows any more that it is alive."""
    sizes = []
    for _ in range(2):
        time.sleep(1)
        sizes.append(sorted((file.name, file.stat().st_size) for file in folder.iterdir()))
    assert sizes[0] == sizes[1]


def test_ranks_work_together_and_results_come_back():
    def shared(rank, values, scale):  # as in a notebook, a function that no module has
        total = scale * values[rank]
        dist.all_reduce(total)
        return {"rank": dist.get_rank(), "total": total}

    found = lab.run_ranks(shared, torch.tensor([[1.0], [2.0], [4.0]]), 10, size=3)
    assert [result["rank"] for result in found] == [0, 1, 2]
    assert all(result["total"].tolist() == [70.0] for result in found)


def test_the_error_is_that_of_the_rank_that_made_it():
    def fails(rank):
        if rank == 1:
            raise ValueError("a number is missing")
        dist.barrier()

    with pytest.raises(RuntimeError, match=r"(?s)rank 1: Traceback.*ValueError: a number is missing"):
        lab.run_ranks(fails)


def test_a_rank_that_dies_is_named():
    def dies(rank):
        if rank == 1:
            os._exit(7)
        dist.barrier()

    with pytest.raises(RuntimeError, match=r"rank 1 died \(exit code 7\)"):
        lab.run_ranks(dies)


def test_patience_ends_and_leaves_no_process(tmp_path):
    def waits(rank):
        beat(rank, tmp_path)

    with pytest.raises(RuntimeError, match="not done within 8 s"):
        lab.run_ranks(waits, patience=8)
    assert_still(tmp_path)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    script = f"from optimbook import lab; from test_ranks import beat; lab.run_ranks(beat, {str(tmp_path)!r})"
    path = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    caller = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path})
    end = time.monotonic() + FOREVER
    while not all((tmp_path / f"beat {rank}").exists() for rank in range(2)):
        assert caller.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    caller.kill()
    caller.wait()
    assert_still(tmp_path)
