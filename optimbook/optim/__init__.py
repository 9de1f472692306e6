"""Optimizers, one file each: the rule, and its torch-compatible class."""

from torch.optim import Optimizer

from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .adamw import AdamW
from .asgd import ASGD
from .lamb import LAMB
from .lars import LARS
from .lbfgs import LBFGS
from .lion import Lion
from .muon import Muon
from .nadam import NAdam
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD
from .sparse_adam import SparseAdam
from .yogi import Yogi

# Those of torch, then those that the book adds, and torch's base class, as in `torch.optim`.
__all__ = [
    "SGD", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "Adafactor", "SparseAdam",
    "LBFGS", "Muon", "LARS", "LAMB", "Lion", "Yogi", "Optimizer",
]  # fmt: skip
