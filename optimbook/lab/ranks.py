"""A function in several processes at once, which talk to each other as those on several devices or machines do.

They stand on the CPU and talk over gloo, so that one computer without a GPU is enough. Every call starts
its own, and none is left when it returns, or when the process that called it is gone.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from datetime import timedelta
from pathlib import Path

LOOPBACK = {"linux": "lo", "darwin": "lo0"}
REPORTED = 99  # the exit code of a rank whose error is written down


def run_ranks(function, *args, size=2, patience=300):
    """Runs ``function(rank, *args)`` in ``size`` processes, with torch.distributed ready in each.

    A function of a notebook travels with all that it calls; arguments and results are pickled.

    Returns:
        A list of what each rank returned.

    Raises:
        RuntimeError: a rank raised (the message is the traceback of the first that did) or died,
            or they are not done after ``patience`` seconds.
    """
    from joblib import wrap_non_picklable_objects

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "call").write_bytes(pickle.dumps(wrap_non_picklable_objects((function, args), keep_wrapper=False)))
        processes = [_start(folder, rank, size, patience) for rank in range(size)]
        try:
            _wait(processes, folder, patience)
        finally:
            for process in processes:
                process.kill()
                process.communicate()
        return [pickle.loads((folder / f"result {rank}").read_bytes()) for rank in range(size)]


def _start(folder, rank, size, patience):
    command = [sys.executable, __file__, str(folder), str(rank), str(size), str(patience)]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if sys.platform in LOOPBACK:  # a computer's own name may lead elsewhere
        environment["GLOO_SOCKET_IFNAME"] = LOOPBACK[sys.platform]
    with open(folder / f"log {rank}", "wb") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env={**os.environ, **environment})


def _wait(processes, folder, patience):
    """Until all are done, or one has failed, for which the others would wait in vain."""
    end = time.monotonic() + patience
    codes = [None]
    while None in codes and not any(codes):
        if time.monotonic() > end:
            raise RuntimeError(f"the {len(processes)} processes were not done within {patience} s")
        time.sleep(0.02)
        codes = [process.poll() for process in processes]
    for rank, code in enumerate(codes):
        if code not in (0, None, REPORTED):
            raise RuntimeError(f"rank {rank} died (exit code {code})\n{_tail(folder / f'log {rank}')}")
    if any(codes):
        raise RuntimeError((folder / "error").read_text(encoding="utf-8"))


def _tail(log, characters=2000):
    return log.read_text(encoding="utf-8", errors="replace")[-characters:]


# In each process, where this file is the script


def _serve(folder, rank, size, patience):
    import torch.distributed as dist

    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function, args = pickle.loads((folder / "call").read_bytes())
        store = dist.FileStore(str(folder / "store"), size)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=patience))
        result = pickle.dumps(function(rank, *args))
        (folder / f"result {rank}").write_bytes(result)
        dist.destroy_process_group()
    except BaseException:
        _report(folder, f"rank {rank}: {traceback.format_exc()}")
        os._exit(REPORTED)


def _end_with_parent():
    """Nobody writes to the standard input; it ends when the other end is gone."""
    os.read(0, 1)
    os._exit(1)


def _report(folder, error):
    """The first error alone: what follows in other ranks is that this one is gone."""
    try:
        with open(folder / "error", "x", encoding="utf-8") as file:
            file.write(error)
    except FileExistsError:
        pass


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose modules are the lab's own
    _serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
