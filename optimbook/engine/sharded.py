"""Sharded parameters: DTensors, as FSDP2 makes them.

What works element by element works on each process's own shard, which is a plain tensor;
what needs a whole parameter goes through DTensor, which asks the other processes.
"""

import contextlib
from dataclasses import replace

import torch
from torch.overrides import TorchFunctionMode


def is_sharded(tensor):
    """Whether a tensor is a DTensor, without importing what defines it."""
    return getattr(tensor, "_local_tensor", None) is not None


def placement(tensor):
    """Where the parts of a sharded tensor are; None for any other."""
    spec = getattr(tensor, "_spec", None)
    return spec and (spec.mesh, spec.placements)


def whole(tensor):
    """A sharded tensor with all of it in every process; any other as it is."""
    if not is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import Replicate

    return tensor.redistribute(placements=[Replicate()] * tensor.device_mesh.ndim)


def own_shard(member, names):
    """A sharded parameter's member over this process's own shard, or the member where that would not be the same.

    A norm or a mean needs the other shards, and tensors that are placed differently would have to be moved.

    Args:
        member: a `Member` with all its states.
        names: its tensor states. Its number states are the very same tensors in the result.
    """
    tensors = (member.param, member.grad, *(member.state[n] for n in names))
    if not all(map(is_sharded, tensors)) or member.lowered.has_reductions or member.sparse:
        return member
    if any(placement(t) != placement(member.param) for t in tensors):
        return member
    state = {n: v._local_tensor if n in names else v for n, v in member.state.items()}
    return replace(member, param=member.param._local_tensor, grad=member.grad._local_tensor, state=state, whole=member)


def still_own_shard(member, grad, names):
    """Whether a sharded parameter, its states and this gradient still lie where `own_shard` found them."""
    param, state = member.whole.param, member.whole.state
    return (
        param._local_tensor is member.param
        and placement(grad) == placement(param)
        and all((getattr(state.get(n), "_local_tensor", None) if n in names else state.get(n)) is v for n, v in member.state.items())
    )


def across(members):
    """In this context the printed forms work on whole parameters, wherever their parts are."""
    return _Across() if any(is_sharded(m.param) for m in members) else contextlib.nullcontext()


class _Across(TorchFunctionMode):
    """Brings sums together, and operands to where the tensor is that takes the result: DTensor refuses to do so in place."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function.__name__.endswith("_") and is_sharded(args[0]):
            home = args[0]
            args = [a.redistribute(placements=home.placements) if is_sharded(a) and a.shape == home.shape else a for a in args]
        out = function(*args, **(kwargs or {}))
        return whole(out) if function in (torch.linalg.vector_norm, torch.Tensor.mean) else out
