"""Where hundreds of tensors lie, in one call.

Asking tensor by tensor from Python takes longer than a small model's step. torch gives
its C address for the same question, as every library that speaks DLPack does
(``Tensor.__dlpack_c_exchange_api__``); a few lines of C ask it for a whole list.
"""

import ctypes
import operator
from functools import cache

import torch

from .cache import CannotBuild, path_of

SOURCE = r"""
#include <stdint.h>

/* From DLPack's dlpack.h, version 1: what a tensor says of itself. */
typedef struct {
  void *data;
  struct { int32_t type, id; } device;
  int32_t ndim;
  struct { uint8_t code, bits; uint16_t lanes; } dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} DLTensor;

typedef int (*describe)(void *object, DLTensor *out);

/* A number for all that decides how a tensor is read, but for its address. */
static uint64_t layout(const DLTensor *t) {
  uint64_t h = 1469598103934665603u;
#define MIX(x) h = (h ^ (uint64_t)(x)) * 1099511628211u
  MIX((uint64_t)t->device.type << 48 | (uint64_t)(uint16_t)t->device.id << 32 | (uint64_t)t->dtype.code << 24 |
      (uint64_t)t->dtype.bits << 16 | (uint64_t)t->ndim);
  int64_t elements = 1;
  for (int32_t i = 0; i < t->ndim; i++) elements *= t->shape[i];
  for (int32_t i = 0; i < t->ndim; i++) {
    MIX(t->shape[i]);
    if (elements && t->shape[i] != 1) MIX(t->strides[i]);  /* of nothing, the strides say nothing */
  }
  return h;
}

/* Of Python's own C interface, what is needed; the references are borrowed. */
extern void *PyList_GetItem(void *list, intptr_t i);
extern void *PyDict_GetItem(void *dict, void *key);
extern intptr_t PyDict_Size(void *dict);
extern int PyDict_Next(void *dict, intptr_t *position, void **key, void **value);

/* The i-th tensor of a list, or of a list of dicts the one under a key; null if it is not there. */
static void *item(void *list, int64_t i, void *key) {
  void *object = PyList_GetItem(list, i);
  return object && key ? PyDict_GetItem(object, key) : object;
}

/* The layouts of n tensors; returns how many could be described (a Python error is set if not all). */
int64_t layouts(describe f, int64_t n, void *list, uint64_t *seen) {
  for (int64_t i = 0; i < n; i++) {
    DLTensor t;
    if (f(PyList_GetItem(list, i), &t)) return i;
    seen[i] = layout(&t);
  }
  return n;
}

/* The addresses of n tensors that should lie as expected; returns how many do, and whether one of them has moved. */
int64_t look(describe f, int64_t first, int64_t n, void *list, void *key, int64_t *address, const uint64_t *expected, int64_t *moved) {
  for (int64_t i = 0; i < n; i++) {
    DLTensor t;
    void *object = item(list, first + i, key);
    if (!object || f(object, &t) || layout(&t) != expected[first + i]) return i;
    for (int32_t d = 0; !t.data && d <= t.ndim; d++)  /* no memory is right only for no elements */
      if (d == t.ndim) return i;
      else if (!t.shape[d]) break;
    const int64_t here = (int64_t)((char *)t.data + t.byte_offset);
    *moved |= address[i] != here;
    address[i] = here;
  }
  return n;
}

/* Whether two lists of one length hold the same objects; with a key, the first holds dicts that have them. */
int64_t same(int64_t n, void *a, void *key, void *b) {
  for (int64_t i = 0; i < n; i++)
    if (item(a, i, key) != PyList_GetItem(b, i)) return 0;
  return 1;
}

/* Per pair of dicts, whether they have other keys or other objects under them. */
void changed(int64_t n, void *a, void *b, char *out) {
  for (int64_t i = 0; i < n; i++) {
    void *one = PyList_GetItem(a, i), *other = PyList_GetItem(b, i), *key, *value, *key_too, *value_too;
    intptr_t here = 0, there = 0;
    out[i] = PyDict_Size(one) != PyDict_Size(other);
    while (!out[i] && PyDict_Next(one, &here, &key, &value) && PyDict_Next(other, &there, &key_too, &value_too))
      out[i] = key != key_too || value != value_too;
  }
}

/* Per object of a list, whether it is something else than `none`. */
void present(int64_t n, void *list, void *none, char *out) {
  for (int64_t i = 0; i < n; i++) out[i] = PyList_GetItem(list, i) != none;
}
"""


class _Api(ctypes.Structure):
    """DLPack's table of functions, as far as it is needed here."""

    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32)] + [
        (name, ctypes.c_void_p) for name in ("previous", "allocate", "managed_from_object", "managed_to_object", "describe")
    ]


def same_items(a, b, key=None):
    """Whether two lists hold the same objects; with a ``key``, the first holds dicts that have them under it."""
    if len(a) != len(b):
        return False
    found = lookup()
    if found:
        return bool(found[0].same(len(a), a, None if key is None else id(key), b))
    return all(map(operator.is_, a if key is None else [d.get(key) for d in a], b))


def present(values):
    """Per value of a list whether it is not None, as bytes."""
    found = lookup()
    if not found:
        return bytes([value is not None for value in values])
    out = ctypes.create_string_buffer(len(values))
    found[0].present(len(values), values, None, ctypes.addressof(out))
    return out.raw


def changed(dicts, kept):
    """Per dict of a list, whether it has other keys than the one kept of it, or other objects under them, as bytes."""
    found = lookup()
    if not found:
        return bytes([a.keys() != b.keys() or any(a[k] is not b[k] for k in a) for a, b in zip(dicts, kept)])
    out = ctypes.create_string_buffer(len(dicts))
    found[0].changed(len(dicts), dicts, kept, ctypes.addressof(out))
    return out.raw


@cache
def lookup():
    """``(library, describe)``, or None where torch or the machine has no such thing."""
    capsule = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
    if capsule is None:
        return None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    api = _Api.from_address(pointer(capsule, b"dlpack_exchange_api"))
    if api.major != 1 or not api.describe:
        return None
    try:
        library = ctypes.PyDLL(str(path_of(SOURCE)))  # keeps Python's lock: the objects are Python's
    except (CannotBuild, OSError):
        return None
    integer, address, python = ctypes.c_int64, ctypes.c_void_p, ctypes.py_object
    library.layouts.argtypes = [address, integer, python, address]
    library.look.argtypes = [address, integer, integer, python, address, address, address, address]
    library.same.argtypes = [integer, python, address, python]
    for function in (library.present, library.changed):
        function.argtypes, function.restype = [integer, python, python, address], None
    library.layouts.restype = library.look.restype = library.same.restype = integer
    return library, api.describe
