"""The first lines of every chapter: seeds, device, style."""

import os
import random
import sys

import numpy
import torch

from . import style


def start(seed=0):
    """Fixes all seeds, sets the book's style of figures, and returns the device: the GPU if there is one."""
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    style.use()
    return device()


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def progress(steps, description=""):
    """``steps`` with a progress bar in a live notebook, where tqdm is there; stored outputs hold none (OPTIMBOOK_QUIET)."""
    if "ipykernel" not in sys.modules or "OPTIMBOOK_QUIET" in os.environ:
        return steps
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return steps
    return tqdm(steps, desc=description, leave=False, delay=2)
