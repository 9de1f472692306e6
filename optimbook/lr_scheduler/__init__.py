"""Learning-rate schedulers, one file each: the closed form as a rule, and its torch-compatible class."""

from torch.optim.lr_scheduler import LRScheduler

from .chained_scheduler import ChainedScheduler
from .constant_lr import ConstantLR
from .cosine_annealing_lr import CosineAnnealingLR
from .cosine_annealing_warm_restarts import CosineAnnealingWarmRestarts
from .cosine_decay_lr import CosineDecayLR
from .cyclic_lr import CyclicLR
from .exponential_lr import ExponentialLR
from .factor_lr import FactorLR
from .inverse_sqrt_lr import InverseSqrtLR
from .lambda_lr import LambdaLR
from .linear_decay_lr import LinearDecayLR
from .linear_lr import LinearLR
from .multi_factor_lr import MultiFactorLR
from .multi_step_lr import MultiStepLR
from .multiplicative_lr import MultiplicativeLR
from .noam_lr import NoamLR
from .one_cycle_lr import OneCycleLR
from .polynomial_lr import PolynomialLR
from .quarter_cosine_lr import QuarterCosineLR
from .reduce_lr_on_plateau import ReduceLROnPlateau
from .scheduled import Scheduled
from .sequential_lr import SequentialLR
from .step_lr import StepLR
from .warmup_lr import WarmupLR
from .warmup_stable_decay_lr import WarmupStableDecayLR

# Those of torch, then those that the book adds, and what one's own is made of: torch's base class, and the mixin that
# makes all of a rule.
__all__ = [
    "LambdaLR", "MultiplicativeLR", "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR",
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "ChainedScheduler",
    "WarmupLR", "LinearDecayLR", "CosineDecayLR", "QuarterCosineLR", "InverseSqrtLR", "NoamLR", "WarmupStableDecayLR", "FactorLR",
    "MultiFactorLR", "LRScheduler", "Scheduled",
]  # fmt: skip
