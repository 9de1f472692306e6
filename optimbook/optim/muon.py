"""Muon: momentum, orthogonalised, as in `torch.optim.Muon`."""

import math

import torch

from ..engine.optimizer import Optimizer, optimizer, require
from ..functions import maximum, sqrt, whole
from ..rule import rule

__all__ = ["Muon", "muon", "newton_schulz"]

# What a CPU does faster as a stack, and to the last bit as one by one; a GPU always takes stacks.
TOGETHER, LEAST = 2**14, 8  # most elements of a matrix, least rows and columns
MOST = 2**27  # elements in a stack: more would cost memory and save nothing


@whole
def newton_schulz(tensors, a, b, c, eps, steps, stacked):
    r"""The nearest semi-orthogonal matrix, about: five steps of :math:`X \gets aX + (bXX^\top + c(XX^\top)^2)X` in bfloat16.

    With the default coefficients singular values from 0.01 to 1 end between 0.68 and 1.14: they are chosen to raise small ones fast.
    Matrices of one shape go through together. The order of operations is torch's, so that results are equal to the last bit.

    Args:
        tensors: matrices; one of more dimensions is a matrix of ``shape[0]`` rows, or with ``stacked`` a stack of matrices.
        a, b, c: the polynomial's coefficients.
        eps: the least norm to divide by.
        steps: how often.
        stacked: whether tensors of more than two dimensions are stacks.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.
    """
    out = [None] * len(tensors)
    for indices in _batches(tensors, stacked):
        first = tensors[indices[0]]
        if len(indices) == 1 and first.dim() == 2:
            out[indices[0]] = _orthogonal(first.to(torch.bfloat16, copy=True), a, b, c, eps, steps)
            continue
        stacks = [_matrices(tensors[i], stacked).to(torch.bfloat16, copy=True) for i in indices]
        sizes = list(map(len, stacks))
        x = torch.cat(stacks) if len(stacks) > 1 else stacks[0]  # a single one keeps its order in memory
        del stacks
        x = _orthogonal(x[0], a, b, c, eps, steps).unsqueeze(0) if len(x) == 1 else _orthogonal(x, a, b, c, eps, steps)
        for i, part in zip(indices, x.split(sizes)):
            out[i] = part.reshape(tensors[i].shape)
    return out


def _orthogonal(x, a, b, c, eps, steps):
    """The iteration, on a bfloat16 matrix or a stack of them, whose memory it takes."""
    tall, product = x.size(-2) > x.size(-1), torch.addmm if x.dim() == 2 else torch.baddbmm
    x = x.mT if tall else x
    # Over the dimensions of a stack torch would add up in another order than over a matrix.
    norms = torch.linalg.vector_norm(x) if x.dim() == 2 else torch.stack(torch._foreach_norm(list(x))).reshape(-1, 1, 1)
    x.div_(norms.clamp(min=eps))
    for _ in range(int(steps)):
        gram = x @ x.mT
        x = product(x, product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _size(tensor, stacked):
    """Rows and columns of the matrix that a tensor is, or of each in its stack."""
    return tuple(tensor.shape) if tensor.dim() == 2 else tuple(tensor.shape[-2:]) if stacked else (len(tensor), math.prod(tensor.shape[1:]))


def _matrices(tensor, stacked):
    return tensor.flatten(0, -3) if stacked and tensor.dim() > 2 else tensor.flatten(1).unsqueeze(0)


def _batches(tensors, stacked):
    """Indices of matrices of one shape and device, as many as go through together."""
    alike = {}
    for i, tensor in enumerate(tensors):
        rows, columns = _size(tensor, stacked)
        alike_there = rows * columns <= TOGETHER and min(rows, columns) >= LEAST and tensor.is_contiguous()
        alone = tensor.device.type == "cpu" and not alike_there
        alike.setdefault((rows, columns, tensor.device, i if alone else None), []).append(i)
    for (rows, columns, *_), indices in alike.items():
        most = max(1, MOST // max(1, rows * columns))
        yield from (indices[i : i + most] for i in range(0, len(indices), most))


@rule(symbols={"momentum": r"\mu", "momentum_buffer": "B", "update": "U", "orthogonal": "O", "newton_schulz": r"\operatorname{NS}",
               "rows": "p", "columns": "q", "ns_steps": "k", "stacked": "s", "scale": r"\kappa"})  # fmt: skip
def muon(param, grad, momentum_buffer, rows, columns, *,
         lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True, a=3.4445, b=-4.775, c=2.0315, eps=1e-7, ns_steps=5,
         match_rms_adamw=False, stacked=False):
    momentum_buffer = momentum * momentum_buffer + (1 - momentum) * grad
    if nesterov:
        update = (1 - momentum) * grad + momentum * momentum_buffer
    else:
        update = momentum_buffer
    orthogonal = newton_schulz(update, a, b, c, eps, ns_steps, stacked)
    if match_rms_adamw:
        scale = 0.2 * sqrt(maximum(rows, columns))
    else:
        scale = sqrt(maximum(1, rows / columns))
    param = param - lr * weight_decay * param - lr * scale * orthogonal
    return param, momentum_buffer


class Muon(optimizer(muon, packed={"ns_coefficients": ("a", "b", "c")}, options=())):
    r"""Momentum whose matrix is replaced by the nearest semi-orthogonal one; a drop-in for `torch.optim.Muon`.

    For the matrices of a network's hidden layers; give embeddings, heads, biases and norms to `AdamW`.

    Args:
        params: matrices, ``(name, matrix)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        weight_decay: :math:`\lambda`; each step first takes :math:`\gamma\lambda\theta` off the parameters.
        momentum: :math:`\mu`, of the leaky average of gradients.
        nesterov: orthogonalise the average to come instead of the average.
        ns_coefficients: :math:`a, b, c` of the Newton–Schulz polynomial.
        eps: the least norm that a matrix is divided by.
        ns_steps: how often the polynomial is applied, less than 100.
        adjust_lr_fn: how the rate follows from the shape of a p × q matrix: ``"original"`` (the same as None) takes
            :math:`\sqrt{\max(1, p/q)}`, ``"match_rms_adamw"`` takes :math:`0.2\sqrt{\max(p, q)}`, so that AdamW's rates suit.
        higher: what to do with parameters of more than two dimensions: refuse them (None, as torch), lay all dimensions but
            the first out in a row (``"flatten"``: convolution kernels), or take the last two as matrices (``"stack"``:
            stacked weights).

    State per parameter: ``momentum_buffer``, of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range, or a parameter has not two dimensions.
        RuntimeError: a parameter is complex, or a gradient sparse.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; ``match_rms_adamw``: Liu et al. 2025, equation 4. As
    in torch the buffer is an average, :math:`\mu B + (1-\mu)g`; Jordan's is a sum, :math:`\mu B + g`. The update is the same, since
    orthogonalising drops the scale.
    """

    lr_error = "Learning rate should be >= 0 but is: {}"
    paper = {"title": "Muon: An optimizer for hidden layers in neural networks", "authors": "Jordan et al.", "year": 2024,
             "url": "https://kellerjordan.github.io/posts/muon/"}  # fmt: skip

    def __init__(self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True, ns_coefficients=(3.4445, -4.775, 2.0315),
                 eps=1e-7, ns_steps=5, adjust_lr_fn=None, *, higher=None):  # fmt: skip
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov, "ns_coefficients": ns_coefficients,
                    "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}  # fmt: skip
        # Only a group that asks for it has the option that torch has not, so that checkpoints stay alike.
        Optimizer.__init__(self, params, defaults | ({} if higher is None else {"higher": higher}))

    def _check(self, options):
        super()._check(options)
        for name, word in {"momentum": "momentum", "weight_decay": "weight decay"}.items():
            require(0 <= options[name] < math.inf, f"{word} should be >= 0 but is: {options[name]}")
        function, higher = options["adjust_lr_fn"], options.get("higher")
        require(function in (None, "original", "match_rms_adamw"), f"Adjust learning rate function {function} is not supported")
        require(len(options["ns_coefficients"]) == 3, "Coefficients must be a tuple of exactly 3 values")
        require(options["ns_steps"] < 100, "Number of steps must be less than 100 for computational efficiency")
        require(higher in (None, "flatten", "stack"), f"Invalid higher: {higher!r}; Muon takes None, 'flatten' or 'stack'")

    def add_param_group(self, param_group):
        """Adds a group; every parameter in it must be a matrix, or ``higher`` must say how it is one.

        Args:
            param_group: a dict with ``params`` and any of the constructor's options.

        Raises:
            ValueError: a parameter is no matrix; nothing is added.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for param in group["params"]:
            if param.dim() != 2 and not (group.get("higher") and param.dim() > 2):
                self.param_groups.pop()
                raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {param.size()}; "
                                 "give it to AdamW, or if it has more dimensions say higher='flatten' or 'stack'")  # fmt: skip

    def _values(self, options):
        values = super()._values(options)
        return {**values, "match_rms_adamw": options["adjust_lr_fn"] == "match_rms_adamw", "stacked": options.get("higher") == "stack"}

    def _matrix(self, param, options):
        return tuple(param.shape[-2:]) if options.get("higher") == "stack" else super()._matrix(param, options)

    def _refusal(self, param, options):
        return "Muon does not support complex parameters" if param.is_complex() else super()._refusal(param, options)
