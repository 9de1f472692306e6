"""Two processes that talk over gloo. They serve all tests of a module, since starting them takes longer than any test."""

import datetime
import multiprocessing
import traceback
from multiprocessing.connection import wait

import torch.distributed as dist

SIZE = 2
PATIENCE = 120  # seconds, far beyond any test on a busy machine


class Pair:
    """Call it with a function: both processes run ``function(rank, *args)``, and what either raises is raised here."""

    def __init__(self, folder):
        self.folder, self.processes, self.starts = folder, [], 0

    def __call__(self, function, *args):
        if not self.processes:
            self._start()
        for pipe in self.pipes:
            pipe.send((function, args))
        waiting = list(self.pipes)
        while waiting:
            for pipe in wait(waiting, PATIENCE) or [None]:
                error = _answer(pipe)
                if error:
                    self.stop()  # the other may be waiting for this one
                    raise AssertionError(error)
                waiting.remove(pipe)

    def _start(self):
        self.starts += 1
        context = multiprocessing.get_context("spawn")
        store, ends = str(self.folder / f"store{self.starts}"), [context.Pipe() for _ in range(SIZE)]
        self.pipes = [ours for ours, _ in ends]
        self.processes = [context.Process(target=_serve, args=(rank, store, theirs), daemon=True) for rank, (_, theirs) in enumerate(ends)]
        for process in self.processes:
            process.start()
        for _, theirs in ends:
            theirs.close()  # so that a dead process is seen as the end of its pipe

    def stop(self):
        for process in self.processes:
            process.kill()
            process.join()
        self.processes = []


def _answer(pipe):
    """What went wrong in a process, or None."""
    if pipe is None:
        return f"no answer within {PATIENCE} s"
    try:
        return pipe.recv()
    except EOFError:
        return "a process died"


def _serve(rank, store, pipe):
    patience = datetime.timedelta(seconds=PATIENCE)
    dist.init_process_group("gloo", store=dist.FileStore(store, SIZE), rank=rank, world_size=SIZE, timeout=patience)
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        try:
            function(rank, *args)
            pipe.send(None)
        except Exception:
            pipe.send(f"rank {rank}: {traceback.format_exc()}")
