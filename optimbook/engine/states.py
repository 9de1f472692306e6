"""The number states of a plan, such as ``step``: read before a step, written after it.

They are CPU tensors of one number each, as in torch. Going over hundreds of them in
Python takes longer than a small model's arithmetic, so a few lines of C do it by address.
"""

import ctypes
from array import array
from functools import cache

import torch

from .cache import CannotBuild, library
from .lookup import same_items
from .numbers import Numbers, number_states

SOURCE = r"""
#include <stdint.h>

struct states {
  int64_t tensors, states, rows;
  const int64_t *pointer;      /* [states][tensors]; null where a program has no such state */
  const int64_t *is_double;    /* likewise */
  const int64_t *row;          /* per tensor */
  double *before;              /* [states][tensors] */
  const double *row_before;    /* [states][rows] */
  double *row_after;
};

/* Reads all states; says whether every tensor's are still those of its row. */
int64_t read_states(const struct states *a) {
  int64_t same = 1;
  for (int64_t s = 0; s < a->states; s++)
    for (int64_t t = 0; t < a->tensors; t++) {
      const int64_t i = s * a->tensors + t;
      const void *where = (const void *)a->pointer[i];
      a->before[i] = !where ? 0 : a->is_double[i] ? *(const double *)where : *(const float *)where;
      same &= a->before[i] == a->row_before[s * a->rows + a->row[t]];
    }
  return same;
}

/* Writes each row's new states, and keeps them as they were rounded. */
void write_states(const struct states *a) {
  for (int64_t s = 0; s < a->states; s++)
    for (int64_t t = 0; t < a->tensors; t++) {
      const int64_t i = s * a->tensors + t;
      double *after = a->row_after + s * a->rows + a->row[t];
      if (!a->pointer[i]) continue;
      if (a->is_double[i]) *(double *)a->pointer[i] = *after;
      else *(float *)a->pointer[i] = (float)*after, *after = (float)*after;
    }
}
"""


class _Table(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int64) for n in
                ("tensors", "states", "rows", "pointer", "is_double", "row", "before", "row_before", "row_after")]  # fmt: skip


@cache
def _library():
    built = library(SOURCE)
    built.read_states.argtypes = built.write_states.argtypes = [ctypes.c_void_p]
    built.read_states.restype, built.write_states.restype = ctypes.c_int64, None
    return built


def can_read(member):
    """Whether a member's number states are plain CPU numbers."""
    return all(_is_number(member.state[n]) for n in member.lowered.program.numbers if n in member.state)


def _is_number(tensor):
    """Whether this can be read and written as one float or double; an empty tensor stands for none."""
    plain = type(tensor) is torch.Tensor and tensor.device.type == "cpu" and tensor.numel() <= 1
    return plain and tensor.dtype in (torch.float32, torch.float64)


def number_states_of(members):
    """`NumberStates` of these members; without a compiler, or for states elsewhere than on the CPU, `SlowNumberStates`."""
    try:
        if all(map(can_read, members)):
            return NumberStates(members)
    except CannotBuild:
        pass
    return SlowNumberStates(members)


class SlowNumberStates:
    """The same as `NumberStates`, tensor by tensor."""

    def __init__(self, members):
        self.members, self.names = members, number_states(members)

    def look(self, groups, plain, moved=True):
        values = [[float(m.state[n]) if _has(m, n) else 0.0 for m in self.members] for n in self.names]
        numbers = Numbers(self.members, values)
        self.row = numbers.rows
        self.after, self.coefficients = numbers.work_out(groups, plain)
        return True

    def write(self):
        for member, row in zip(self.members, self.row):
            for name, value in zip(self.names, self.after[row]):
                if _has(member, name):
                    member.state[name].fill_(value)


def _has(member, name):
    return name in member.lowered.program.numbers


class NumberStates:
    """The number states of a plan's members, and the rows of hoisted numbers that follow from them.

    Attributes:
        row: per member its row; the same object as long as nobody changes rows.
        coefficients: per row the hoisted numbers.
    """

    def __init__(self, members):
        """Raises CannotBuild where there is no compiler."""
        self.library, self.members = _library(), members
        self.names = number_states(members)
        self.holders = {n: self._holders(n) for n in self.names}
        self.tensors, self.numbers, self.pointer = {}, None, None
        self.table = _Table(tensors=len(members), states=len(self.names))

    def _holders(self, name):
        """Per member the dict that has a number state; a program without it gets a null address."""
        nothing = {name: torch.empty(0)}
        return [m.state if _has(m, name) else nothing for m in self.members]

    def look(self, groups, plain, moved=True):
        """Reads the states and works the next ones and the coefficients out; False if a state is gone. Writes nothing.

        Args:
            moved: whether other tensors of the plan have moved since the last step, so that these may have too.
        """
        same = self.tensors and not moved and all(same_items(self.holders[n], self.tensors[n], n) for n in self.names)
        if not same and not self._find():
            return False
        self._read()
        self.after, self.coefficients = self.numbers.work_out(groups, plain)
        self.row_after = _by_state(self.after, self.names)
        return True

    def write(self):
        """Writes the states that `look` worked out."""
        self._point("pointer", "is_double", "row", "row_after")
        self.library.write_states(ctypes.addressof(self.table))
        # What was written is what the next step should find, rounded as it was stored.
        self.row_before, count = self.row_after, len(self.numbers.states)
        self.numbers.states = list(zip(*(self.row_after[i : i + count] for i in range(0, len(self.row_after), count)))) or [()] * count

    def _find(self):
        """Reads where the states are; their storages are held, so that an address stays good if one is swapped."""
        self.tensors = {name: [holder.get(name) for holder in self.holders[name]] for name in self.names}
        every = [t for name in self.names for t in self.tensors[name]]
        if not all(map(_is_number, every)):
            return False
        self.storages = [t.untyped_storage() for t in every]
        pointer = array("q", map(torch.Tensor.data_ptr, every))
        if pointer != self.pointer:
            self.pointer, self.numbers = pointer, None
            self.is_double = array("q", [t.dtype == torch.float64 for t in every])
        return True

    def _read(self):
        """Finds each member's row: that of the last step if nobody else has touched the states."""
        if self.numbers is not None and self._same():
            return
        count = len(self.members)
        if self.numbers is None:  # no rows yet: read against made-up ones
            self.row, self.row_before = array("q", bytes(8 * count)), array("d", bytes(8 * len(self.names)))
            self.table.rows = 1
            self.before = array("d", bytes(8 * count * len(self.names)))
            self._same()
        values = [self.before[s * count : (s + 1) * count].tolist() for s in range(len(self.names))]
        self.numbers = Numbers(self.members, values)
        self.row, self.row_before = array("q", self.numbers.rows), _by_state(self.numbers.states, self.names)
        self.table.rows = len(self.numbers.states)

    def _same(self):
        self._point("pointer", "is_double", "row", "before", "row_before")
        return self.library.read_states(ctypes.addressof(self.table))

    def _point(self, *names):
        for name in names:
            setattr(self.table, name, getattr(self, name).buffer_info()[0])


def _by_state(rows, names):
    return array("d", [row[s] for s in range(len(names)) for row in rows])
