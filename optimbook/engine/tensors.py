"""Where the tensors of a step lie: checked when a plan is made, looked up anew each step.

A kernel trusts an address, so nothing about one may be assumed. Each step the addresses
are read again; what has moved is looked at again, and if it no longer lies as the plan
has it, the plan is made anew.
"""

import ctypes
from array import array
from operator import attrgetter, itemgetter

import torch

from .lookup import lookup
from .members import tensor_states

PLAIN = (torch.Tensor, torch.nn.Parameter)  # not subclasses, whose numbers may lie anywhere


def can_read(member):
    """Whether a parameter and its states are plain tensors without gaps that one loop can go over together."""
    param, grad = member.param, member.grad
    states = [member.state.get(n) for n in tensor_states(member.lowered.program)]
    return (
        param.layout == torch.strided
        and (param.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(param))
        and type(grad) in PLAIN
        and grad.layout == torch.strided
        and _lies_as(param, _layout(param))
        and all(_lies_as(t, _layout(param, member.state_dtype)) for t in states)
    )


def _kernel(member):
    """What decides which kernel takes a member."""
    return id(member.lowered), member.param.dtype, member.state_dtype, member.stochastic, member.param.device


def _layout(tensor, dtype=None):
    return tensor.device, dtype or tensor.dtype, tensor.shape, tensor.stride()


def _lies_as(tensor, layout):
    """Whether a tensor is a plain one with this device, dtype, shape and stride."""
    plain = type(tensor) in PLAIN and tensor.layout == torch.strided and not tensor.is_neg()
    return plain and _layout(tensor) == layout and (tensor.data_ptr() != 0 or tensor.numel() == 0)


class Tensors:
    """The parameters, gradients and tensor states of a plan, in blocks that share a program and a dtype.

    Attributes:
        members: in the order of the blocks.
        blocks: ``(program, first member, last member)``.
        pointers: ``array("q")``, block by block, in each first all parameters, then all gradients,
            and so on in the order of ``program.tensors``.
    """

    def __init__(self, members):
        self.members = sorted(members, key=lambda m: list(map(str, _kernel(m))))
        self.params, self.states = [m.param for m in self.members], [m.state for m in self.members]
        self.layouts = [_layout(p) for p in self.params]
        self.state_layouts = [_layout(m.param, m.state_dtype) for m in self.members]
        self.dtypes = [p.dtype for p in self.params]
        self.dtype_set = set(self.dtypes)
        self.sizes, self.strides = [p.numel() for p in self.params], [p.stride() for p in self.params]
        self.contiguous = all(p.is_contiguous() for p in self.params)
        self.blocks = self._blocks()
        self.columns = self._columns()
        self.lookup = lookup()
        if self.lookup:
            self.expected = self._expected(self.params)
            # States of another dtype have other layouts; the members' have been looked at, so the first of each tells.
            names = [tensor_states(m.lowered.program) for m in self.members]
            self.expected_states = self._expected([m.state[n[0]] if n else m.param for m, n in zip(self.members, names)])
        self.pointers = array("q", bytes(8 * sum(size * len(p.program.tensors) for p, size in self._widths())))

    def _blocks(self):
        kinds = list(map(_kernel, self.members))
        starts = [i for i in range(len(kinds)) if i == 0 or kinds[i] != kinds[i - 1]]
        return [(self.members[a].lowered, a, b) for a, b in zip(starts, [*starts[1:], len(kinds)])]

    def _widths(self):
        return [(lowered, last - first) for lowered, first, last in self.blocks]

    def _columns(self):
        """Per block and kind of tensor: name, where its members are, where its addresses go, and what they last were."""
        columns, start = [], 0
        for lowered, first, last in self.blocks:
            for name in lowered.program.tensors:
                columns.append([name, first, last, start, None])
                start += last - first
        return columns

    def look(self, grads):
        """Reads where everything is; False if something has come to lie so that the plan must be made anew."""
        self.moved = False
        return (self._look_in_c if self.lookup else self._look_in_python)(grads)

    def release(self):
        """Lets go of the gradients, so that `zero_grad` frees their memory before the next backward pass."""
        self.grads = None
        for column in self.columns:
            if column[0] == "grad":
                column[4] = None

    def _look_in_c(self, grads):
        """One call for each kind of tensor, which compares layouts too."""
        try:
            for column in self.columns:
                if not self._same_layouts(column, grads):
                    if column[0] != "grad":
                        return False
                    grads = self._as_params(grads)
                    if grads is None or not self._same_layouts(column, grads):
                        return False
        except (KeyError, RuntimeError):  # a state was taken away, or a gradient is sparse
            return False
        self.grads = grads  # copies among them must live until the step has read them
        return True

    def _same_layouts(self, column, grads):
        name, first, last, start, _ = column
        tensors = grads if name == "grad" else self.params if name == "param" else self.states
        key = None if name in ("grad", "param") else id(name)
        library, describe = self.lookup
        layouts = self.expected if key is None else self.expected_states
        address, expected = self.pointers.buffer_info()[0] + 8 * start, layouts.buffer_info()[0]
        moved = ctypes.c_int64(0)
        found = library.look(describe, first, last - first, tensors, key, address, expected, ctypes.addressof(moved))
        self.moved |= bool(moved) and name != "grad"
        return found == last - first

    def _expected(self, tensors):
        """What the layouts of tensors come to."""
        library, describe = self.lookup
        seen = array("Q", bytes(8 * len(tensors)))
        library.layouts(describe, len(tensors), tensors, seen.buffer_info()[0])
        return seen

    def _look_in_python(self, grads):
        """A few passes over lists of tensors, where torch has no faster way to ask."""
        if not self._in_order(self.params) or not all(self._look_at(c, grads) for c in self.columns if c[0] == "param"):
            return False
        grads = self._as_params(grads)
        if grads is None:
            return False
        self.grads = grads
        return all(self._look_at(c, grads) for c in self.columns if c[0] != "param")

    def _look_at(self, column, grads):
        name, first, last, start, known = column
        if name == "grad":
            tensors = grads[first:last]
        elif name == "param":
            tensors = self.params[first:last]
        else:
            tensors = map(itemgetter(name), self.states[first:last])
        try:
            addresses = list(map(torch.Tensor.data_ptr, tensors))
        except (KeyError, TypeError):  # a state was taken away
            return False
        if addresses != known:
            if name != "grad":
                self.moved = True
                tensors, layouts = (self.params, self.layouts) if name == "param" else ([s[name] for s in self.states], self.state_layouts)
                if not all(map(_lies_as, tensors[first:last], layouts[first:last])):
                    return False
            column[4] = addresses
            self.pointers[start : start + last - first] = array("q", addresses)
        return True

    def _in_order(self, tensors):
        """Whether tensors still have the parameters' strides: an address alone does not tell."""
        if self.contiguous:
            return all(map(torch.Tensor.is_contiguous, tensors))
        return list(map(torch.Tensor.stride, tensors)) == self.strides

    def _as_params(self, grads):
        """The gradients, copied where they lie in another order than their parameters; None if one cannot be read so."""
        # A parameter can only have come to have another size if its gradient has.
        if list(map(torch.Tensor.numel, grads)) != self.sizes or not self._same_dtypes(grads):
            return None
        try:
            if self._in_order(grads):
                return grads
        except RuntimeError:  # a sparse one lies in no order
            return None
        if any(type(g) not in PLAIN or g.layout != torch.strided for g in grads):
            return None
        return [g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for g, p in zip(grads, self.params)]

    def _same_dtypes(self, grads):
        if len(self.dtype_set) == 1:
            return set(map(attrgetter("dtype"), grads)) == self.dtype_set
        return [g.dtype for g in grads] == self.dtypes
