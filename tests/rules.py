"""Rules for the tests: together they use every function, operator and kind of state of the rule language."""

from dataclasses import dataclass, field

from optimbook import abs, cos, exp, floor, log, maximum, mean, minimum, norm, pi, rule, sign, sqrt, where  # noqa: A004
from optimbook.lr_scheduler.cosine_annealing_lr import cosine_annealing
from optimbook.lr_scheduler.lambda_lr import lambda_lr
from optimbook.optim.adam import adam
from optimbook.optim.adamw import adamw
from optimbook.optim.lamb import lamb
from optimbook.optim.lars import lars
from optimbook.optim.sgd import sgd

# --------------------------------------------------------------------------------- updates from the literature


@rule
def lion(param, grad, exp_avg, *, lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0):
    if weight_decay != 0:
        param = param - lr * weight_decay * param
    param = param - lr * sign(beta1 * exp_avg + (1 - beta1) * grad)
    exp_avg = beta2 * exp_avg + (1 - beta2) * grad
    return param, exp_avg


@rule
def rmsprop(param, grad, square_avg, grad_avg, momentum_buffer, *, lr=0.01, alpha=0.99, eps=1e-8, momentum=0, centered=False):
    square_avg = alpha * square_avg + (1 - alpha) * grad**2
    if centered:
        grad_avg = grad_avg + (1 - alpha) * (grad - grad_avg)
        denominator = sqrt(square_avg - grad_avg**2) + eps
    else:
        denominator = sqrt(square_avg) + eps
    if momentum > 0:
        momentum_buffer = momentum * momentum_buffer + grad / denominator
        param = param - lr * momentum_buffer
    else:
        param = param - lr * grad / denominator
    return param, square_avg, grad_avg, momentum_buffer


@rule
def adamax(param, grad, exp_avg, exp_inf, step, *, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_inf = maximum(beta2 * exp_inf, abs(grad) + eps)
    param = param - lr / (1 - beta1**step) * exp_avg / exp_inf
    return param, exp_avg, exp_inf


@rule
def radam(param, grad, exp_avg, exp_avg_sq, step, *, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    exp_avg_hat = exp_avg / (1 - beta1**step)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)
    rect = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) if rho > 5 else 1
    adaptive = sqrt(1 - beta2**step) / (sqrt(exp_avg_sq) + eps)
    param = param - lr * (exp_avg_hat * rect * adaptive if rho > 5 else exp_avg_hat)
    return param, exp_avg, exp_avg_sq


@rule
def nadam(param, grad, exp_avg, exp_avg_sq, step, mu_product=1, *, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.004):
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * decay))
    mu_product = mu_product * mu
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    denominator = sqrt(exp_avg_sq / (1 - beta2**step)) + eps
    param = param - lr * (1 - mu) / (1 - mu_product) * grad / denominator
    param = param - lr * mu_next / (1 - mu_product * mu_next) * exp_avg / denominator
    return param, exp_avg, exp_avg_sq, mu_product


@rule
def asgd(param, grad, ax, step, eta=0.01, mu=1, *, lr=0.01, lambd=1e-2, alpha=0.75, t0=5):
    grad = grad + lambd * param
    param = param - eta * grad
    ax = ax + (param - ax) * mu
    eta = lr / (1 + lambd * lr * step) ** alpha
    mu = 1 / maximum(1, step - t0)
    return param, ax, eta, mu


@rule
def rprop(param, grad, prev, step_size=0.01, *, etaminus=0.5, etaplus=1.2, smallest=1e-6, largest=50):
    agreement = sign(grad * prev)
    factor = where(agreement > 0, etaplus, where(agreement < 0, etaminus, 1))
    step_size = minimum(maximum(step_size * factor, smallest), largest)
    grad = where(agreement < 0, 0, grad)
    param = param - step_size * sign(grad)
    prev = grad
    return param, prev, step_size


# --------------------------------------------------------------------------------- corners of the language


@rule
def centred(param, grad, square_avg, *, lr=0.01, beta=0.9):
    grad = grad - mean(grad)
    square_avg = beta * square_avg + (1 - beta) * mean(grad**2)
    param = param - lr * grad / (sqrt(square_avg) + 1e-3)
    return param, square_avg


@rule
def twice_reduced(param, grad, level, *, lr=0.01):
    """A norm of what another norm has scaled, a mean that is used twice, and a number among them: three passes."""
    unit = grad / (norm(grad) + 0.1)
    spread = norm(unit - mean(unit))
    level = 0.9 * level + 0.1 * mean(abs(param))
    update = unit * maximum(spread, 0.5) + mean(unit) * param
    param = param - lr * update / (1 + norm(update) / (1 + level))
    return param, level


@rule
def compared(param, grad, best, *, lr=0.01):
    up = where(grad > param, 1, -1)
    down = where(grad <= 0.5, up, 0)
    best = where(grad >= best, grad, best)
    param = where(grad == 0, param, param - lr * (up + 0.5 * down))
    param = where(param != best, param - lr * where(param < best, grad, 0.5), param)
    return param, best


@rule
def powers(param, grad, *, lr=0.01):
    size = abs(grad) + 0.5
    update = size**3 - size**0.5 + 2**grad + size**param - size**-1
    param = param - lr * update / (1 + update**2)
    return param


@rule
def waves(param, grad, step, phase=0, *, lr=0.01, period=10):
    phase = (phase + 1 / 3) % 1
    cycle = floor(step / period)
    wave = cos(2 * pi * (step % period) / period) * exp(-cycle / 10) + log(1 + step)
    wave = minimum(maximum(wave, -1), 4)
    factor = wave * phase if not (step < 3 or step > 90) and step != 50 else 1
    param = param - lr * factor * grad
    return param, phase


@rule
def bounded(param, grad, *, lr=0.01, bound=1):
    param = param - lr * maximum(-bound, minimum(bound, grad)) * +minimum(abs(param), bound)
    return param


@rule
def swapped(param, grad, one, two, *, lr=0.01):
    old = one
    one = two + grad
    two = old
    param = param - lr * (one - 0.5 * two)
    return param, one, two


@rule
def remembered(param, grad, last, previous, *, lr=0.01):
    previous = last
    last = param
    param = param - lr * grad - 0.1 * (last - previous)
    return param, last, previous


@rule
def copied(param, grad, one, two, *, lr=0.01):
    one = grad
    two = grad
    grad = grad * 2
    one = one + two * param
    param = param - lr * (one + grad * two)
    return param, one, two


@rule
def reassigned(param, grad, exp_avg, first=False, *, lr=0.01, beta=0.9):
    param = param - lr * 0.1 * param
    exp_avg = grad if first else beta * exp_avg + (1 - beta) * grad
    ahead = param - lr * exp_avg
    exp_avg = exp_avg + 0.1 * (ahead - param)
    param = 0.5 * (ahead + param) - lr * exp_avg
    return param, exp_avg


@rule
def warmup(step, *, base_lr, T_max, warm=10):
    lr = base_lr * (step + 1) / warm if step < warm else base_lr * (1 + cos(pi * ((step - warm) % T_max) / T_max)) / 2
    return lr


@rule
def triangular(step, *, base_lr, max_lr, size):
    cycle = floor(1 + step / (2 * size))
    x = abs(step / size - 2 * cycle + 1)
    lr = base_lr + (max_lr - base_lr) * maximum(0, 1 - x) * exp(-0.001 * step) * (0.25 + (step / 7) % 1)
    return lr


@rule
def turns(step, *, base_lr):
    lr = base_lr * (1 + 1e-3 * (step * 1e-7 % 1) + (-step % 7) + (3 - step) % 2.5)
    return lr


# --------------------------------------------------------------------------------- which choices to run


@dataclass(frozen=True)
class Case:
    """A rule with its flags chosen."""

    rule: object
    values: dict = field(default_factory=dict)

    def __str__(self):
        return "-".join([self.rule.name, *(f"{n}={v}" for n, v in self.values.items())])

    @property
    def reduces(self):
        return self.rule.lowered(**self.values).has_reductions


SGD_CHOICES = [
    {**decay, **momentum}
    for decay in ({}, {"weight_decay": 0.1})
    for momentum in ({}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}, {"momentum": 0.9, "nesterov": True})
]
ADAM_CHOICES = [
    {**decay, **largest}
    for decay in ({}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True})
    for largest in ({}, {"amsgrad": True})
]
PACKAGE = [
    *(Case(sgd, {"lr": 0.01, **c}) for c in SGD_CHOICES),
    *(Case(adam, {"lr": 0.01, **c}) for c in ADAM_CHOICES),
    *(Case(adamw, {"lr": 0.01, "weight_decay": 0.1, **c}) for c in ({}, {"amsgrad": True})),
]
OTHERS = [
    Case(lion),
    Case(lion, {"weight_decay": 0.1}),
    *(Case(rmsprop, {"momentum": m, "centered": c}) for m in (0, 0.9) for c in (False, True)),
    *map(Case, (adamax, radam, nadam, asgd, rprop, centred, twice_reduced, compared, powers, waves, bounded, swapped, remembered, copied, reassigned)),
]
REDUCING = [
    Case(lamb, {"adapt_vectors": True, "lr": 0.01}),
    Case(lamb, {"adapt_vectors": True, "clip": True, "upper": 1.5}),
    Case(lars, {"adapt_vectors": True, "weight_decay": 0.1, "momentum": 0}),
    Case(lars, {"adapt_vectors": True, "weight_decay": 0.1, "momentum": 0.9, "clip": True, "nesterov": True}),
]
UPDATES = PACKAGE + OTHERS + REDUCING
SCHEDULES = [
    Case(cosine_annealing, {"base_lr": 0.1, "T_max": 30, "eta_min": 0.001}),
    Case(warmup, {"base_lr": 0.1, "T_max": 30}),
    Case(triangular, {"base_lr": 0.1, "max_lr": 0.5, "size": 7}),
    Case(turns, {"base_lr": 0.1}),
    Case(lambda_lr, {"base_lr": 0.1, "lr_lambda": lambda step: 1 / (1 + step)}),
]
