"""Deep-learning optimizers and learning-rate schedulers, each update written once.

`optimbook.Adam` and its like are drop-ins for `torch.optim`; `optimbook.rule` and
`optimbook.optimizer` make new ones from a function of a few lines.
"""

from . import lr_scheduler, optim, param_groups, swa_utils
from .engine.optimizer import optimizer
from .functions import abs, column_mean, cos, exp, floor, log, maximum, mean, minimum, norm, pi, row_mean, sign, sqrt, where, whole
from .optim import *  # noqa: F403
from .rule import Rule, RuleError, rule

__version__ = "0.1.0"
