"""The fused CPU path: all tensors of all groups in one call of a small C driver.

Each program is compiled, for each dtype, into a function that updates a range of one
tensor (`optimbook.forms.c`). The driver below knows no rule: it shares the elements out
among threads, calls each tensor's function, and keeps the number states.
"""

import ctypes
from array import array
from functools import cache
from itertools import chain

import torch

from ..forms.c import SUMS, c
from ..forms.lower import Unsupported
from ..forms.passes import names, passes
from . import states, tensors
from .cache import CannotBuild, library

DTYPES = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16", torch.float16: "half"}
CHUNK = 16384  # elements; a tensor's pieces may go to different threads
MOST_TENSORS = 16  # that one program reads or writes; the driver has room for so many
SMALL = 65536  # elements in all below which waking other threads costs more than it saves

DRIVER = r"""
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

typedef void (*kernel)(void *const *tensor, int64_t start, int64_t stop, const double *number, const double *reduced, double *partial);

struct table {
  int64_t chunks, threads, tensors, passes, width;
  const int64_t *pointer;                 /* of tensor t: pointer[base[t] + k * stride[t]] for k < count[t] */
  const int64_t *base, *stride, *count;
  const int64_t *function;                /* [passes][tensors]; null where a program has nothing to do in a pass */
  const int64_t *row;                     /* per tensor: its row of numbers */
  const int64_t *start_of_row;
  const double *number;
  const int64_t *chunk_tensor, *chunk_start, *chunk_stop;
  const int64_t *elements;                /* before each chunk, and in all */
  const int64_t *size;                    /* per tensor */
  int64_t seed;                           /* of this step's rounding */
  double *reduced, *partial;              /* [tensors][width]: size, seed, sums; [chunks][width]: a chunk's part of them */
};

static int64_t chunk_at(const struct table *a, int64_t element) {
  int64_t low = 0, high = a->chunks;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (a->elements[middle] < element) low = middle + 1; else high = middle;
  }
  return low;
}

/* Each thread takes chunks that follow each other, and about as many elements as every other thread. */
static void sweep(const struct table *a, const int64_t *function) {
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
      if (!function[t]) continue;
      for (int64_t k = 0; k < a->count[t]; k++) tensor[k] = (void *)a->pointer[a->base[t] + k * a->stride[t]];
      ((kernel)function[t])(tensor, a->chunk_start[c], a->chunk_stop[c], a->number + a->start_of_row[a->row[t]],
                            a->reduced + t * a->width, a->partial + c * a->width);
    }
  }
}

/* Sums are added chunk by chunk in order, so that they do not depend on the number of threads. */
void run(const struct table *a) {
  for (int64_t t = 0; t < a->tensors && a->width; t++) {
    double *reduced = a->reduced + t * a->width;
    for (int64_t k = 2; k < a->width; k++) reduced[k] = 0;
    reduced[0] = a->size[t], reduced[1] = a->seed + t;
  }
  for (int64_t pass = 0; pass + 1 < a->passes; pass++) {
    for (int64_t i = 0; i < a->chunks * a->width; i++) a->partial[i] = 0;
    sweep(a, a->function + pass * a->tensors);
    for (int64_t c = 0; c < a->chunks; c++)
      for (int64_t k = 2; k < a->width; k++) a->reduced[a->chunk_tensor[c] * a->width + k] += a->partial[c * a->width + k];
  }
  sweep(a, a->function + (a->passes - 1) * a->tensors);
}
"""


class _Table(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int64) for n in
                ("chunks", "threads", "tensors", "passes", "width", "pointer", "base", "stride", "count", "function", "row", "start_of_row",
                 "number", "chunk_tensor", "chunk_start", "chunk_stop", "elements", "size", "seed", "reduced", "partial")]  # fmt: skip


@cache
def driver():
    """The driver, with threads where the compiler has OpenMP."""
    try:
        built = library(DRIVER, "-fopenmp")
    except CannotBuild:
        built = library(DRIVER)
    built.run.argtypes, built.run.restype = [ctypes.c_void_p], None
    return built


_functions = {}


def functions(lowered, dtype, state_dtype=None, stochastic=False):
    """The addresses of a compiled program's passes; see `optimbook.forms.c.c`.

    Raises:
        CannotBuild: there is no compiler, or the program or the dtype has no C form.
    """
    key = (id(lowered), dtype, state_dtype, stochastic)
    if key not in _functions:
        try:
            source = c(lowered, DTYPES[dtype], DTYPES[state_dtype or dtype], stochastic)
        except Unsupported as reason:
            raise CannotBuild(str(reason)) from None
        built = library(source, *(["-fopenmp-simd"] if lowered.has_reductions else []))
        _functions[key] = lowered, [ctypes.cast(getattr(built, name), ctypes.c_void_p).value for name in names(lowered)]
    return _functions[key][1]


def can_take(member):
    """Whether a member's tensors and number states are such that the driver can go over them."""
    return (
        member.param.device.type == "cpu"
        and member.lowered.fusable
        and {member.param.dtype, member.state_dtype} <= DTYPES.keys()
        and len(member.lowered.program.tensors) <= MOST_TENSORS
        and tensors.can_read(member)
        and states.can_read(member)
    )


class Kernels:
    """The members of a plan that one call of the driver updates."""

    def __init__(self, members, groups):
        """Compiles what is missing.

        Raises:
            CannotBuild: see `function`.
        """
        self.driver = driver()
        self.tensors = tensors.Tensors(members)
        self.members = self.tensors.members
        self.states = states.NumberStates(self.members)
        self.arrays = {**self._tensor_tables(), **self._chunk_tables(), **self._pass_tables()}
        self.table = _Table(chunks=len(self.arrays["chunk_tensor"]), tensors=len(self.members), passes=self.passes, width=self.width)
        self._point(self.arrays)
        self.elements = self.arrays["elements"][-1]

    def _pass_tables(self):
        """Which function goes over which tensor in which pass (all update in the last), and room for the sums."""
        each = [functions(m.lowered, m.param.dtype, m.state_dtype, m.stochastic) for m in self.members]
        self.passes = max(map(len, each))
        padded = [[0] * (self.passes - len(own)) + own for own in each]
        table = array("q", [own[p] for p in range(self.passes) for own in padded])
        sums = max(len(passes(m.lowered).reductions) for m in self.members)
        self.stochastic = any(m.stochastic for m in self.members)
        self.width = SUMS + sums if sums or self.stochastic else 0
        chunks = sum(-(-size // CHUNK) for size in self.tensors.sizes)
        room = {"reduced": array("d", bytes(8 * self.width * len(each))), "partial": array("d", bytes(8 * self.width * chunks))}
        return {"function": table, "size": array("q", self.tensors.sizes), **room}

    def _tensor_tables(self):
        base, stride, count, start = [], [], [], 0
        for lowered, first, last in self.tensors.blocks:
            size, width = last - first, len(lowered.program.tensors)
            base += range(start, start + size)
            stride += [size] * size
            count += [width] * size
            start += width * size
        return {"base": array("q", base), "stride": array("q", stride), "count": array("q", count)}

    def _chunk_tables(self):
        tensor, start, stop, elements = array("q"), array("q"), array("q"), array("q", [0])
        for t, size in enumerate(self.tensors.sizes):
            for begin in range(0, size, CHUNK):
                tensor.append(t)
                start.append(begin)
                stop.append(min(begin + CHUNK, size))
                elements.append(elements[-1] + stop[-1] - begin)
        return {"chunk_tensor": tensor, "chunk_start": start, "chunk_stop": stop, "elements": elements}

    def prepare(self, grads, groups, plain):
        """Reads where everything is now and works the numbers out; changes nothing.

        Returns False if something has come to lie so that the plan must be made anew.
        """
        return self.tensors.look(grads) and self.states.look(groups, plain, self.tensors.moved)

    def run(self, turn):
        """The step itself."""
        self.table.seed = turn * len(self.members)  # the same in every process, so that copies of a parameter stay equal
        self.table.threads = torch.get_num_threads() if self.elements >= SMALL else 1
        numbers, starts = array("d", chain.from_iterable(self.states.coefficients)), array("q", self.states.numbers.starts)
        self._point({"pointer": self.tensors.pointers, "row": self.states.row, "start_of_row": starts, "number": numbers})
        self.driver.run(ctypes.addressof(self.table))
        self.states.write()
        self.tensors.release()

    def _point(self, arrays):
        for name, values in arrays.items():
            setattr(self.table, name, values.buffer_info()[0])
