"""Optimizers, one file each: the rule, and its torch-compatible class."""

from .adam import Adam
from .adamw import AdamW
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW"]
