"""The loss of a network as a landscape: its curvature, from products with the Hessian, and slices through it."""

import numpy
import torch
from torch.func import grad, grad_and_value, jvp, vmap

from .batches import flat
from .setup import device
from .training import _model


def loss_of(task, model=None):
    """The loss over all training data as a function of one vector, and the vector where ``model`` stands.

    Both in float64, whatever the network was trained in: curvature is a difference of differences.

    Args:
        model: a network of the task; one that is not trained if it is not given.
    """
    theta, loss = flat(task, model)
    return loss, theta


def descend(loss, theta, lr, steps):
    """Gradient descent on all of the data: the places ``[steps + 1, parameters]`` and their losses.

    Args:
        lr: one learning rate, or one for each step.
    """
    both = grad_and_value(loss)
    places, losses = [theta], []
    for rate in torch.as_tensor(lr, dtype=theta.dtype).expand(steps).tolist():
        gradient, value = both(places[-1])
        losses.append(value)
        places.append(places[-1] - rate * gradient)
    return torch.stack(places), torch.stack([*losses, loss(places[-1])]).cpu()


# ------------------------------------------------------------------------------------- curvature


def hessian_product(loss, theta, vector):
    """The Hessian times a vector: how the gradient changes along it. Costs about two gradients, and no matrix."""
    return jvp(grad(loss), (theta,), (vector,))[1]


def curvature(loss, theta, direction):
    """The second derivative along a direction of length 1."""
    return (direction @ hessian_product(loss, theta, direction) / (direction @ direction)).item()


def eigenpairs(loss, theta, count=1, *, lowest=False):
    """The largest eigenvalues of the Hessian, in descending order, and their eigenvectors as rows; by Lanczos.

    Args:
        lowest: the other end of the spectrum, in ascending order.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    def product(vector):
        return hessian_product(loss, theta, torch.from_numpy(vector).flatten().to(theta)).cpu().numpy()

    size = len(theta)
    operator = LinearOperator((size, size), product, dtype=numpy.float64)
    start = numpy.random.default_rng(0).standard_normal(size)  # Lanczos begins at random
    which, basis = "SA" if lowest else "LA", min(size, count + 9)  # few stand out, so that a small basis finds them
    values, vectors = eigsh(operator, count, which=which, v0=start, ncv=basis, tol=1e-3)
    order = numpy.argsort(values if lowest else -values)
    return values[order], torch.from_numpy(vectors.T[order].copy()).to(theta)


# ------------------------------------------------------------------------------------- slices


def filter_direction(model, seed):
    """A random direction in which every neuron moves by its own length, and biases stay (Li et al. 2018)."""
    draw = torch.Generator().manual_seed(seed)
    return torch.cat([_moved(p.detach().double(), draw).flatten() for p in model.parameters()])


def _moved(weights, draw):
    if weights.ndim < 2:
        return torch.zeros_like(weights)
    noise = torch.randn(weights.shape, generator=draw, dtype=weights.dtype).to(weights.device)
    length, drawn = (w.flatten(1).norm(dim=1).view(-1, *[1] * (w.ndim - 1)) for w in (weights, noise))
    return noise * length / drawn


def plane(loss, theta, across, up, x, y):
    """The loss at ``theta + x across + y up``: an array ``[y, x]``, as contours are drawn from."""
    x, y = (torch.as_tensor(ends, dtype=theta.dtype, device=theta.device) for ends in (x, y))
    row = vmap(lambda i, j: loss(theta + i * across + j * up), in_dims=(0, None))
    return torch.stack([row(x, j) for j in y]).cpu().numpy()


# ------------------------------------------------------------------------------------- training to a height


def train_to(task, optimizer, goal, *, seed=0, most=20_000):
    """Trains one model until its loss over all training data is at most ``goal``, looked at after every step.

    Args:
        optimizer: makes an optimizer of parameters, as for `train`.
        most: steps after which it is given up.
    """
    model = _model(task, seed).to(device())
    optimizer, (inputs, targets) = optimizer(model.parameters()), task.train
    for batch in task.batches(most, seed).to(device()):
        optimizer.zero_grad()
        task.loss(model(inputs[batch]), targets[batch]).backward()
        optimizer.step()
        with torch.no_grad():
            if task.loss(model(inputs), targets) <= goal:
                return model
    raise RuntimeError(f"the loss is above {goal} after {most} steps")
