"""Where the tensors of a step lie: checked when a plan is made, looked up anew each step.

A kernel trusts an address, so nothing about one may be assumed. Each step the addresses
are read again; what has moved is looked at again, and if it no longer lies as the plan
has it, the plan is made anew.
"""

from array import array
from operator import attrgetter, itemgetter

import torch

from .members import tensor_states

PLAIN = (torch.Tensor, torch.nn.Parameter)  # not subclasses, whose numbers may lie anywhere


def can_read(member, lowered):
    """Whether a parameter and its states are plain tensors without gaps that one loop can go over together."""
    param, grad = member.param, member.grad
    states = [member.state.get(n) for n in tensor_states(lowered.program)]
    return (
        param.layout == torch.strided
        and (param.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(param))
        and type(grad) in PLAIN
        and grad.layout == torch.strided
        and all(_lies_as(t, _layout(param)) for t in (param, *states))
    )


def _layout(tensor):
    return tensor.device, tensor.dtype, tensor.shape, tensor.stride()


def _lies_as(tensor, layout):
    """Whether a tensor is a plain one with this device, dtype, shape and stride."""
    plain = type(tensor) in PLAIN and tensor.layout == torch.strided and not tensor.is_neg()
    return plain and _layout(tensor) == layout and (tensor.data_ptr() != 0 or tensor.numel() == 0)


class Tensors:
    """The parameters, gradients and tensor states of a plan, in blocks that share a program and a dtype.

    Attributes:
        members: in the order of the blocks.
        lowered: each member's program.
        blocks: ``(program, first member, last member)``.
        pointers: ``array("q")``, block by block, in each first all parameters, then all gradients,
            and so on in the order of ``program.tensors``.
    """

    def __init__(self, members, groups):
        self.members = sorted(members, key=lambda m: (id(groups[m.group].lowered), str(m.param.dtype), str(m.param.device)))
        self.lowered = [groups[m.group].lowered for m in self.members]
        self.params, self.states = [m.param for m in self.members], [m.state for m in self.members]
        self.layouts = [_layout(p) for p in self.params]
        self.dtypes = [p.dtype for p in self.params]
        self.strides, self.sizes = [p.stride() for p in self.params], [p.numel() for p in self.params]
        self.blocks = self._blocks()
        self.pointers = array("q")

    def _blocks(self):
        kinds = [(id(lowered), p.dtype, p.device) for lowered, p in zip(self.lowered, self.params)]
        starts = [i for i in range(len(kinds)) if i == 0 or kinds[i] != kinds[i - 1]]
        return [(self.lowered[a], a, b) for a, b in zip(starts, [*starts[1:], len(kinds)])]

    def look(self, grads):
        """Reads where everything is; False if something has come to lie so that the plan must be made anew."""
        if not self._same_shapes():
            return False
        grads = self._as_params(grads)
        pointers = grads and self._addresses(grads)
        if not pointers:
            return False
        self.pointers = pointers
        self.grads = grads  # copies among them must live until the step has read them
        return True

    def _same_shapes(self):
        """Whether the parameters still have their sizes and strides: an address alone does not tell a view of it."""
        sizes, strides = map(torch.Tensor.numel, self.params), map(torch.Tensor.stride, self.params)
        return list(sizes) == self.sizes and list(strides) == self.strides

    def _as_params(self, grads):
        """The gradients, copied where they lie in another order than their parameters; None if one cannot be read so."""
        try:
            alike = list(map(torch.Tensor.stride, grads)) == self.strides
        except RuntimeError:  # a sparse one has no strides
            return None
        if alike and list(map(attrgetter("dtype"), grads)) == self.dtypes:
            return grads
        if any(type(g) not in PLAIN or g.layout != torch.strided or g.dtype != d for g, d in zip(grads, self.dtypes)):
            return None
        return [g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for g, p in zip(grads, self.params)]

    def _addresses(self, grads):
        address, flat, checked = torch.Tensor.data_ptr, [], []
        for lowered, first, last in self.blocks:
            params, states = self.params[first:last], self.states[first:last]
            for name in lowered.program.tensors:
                if name == "grad":
                    flat += map(address, grads[first:last])
                    continue
                try:
                    tensors = params if name == "param" else list(map(itemgetter(name), states))
                    checked.append((len(flat), tensors, first))
                    flat += map(address, tensors)
                except (KeyError, TypeError):  # a state was taken away
                    return None
        flat = array("q", flat)
        new, old = memoryview(flat).cast("B"), memoryview(self.pointers).cast("B")
        for begin, tensors, first in checked:
            here = slice(8 * begin, 8 * (begin + len(tensors)))
            if new[here] != old[here] and not all(map(_lies_as, tensors, self.layouts[first:])):
                return None
        return flat
