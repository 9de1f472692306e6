"""Where hundreds of tensors lie, in one call.

Asking tensor by tensor from Python takes longer than a small model's step. torch gives
its C address for the same question, as every library that speaks DLPack does
(``Tensor.__dlpack_c_exchange_api__``); a few lines of C ask it for a whole list.
"""

import ctypes
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
  MIX(t->device.type); MIX(t->device.id); MIX(t->dtype.code); MIX(t->dtype.bits); MIX(t->ndim);
  for (int32_t i = 0; i < t->ndim; i++) {
    MIX(t->shape[i]);
    if (t->shape[i] != 1) MIX(t->strides[i]);
  }
  return h;
}

/* Addresses and layouts of n tensors; less than n if one cannot be described (a Python error is set then). */
int64_t look(describe f, int64_t n, void *const *object, int64_t *address, uint64_t *seen) {
  for (int64_t i = 0; i < n; i++) {
    DLTensor t;
    if (f(object[i], &t)) return i;
    address[i] = (int64_t)((char *)t.data + t.byte_offset);
    seen[i] = layout(&t);
  }
  return n;
}

/* The same where layouts are expected: stops at the first tensor that lies otherwise. */
int64_t look_again(describe f, int64_t n, void *const *object, int64_t *address, const uint64_t *expected) {
  for (int64_t i = 0; i < n; i++) {
    DLTensor t;
    if (f(object[i], &t)) return i;
    address[i] = (int64_t)((char *)t.data + t.byte_offset);
    if (layout(&t) != expected[i]) return i;
    for (int32_t d = 0; !t.data && d <= t.ndim; d++)  /* no memory is right only for no elements */
      if (d == t.ndim) return i;
      else if (!t.shape[d]) break;
  }
  return n;
}
"""


class _Api(ctypes.Structure):
    """DLPack's table of functions, as far as it is needed here."""

    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32)] + [
        (name, ctypes.c_void_p) for name in ("previous", "allocate", "managed_from_object", "managed_to_object", "describe")
    ]


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
    for function in (library.look, library.look_again):
        function.restype = ctypes.c_int64
        function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    return library, api.describe
