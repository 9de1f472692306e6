"""Learning-rate schedulers, one file each: the closed form as a rule, and its torch-compatible class."""

from .cosine_annealing_lr import CosineAnnealingLR
from .lambda_lr import LambdaLR

__all__ = ["LambdaLR", "CosineAnnealingLR"]
