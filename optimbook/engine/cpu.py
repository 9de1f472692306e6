"""The fused CPU path: all tensors of all groups in one call of a small C driver.

Each program is compiled, for each dtype, into a function that updates a range of one
tensor (`optimbook.forms.c`). The driver below knows no rule: it shares the elements out
among threads, calls each tensor's function, and keeps the number states.
"""

import ctypes
from array import array
from functools import cache
from operator import attrgetter, itemgetter

import torch

from ..forms.c import Unsupported, c
from .cache import CannotBuild, library
from .plan import Numbers, number_states, tensor_states

DTYPES = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16", torch.float16: "half"}
CHUNK = 16384  # elements; a tensor's pieces may go to different threads
PLAIN = (torch.Tensor, torch.nn.Parameter)  # not subclasses, whose numbers may lie anywhere
MOST_TENSORS = 16  # that one program reads or writes; the driver has room for so many
SMALL = 65536  # elements in all below which waking other threads costs more than it saves

DRIVER = r"""
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

typedef void (*kernel)(void *const *tensor, int64_t start, int64_t stop, const double *number);

struct table {
  int64_t tensors, chunks, states, threads;
  const int64_t *pointer;       /* per tensor its pointers, at base[t] + k * stride[t] */
  const int64_t *base, *stride, *count;
  const int64_t *function;      /* per tensor */
  const int64_t *row;           /* per tensor: its row of numbers */
  const double *number;         /* all rows */
  const int64_t *number_base;   /* per row */
  const int64_t *chunk_tensor, *chunk_start, *chunk_stop;
  const int64_t *elements;      /* before each chunk, and in all */
  const int64_t *state;         /* pointers of number states, [states][tensors] */
  const int64_t *state_is_double;
  double *before;               /* [states][tensors] */
  const double *row_before;     /* [states][rows] */
  double *row_after;
  int64_t rows;
};

/* Reads the number states; says whether every tensor's are still those of its row. */
int64_t read_states(const struct table *a) {
  int64_t same = 1;
  for (int64_t s = 0; s < a->states; s++)
    for (int64_t t = 0; t < a->tensors; t++) {
      const int64_t i = s * a->tensors + t;
      const void *where = (const void *)a->state[i];  /* null: this tensor's program has no such state */
      a->before[i] = !where ? 0 : a->state_is_double[i] ? *(const double *)where : *(const float *)where;
      same &= a->before[i] == a->row_before[s * a->rows + a->row[t]];
    }
  return same;
}

static int64_t chunk_at(const struct table *a, int64_t element) {
  int64_t low = 0, high = a->chunks;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (a->elements[middle] < element) low = middle + 1; else high = middle;
  }
  return low;
}

void run(const struct table *a) {
  const int64_t all = a->elements[a->chunks];
#pragma omp parallel num_threads(a->threads) if (a->threads > 1)
  {
    int64_t thread = 0, threads = 1;
#ifdef _OPENMP
    thread = omp_get_thread_num(), threads = omp_get_num_threads();
#endif
    const int64_t stop = thread + 1 == threads ? a->chunks : chunk_at(a, all * (thread + 1) / threads);
    for (int64_t c = chunk_at(a, all * thread / threads); c < stop; c++) {
      const int64_t t = a->chunk_tensor[c];
      void *tensor[16];
      for (int64_t k = 0; k < a->count[t]; k++) tensor[k] = (void *)a->pointer[a->base[t] + k * a->stride[t]];
      ((kernel)a->function[t])(tensor, a->chunk_start[c], a->chunk_stop[c], a->number + a->number_base[a->row[t]]);
    }
  }
  for (int64_t s = 0; s < a->states; s++)
    for (int64_t t = 0; t < a->tensors; t++) {
      const int64_t i = s * a->tensors + t;
      double *after = a->row_after + s * a->rows + a->row[t];
      if (!a->state[i]) continue;
      if (a->state_is_double[i]) *(double *)a->state[i] = *after;
      else *(float *)a->state[i] = (float)*after, *after = (float)*after;
    }
}
"""


class _Table(ctypes.Structure):
    _numbers = ("tensors", "chunks", "states", "threads")
    _arrays = ("pointer", "base", "stride", "count", "function", "row", "number", "number_base", "chunk_tensor",
               "chunk_start", "chunk_stop", "elements", "state", "state_is_double", "before", "row_before", "row_after")  # fmt: skip
    _fields_ = [(n, ctypes.c_int64) for n in (*_numbers, *_arrays, "rows")]


@cache
def driver():
    """The driver, with threads where the compiler has OpenMP."""
    try:
        built = library(DRIVER, "-fopenmp")
    except CannotBuild:
        built = library(DRIVER)
    for name in ("read_states", "run"):
        getattr(built, name).argtypes = [ctypes.c_void_p]
        getattr(built, name).restype = ctypes.c_int64 if name == "read_states" else None
    return built


_functions = {}


def function(lowered, dtype):
    """The address of a compiled program.

    Raises:
        CannotBuild: there is no compiler, or the program or the dtype has no C form.
    """
    key = (id(lowered), dtype)
    if key not in _functions:
        try:
            source = c(lowered, DTYPES[dtype])
        except Unsupported as reason:
            raise CannotBuild(str(reason)) from None
        built = getattr(library(source), f"{lowered.program.name}_step")
        _functions[key] = lowered, ctypes.cast(built, ctypes.c_void_p).value
    return _functions[key][1]


def can_take(member, lowered):
    """Whether a parameter, its gradient and its states are plain dense CPU tensors that one loop can go over."""
    param, grad = member.param, member.grad
    states = [member.state.get(n) for n in tensor_states(lowered.program)]
    return (
        param.device.type == "cpu"
        and param.dtype in DTYPES
        and param.layout == torch.strided
        and _dense(param)
        and len(lowered.program.tensors) <= MOST_TENSORS
        and type(grad) in PLAIN
        and grad.layout == torch.strided
        and all(_lies_as(t, _layout(param)) for t in (param, *states))
        and all(_is_number(member.state[n]) for n in lowered.program.numbers if n in member.state)
    )


def _layout(tensor):
    return tensor.device, tensor.dtype, tensor.shape, tensor.stride()


def _lies_as(tensor, layout):
    """Whether a tensor is a plain one with this device, dtype, shape and stride."""
    plain = type(tensor) in PLAIN and tensor.layout == torch.strided and not tensor.is_neg()
    return plain and _layout(tensor) == layout and (tensor.data_ptr() != 0 or tensor.numel() == 0)


def _dense(tensor):
    """Whether the elements fill one stretch of memory, in any order."""
    return tensor.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(tensor)


def _is_number(tensor):
    """Whether the driver can read and write this as one float or double; an empty tensor stands for none."""
    plain = type(tensor) is torch.Tensor and tensor.device.type == "cpu" and tensor.numel() <= 1
    return plain and tensor.dtype in (torch.float32, torch.float64)


class Kernels:
    """The compiled part of a plan: tables that the driver reads, and what is refreshed each step."""

    def __init__(self, members, groups):
        """Compiles what is missing.

        Raises:
            CannotBuild: see `function`.
        """
        self.driver = driver()
        # Members that share a program and a dtype stand together, so that each kind of pointer is one list.
        members = sorted(members, key=lambda m: (id(groups[m.group].lowered), str(m.param.dtype)))
        self.members = members
        self.params, self.states = [m.param for m in members], [m.state for m in members]
        self.lowered = [groups[m.group].lowered for m in members]
        functions = [function(lowered, m.param.dtype) for lowered, m in zip(self.lowered, members)]
        self.blocks = _blocks(self.lowered, members)
        self.arrays = {"function": array("q", functions)}
        self._tensor_tables()
        self._chunk_tables()
        self.names = number_states(groups)
        self.holders = {n: self._holders(n) for n in self.names}
        self.table = _Table(tensors=len(members), states=len(self.names))
        self.table.chunks = len(self.arrays["chunk_tensor"])
        self.numbers = None
        self.layouts = [_layout(p) for p in self.params]
        self.dtypes = [p.dtype for p in self.params]
        self.strides, self.sizes = [p.stride() for p in self.params], [p.numel() for p in self.params]

    def _holders(self, name):
        """Per member the dict that has a number state; a program without it gets a null address."""
        nothing = {name: torch.empty(0)}
        return [s if name in lowered.program.numbers else nothing for s, lowered in zip(self.states, self.lowered)]

    def _tensor_tables(self):
        base, stride, count = [], [], []
        start = 0
        for lowered, first, last in self.blocks:
            width = len(lowered.program.tensors)
            base += range(start, start + last - first)
            stride += [last - first] * (last - first)
            count += [width] * (last - first)
            start += width * (last - first)
        self.arrays.update(base=array("q", base), stride=array("q", stride), count=array("q", count))

    def _chunk_tables(self):
        tensor, start, stop, elements = [], [], [], [0]
        for t, member in enumerate(self.members):
            size = member.param.numel()
            for begin in range(0, size, CHUNK):
                tensor.append(t)
                start.append(begin)
                stop.append(min(begin + CHUNK, size))
                elements.append(elements[-1] + stop[-1] - begin)
        names = ("chunk_tensor", "chunk_start", "chunk_stop", "elements")
        self.arrays.update(zip(names, (array("q", v) for v in (tensor, start, stop, elements))))
        self.elements = elements[-1]

    def prepare(self, grads, groups, plain):
        """Reads where everything is now and works the numbers out; changes nothing.

        Returns False if a parameter, a gradient or a state has come to lie so that the plan must be made anew.
        """
        if not self._same_shapes():
            return False
        grads = self._as_params(grads)
        pointers, states = grads and self._pointers(grads), self._state_pointers()
        if pointers is None or states is None:
            return False
        self.grads = grads  # copies among them must live until the step has read them
        self.arrays["pointer"] = pointers
        self._read_states(states, groups)
        self.after, coefficients = self.numbers.work_out(groups, plain)
        flat, bases = array("d"), array("q")
        for row in coefficients:
            bases.append(len(flat))
            flat.extend(row)
        self.arrays["number"], self.arrays["number_base"] = flat, bases
        self.arrays["row_after"] = array("d", [row[s] for s in range(len(self.names)) for row in self.after])
        return True

    def run(self):
        """The step itself."""
        self.table.threads = torch.get_num_threads() if self.elements >= SMALL else 1
        self._point("pointer", "base", "stride", "count", "function", "row", "number", "number_base", "row_after",
                    "chunk_tensor", "chunk_start", "chunk_stop", "elements")  # fmt: skip
        self.driver.run(ctypes.addressof(self.table))
        # What was written is what the next step should find, rounded as it was stored.
        self.arrays["row_before"] = self.arrays["row_after"]
        rows = len(self.numbers.states)
        after = self.arrays["row_after"]
        self.numbers.states = [[after[s * rows + r] for s in range(len(self.names))] for r in range(rows)]

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

    def _pointers(self, grads):
        """Every tensor's address, kind by kind; None if a state is gone, or something lies elsewhere in another layout."""
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
        new, old = memoryview(flat).cast("B"), memoryview(self.arrays.get("pointer", array("q"))).cast("B")
        for begin, tensors, first in checked:
            here = slice(8 * begin, 8 * (begin + len(tensors)))
            if new[here] != old[here] and not all(map(_lies_as, tensors, self.layouts[first:])):
                return None
        return flat

    def _state_pointers(self):
        flat, old = [], self.arrays.get("state")
        try:
            for name in self.names:
                flat += map(torch.Tensor.data_ptr, map(itemgetter(name), self.holders[name]))
        except (KeyError, TypeError):
            return None
        flat = array("q", flat)
        if flat != old:
            numbers = [holder[name] for name in self.names for holder in self.holders[name]]
            if not all(map(_is_number, numbers)):
                return None
            self.arrays["state_is_double"] = array("q", [t.dtype == torch.float64 for t in numbers])
            self.arrays["state"] = flat
            self.numbers = None
        return flat

    def _read_states(self, states, groups):
        """Finds each member's row of numbers: the rows of the last step if nobody else touched the states."""
        if self.numbers is not None:
            self._point("row", "state", "state_is_double", "before", "row_before")
            if self.driver.read_states(ctypes.addressof(self.table)):
                return
        count = len(self.members)
        if self.numbers is None:  # no rows yet: read against made-up ones
            self.arrays.update(row=array("q", bytes(8 * count)), row_before=array("d", [0.0] * len(self.names)))
            self.arrays["before"] = array("d", bytes(8 * count * len(self.names)))
            self.table.rows = 1
            self._point("row", "state", "state_is_double", "before", "row_before")
            self.driver.read_states(ctypes.addressof(self.table))
        before = self.arrays["before"]
        values = [before[s * count : (s + 1) * count].tolist() for s in range(len(self.names))]
        self.numbers = Numbers(self.members, groups, values)
        self.table.rows = len(self.numbers.states)
        self.arrays["row"] = array("q", self.numbers.rows)
        self.arrays["row_before"] = array("d", [row[s] for s in range(len(self.names)) for row in self.numbers.states])

    def _point(self, *names):
        for name in names:
            setattr(self.table, name, self.arrays[name].buffer_info()[0])


def _blocks(lowered, members):
    """Runs of members with the same program: (program, first, last)."""
    blocks, start = [], 0
    for i in range(1, len(members) + 1):
        if i == len(members) or lowered[i] is not lowered[start] or members[i].param.dtype != members[start].param.dtype:
            blocks.append((lowered[start], start, i))
            start = i
    return blocks
