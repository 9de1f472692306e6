"""The fused CUDA path: every tensor of every group that shares a program and a dtype, in one Triton launch.

    kernel = TritonKernel(lowered, torch.float32, sizes, device)  # kept as long as the sizes are
    kernel.launch(pointers, rows, numbers)  # each step: one copy to the device, one launch

With ``step`` on the device (``capturable``, ``fused=True``), `launch_on_device`
works the numbers out there. Under ``TRITON_INTERPRET=1`` all of it runs on CPU tensors.
"""

import contextlib
import hashlib
import linecache
import os
from array import array
from functools import cache

import torch

from ..forms.lower import Unsupported
from ..forms.passes import names, passes
from ..forms.triton import number_arguments, triton, triton_numbers
from . import states, tensors
from .cache import CannotBuild
from .lookup import same_items

DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16", torch.float16: "float16"}
WARPS = 8  # of 32 threads, that work as one program
CHUNK = 16384  # elements that one program updates
TENSORS = 128  # whose numbers one program works out
OLDEST = (7, 0)  # compute capability


def why_not(device):
    """Why no Triton kernel can run on a device, in one line; None if it can."""
    device = torch.device(device)
    if device.type != "cuda" and not interpreted():
        return f"Triton kernels run on CUDA devices, and not on {device.type!r}"
    missing = _missing()
    if missing:
        return missing
    if device.type == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(device) < OLDEST:
        return f"Triton needs compute capability {OLDEST[0]}.{OLDEST[1]}, and {torch.cuda.get_device_name(device)} has less"
    return None


def interpreted():
    """Whether Triton only acts out its kernels, on a CPU."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


@cache
def _missing():
    try:
        import triton  # noqa: F401  (seconds; never imported unless a CUDA tensor asks for it)
    except Exception as error:  # a broken installation may raise anything
        return f"Triton cannot be imported ({error}); install it with: pip install triton"
    return None


def can_take(member, on_device):
    """Whether a member can go by Triton, with its number states on the device or on the CPU."""
    param = member.param
    return (
        {param.dtype, member.state_dtype} <= DTYPES.keys()
        and not (on_device and member.stochastic)  # a CUDA graph would round alike each time
        and member.lowered.fusable
        and why_not(param.device) is None
        and tensors.can_read(member)
        and (on_device or states.can_read(member))
    )


def supported(tensor):
    """Whether a kernel can go over a tensor: a plain one without gaps, of a known dtype, where Triton runs."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.dtype in DTYPES
        and tensor.layout == torch.strided
        and not tensor.is_neg()
        and (tensor.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(tensor))
        and why_not(tensor.device) is None
    )


@cache
def load(source):
    """The names that Triton source defines. Triton reads a function's source again, so Python must be able to find it."""
    name = f"<optimbook triton {hashlib.sha256(source.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    scope = {"__name__": "optimbook.printed"}
    exec(compile(source, name, "exec"), scope)
    return scope


@cache
def _scope(form, lowered, *dtypes, **how):
    """What a printed form of a program defines.

    Raises:
        CannotBuild: the program has no such form.
    """
    try:
        return load(form(lowered, *map(DTYPES.get, dtypes), **how))
    except Unsupported as reason:
        raise CannotBuild(str(reason)) from None


# What a tensor's programs have summed, added up in order: one program per tensor.
GATHER = """
import triton
import triton.language as tl


@triton.jit
def gather(partial, reduced, first, slot, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    tensor = tl.program_id(0)
    start, stop = tl.load(first + tensor), tl.load(first + tensor + 1)
    total = tl.zeros((BLOCK,), tl.float64)
    for at in range(start, stop, BLOCK):
        chunk = at + tl.arange(0, BLOCK)
        total += tl.load(partial + WIDTH * chunk + slot, chunk < stop, 0.0)
    tl.store(reduced + WIDTH * tensor + slot, tl.sum(total))
"""


class TritonKernel:
    """A program over a set of tensors. Their sizes go to the device once, everything else follows each step."""

    def __init__(self, lowered, dtype, sizes, device, state_dtype=None, stochastic=False):
        """Builds the kernel, so that no step fails half done.

        Args:
            lowered: the program.
            dtype: of parameters and gradients.
            sizes: elements of each parameter.
            device: where they are.
            state_dtype: of tensor states, if another.
            stochastic: round bfloat16 parameters by chance.

        Raises:
            CannotBuild: the program has no Triton form, or Triton cannot build it here.
        """
        self.lowered, self.device, self.tensors = lowered, torch.device(device), len(sizes)
        self.stochastic, self.seed = stochastic and dtype == torch.bfloat16, 0
        scope = _scope(triton, lowered, dtype, state_dtype or dtype, stochastic=self.stochastic)
        self.passes = [(scope[name], part.reductions) for name, part in zip(names(lowered), passes(lowered).passes)]
        chunks, first = array("q"), array("q", [0])
        for tensor, size in enumerate(sizes):
            for start in range(0, size, CHUNK):
                chunks.extend((tensor, start, min(start + CHUNK, size)))
            first.append(len(chunks) // 3)
        self.programs = len(chunks) // 3
        self.sums = self._room(sizes, first)
        self.chunks = _int64(chunks).to(self.device)
        self.rows = torch.arange(self.tensors, device=self.device)
        self.numbers = torch.empty(self.tensors * len(lowered.coefficients), dtype=torch.float64, device=self.device)
        self.sent, self.work_out, self.captured = None, None, []
        smallest = min(dtype.itemsize, (state_dtype or dtype).itemsize)
        self.options = {"BLOCK": WARPS * 32 * 16 // smallest, "num_warps": WARPS}  # each thread moves 16 bytes at once
        for kernel, _ in self.passes:
            self._build(kernel, self.chunks, self.rows, self.rows, self.numbers, self.tensors, *self._more(), **self.options)

    def _more(self):
        """What only some programs are given: room for sums, a seed."""
        return (*self.sums[:2], *((self.seed,) if self.stochastic else ()))

    def _room(self, sizes, first):
        """For norms and means: per tensor its size and its sums, per program its part of them, and each tensor's first program."""
        self.reductions = passes(self.lowered).reductions
        if not self.reductions:
            return ()
        reduced = torch.zeros(self.tensors, 1 + len(self.reductions), dtype=torch.float64)
        reduced[:, 0] = torch.tensor(sizes, dtype=torch.float64)
        partial = torch.zeros(self.programs, 1 + len(self.reductions), dtype=torch.float64)
        return reduced.to(self.device), partial.to(self.device), _int64(first).to(self.device)

    def launch(self, pointers, rows, numbers):
        """Updates every tensor once.

        Args:
            pointers: ``array("q")`` of addresses, first of all parameters, then of all gradients,
                and so on, in the order of ``program.tensors``.
            rows: ``array("q")``, per tensor its row of numbers.
            numbers: ``array("d")``, rows of what ``lowered.numbers`` gives.
        """
        pointers, rows, numbers = self._send(pointers, rows, numbers)
        self._update(pointers, rows, numbers.view(torch.float64))

    def launch_on_device(self, pointers, states, groups, hyperparameters, given=(), on_device=None, dtype=torch.float32):
        """Adds 1 to each ``step`` where it is, works the numbers out there, then updates every tensor once.

        Args:
            pointers: as for `launch`.
            states: ``array("q")`` of addresses of number states, all of the first, then of the second, and so on,
                in the order of `optimbook.forms.triton.number_arguments`.
            groups: ``array("q")``, per tensor its row of hyperparameters.
            hyperparameters: ``array("d")``, rows of ``program.hyperparameters``.
            given: numbers that are no states (``first``), in the order of `number_arguments`, each for all tensors.
            on_device: 1-element tensors that stand for hyperparameters, by their place in ``hyperparameters``.
            dtype: of number states.

        Raises:
            CannotBuild: the program calls a Python function, or Triton cannot build it here.
        """
        pointers, states, groups, hyper, given = self._send(pointers, states, groups, array("d", hyperparameters), array("d", given))
        hyper, given = hyper.view(torch.float64), given.view(torch.float64)
        work_out = _scope(triton_numbers, self.lowered, dtype)[f"{self.lowered.program.name}_numbers"]
        arguments = states, given, groups, hyper, self.numbers, self.tensors
        if work_out is not self.work_out:
            self._build(work_out, *arguments, BLOCK=TENSORS)
            self.work_out = work_out
        for place, tensor in (on_device or {}).items():
            hyper[place].copy_(tensor.reshape(()))
        with self._current():
            work_out[-(-self.tensors // TENSORS),](*arguments, BLOCK=TENSORS)
        self._update(pointers, self.rows, self.numbers)

    def _update(self, pointers, rows, numbers):
        if not self.programs:
            return
        more = self._more()
        with self._current():
            for kernel, sums in self.passes:
                kernel[self.programs,](self.chunks, pointers, rows, numbers, self.tensors, *more, **self.options)
                for reduction in sums:
                    self._gather(1 + self.reductions.index(reduction))

    def _gather(self, slot):
        reduced, partial, first = self.sums
        gather = load(GATHER)["gather"]
        gather[self.tensors,](partial, reduced, first, slot, WIDTH=1 + len(self.reductions), BLOCK=TENSORS)

    def _send(self, *arrays):
        """The arrays on the device, in one copy that nobody waits for, or none if nothing has changed."""
        packed = b"".join(arrays)
        if packed != self.sent:
            # Pinned memory that torch hands out is not used again before the copy from it is done.
            host = _int64(bytearray(packed))
            self.host = host.pin_memory() if self.device.type == "cuda" else host
            self.table = self.host.to(self.device, non_blocking=True)
            self.sent = packed
        if self.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            self.captured.append((self.host, self.table))  # a CUDA graph reads them again at each replay
        return self.table.split([len(a) for a in arrays])

    def _build(self, kernel, *arguments, **constants):
        try:
            with self._current():
                kernel.warmup(*arguments, grid=(1,), **constants)
        except Exception as error:  # Triton has no common class of error; a missing compiler is a RuntimeError
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise CannotBuild(f"Triton cannot build {self.lowered.program.name!r}: {reason[0]}") from error

    def _current(self):
        return torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()


class Kernels:
    """The members of a plan that Triton updates: one launch for each program, dtype and device."""

    def __init__(self, members, groups):
        """Builds what is missing.

        Raises:
            CannotBuild: see `TritonKernel`.
        """
        self.tensors = tensors.Tensors(members)
        self.members = self.tensors.members
        self.numbers = self._numbers()
        self.kernels = []
        for lowered, first, last in self.tensors.blocks:
            member = self.members[first]
            like = member.param.dtype, self.tensors.sizes[first:last], member.param.device
            self.kernels.append(TritonKernel(lowered, *like, member.state_dtype, member.stochastic))
        self.row = None

    def _numbers(self):
        return states.NumberStates(self.members)

    def prepare(self, grads, groups, plain):
        """Reads where everything is and works the numbers out; changes nothing; False if the plan must be made anew."""
        return self.tensors.look(grads) and self.numbers.look(groups, plain, self.tensors.moved)

    def run(self, turn):
        if self.row is not self.numbers.row:
            self.row = self.numbers.row
            # Rows of other programs have another length, so each block gets its own, counted anew.
            self.counted = [_counted(self.row[first:last]) for _, first, last in self.tensors.blocks]
        for (kernel, pointers, _, _), (used, rows) in zip(self._blocks(), self.counted):
            numbers = array("d", [n for row in used for n in self.numbers.coefficients[row]])
            kernel.seed = turn * len(self.members)
            kernel.launch(pointers, rows, numbers)
        self.numbers.write()
        self.tensors.release()

    def _blocks(self):
        start = 0
        for kernel, (lowered, first, last) in zip(self.kernels, self.tensors.blocks):
            stop = start + len(lowered.program.tensors) * (last - first)
            yield kernel, self.tensors.pointers[start:stop], first, last
            start = stop


class DeviceKernels(Kernels):
    """The same with ``step`` on the device: nothing is read back, so that a CUDA graph can hold the step."""

    def __init__(self, members, groups):
        super().__init__(members, groups)
        self.states = [[]] * len(self.kernels)
        self.counted = [_counted([m.group for m in self.members[first:last]]) for _, first, last in self.tensors.blocks]

    def _numbers(self):
        return None

    def prepare(self, grads, groups, plain):
        """As for `Kernels`; the numbers are worked out on the device, when it runs."""
        self.groups, self.plain = groups, plain
        if not self.tensors.look(grads):
            return False
        self.states = [self._states(*block, before) for block, before in zip(self.tensors.blocks, self.states)]
        return None not in self.states

    def _states(self, lowered, first, last, before):
        """A block's number states; None if one cannot be read. Those that were there ``before`` are not looked at again."""
        kept, _ = number_arguments(lowered.program)
        states = [m.state.get(n) for n in kept for m in self.members[first:last]]
        where = self.members[first].param.device
        alike = lambda t: type(t) is torch.Tensor and t.dtype == torch.float32 and t.device == where
        return states if same_items(states, before) or all(map(alike, states)) else None

    def run(self, turn):
        for (kernel, pointers, first, last), numbers, (used, rows) in zip(self._blocks(), self.states, self.counted):
            addresses = array("q", map(torch.Tensor.data_ptr, numbers))
            program, members = kernel.lowered.program, self.members[first:last]
            hyperparameters, on_device = array("d"), {}
            for index in used:
                for name in program.hyperparameters:
                    value = self.groups[index].hyperparameters[name]
                    if isinstance(value, torch.Tensor):
                        on_device[len(hyperparameters)] = value
                    hyperparameters.append(self.plain[index].get(name, 0.0))
            given = [float(getattr(m, n)) for n in number_arguments(program)[1] for m in members]
            kernel.launch_on_device(pointers, addresses, rows, hyperparameters, given, on_device)
        self.tensors.release()


def _counted(rows):
    """Which rows are used, and for each member the place of its own among them."""
    used = sorted(set(rows))
    place = {row: i for i, row in enumerate(used)}
    return used, array("q", map(place.get, rows))


def _int64(buffer):
    return torch.frombuffer(buffer, dtype=torch.int64) if len(buffer) else torch.empty(0, dtype=torch.int64)
