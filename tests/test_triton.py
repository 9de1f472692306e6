"""The Triton form: acted out on the CPU by Triton's interpreter, compiled for a GPU that need not be there, run on one that is."""

import os
import re
import subprocess
import sys
from array import array

import pytest
import torch
from rules import UPDATES, Case, adam, lambda_lr, sgd

from optimbook import abs, maximum, mean, minimum, norm, rule, sign, where  # noqa: A004
from optimbook.engine import cuda
from optimbook.engine.cache import CannotBuild
from optimbook.forms.passes import names
from optimbook.forms.triton import number_arguments, triton, triton_numbers
from optimbook.optim.adafactor import adafactor

needs_triton = pytest.mark.skipif(cuda._missing() is not None, reason=str(cuda._missing()))
STEPS = 100


@rule
def counted(param, grad, exp_avg, step, drift=0.5, first=False, *, lr=0.01, beta=0.9):
    """What the other rules leave out: functions of numbers, and two kinds of numbers that are no hyperparameters."""
    drift = drift + sign(1 - drift) * abs(-lr) * norm(step) - mean(drift) % -0.3
    drift = where(drift > 4, 0.1, drift) - (0.25 if not first and step % 3 == 1 else 0)
    exp_avg = grad if first else beta * exp_avg + (1 - beta) * grad
    param = param - 0.1 * lr * drift * exp_avg
    return param, exp_avg, drift


@rule
def extremes(param, grad, high, low, way):
    high = maximum(param, grad)
    low = minimum(param, grad)
    way = where(grad > param, grad, param)
    param = abs(param) * sign(grad)
    return param, high, low, way


@rule
def raised(param, grad):
    param = param**grad
    return param


CASES = [*UPDATES, Case(counted)]


def interpreted(*arguments):
    """Makes a test that runs in a Python of its own: Triton must be told to interpret before it is imported."""

    def decorate(function):
        @needs_triton
        @pytest.mark.parametrize("argument", arguments)
        def test(argument):
            environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, "-W", "ignore", __file__, function.__name__, str(argument)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

        test.alone, test.__name__, test.__doc__ = function, function.__name__, function.__doc__
        return test

    return decorate


def patch_interpreter():
    """Makes Triton's interpreter quicker, and stricter about what a GPU would fault on."""
    import triton.language as tl
    from triton.runtime import interpreter

    class Kept:
        restore = staticmethod(lambda: None)

    def multiple_of(pointer, divisor):
        assert not (pointer.handle.data % divisor).any(), "a claim of alignment that does not hold"
        return pointer

    patch, patched = interpreter._patch_lang, set()

    def patch_new(function):  # it patches at every call, which takes longer than the call; once a module will do
        if id(function.__globals__) not in patched:
            patched.add(id(function.__globals__))
            patch(function)
            tl.multiple_of = multiple_of
        return Kept

    interpreter._patch_lang = patch_new


# ------------------------------------------------------------------------------------------- paths


class Walk:
    """Some tensors on their way by a case, and the same ones by the rule called on float64."""

    def __init__(self, case, sizes, dtype, device="cpu"):
        self.case, self.dtype = case, dtype
        self.lowered = case.rule.lowered(**case.values)
        self.program = self.lowered.program
        self.generator = torch.Generator().manual_seed(0)
        start = {n: case.rule.defaults.get(n) or 0 for n in self.program.variables}
        self.numbers = {n: start[n] for n in self.program.numbers}
        self.tensors = {n: [self.place(torch.full((abs(s),), float(start[n])), s, device) for s in sizes] for n in self.program.tensors}
        for tensor in self.tensors["param"]:
            tensor.copy_(self.draw(tensor))
        self.exact = [{n: self.tensors[n][i].double().clone() for n in self.program.tensors} | self.numbers for i in range(len(sizes))]
        self.hyperparameters = {**case.rule.defaults, **case.rule.fixed, **case.values}
        self.kernel = cuda.TritonKernel(self.lowered, dtype, [abs(s) for s in sizes], device)
        self.t = 0

    def place(self, tensor, size, device):
        """A tensor; one that lies 2 to 8 bytes beside an alignment if the size is negative."""
        tensor = torch.cat([torch.zeros(1), tensor]).to(device, self.dtype)
        return tensor[1:] if size < 0 else tensor[1:].clone()

    def draw(self, tensor):
        return torch.randn(tensor.shape, generator=self.generator)

    def pointers(self):
        return array("q", [t.data_ptr() for n in self.program.tensors for t in self.tensors[n]])

    def step(self):
        self.t += 1
        for tensor in self.tensors["grad"]:
            tensor.copy_(self.draw(tensor))
        now = {"step": self.t, "first": self.t == 1}
        self.numbers |= {n: v for n, v in now.items() if n in self.numbers}
        new, row = self.lowered.numbers(*self.numbers.values(), *(self.hyperparameters[n] for n in self.program.hyperparameters))
        self.numbers = dict(zip(self.numbers, new))
        self.kernel.launch(self.pointers(), array("q", [0] * len(self.exact)), array("d", row))
        for values, grad in zip(self.exact, self.tensors["grad"]):
            values |= {"grad": grad.double().clone(), **now}
            arguments = (values.get(n) for n in self.case.rule.variables)
            result = self.case.rule(*arguments, **self.case.values)
            values |= dict(zip(self.case.rule.returns, result if isinstance(result, tuple) else (result,)))

    def distance(self):
        """The largest difference of any tensor, relative to the largest number."""
        pairs = [(t.double(), e[n]) for n in self.program.tensors for t, e in zip(self.tensors[n], self.exact) if t.numel()]
        most = max(e.abs().max() for _, e in pairs)
        assert all(e.isfinite().all() for _, e in pairs) and most < 1e6, "the test's own path must converge"
        return max((t - e).abs().max() for t, e in pairs) / most


PARTS = 4
ROUNDING = {torch.float32: STEPS * 2**-23, torch.float64: 1e-12, torch.bfloat16: 2**-7, torch.float16: 2**-10}


def check(sizes, steps, dtypes, cases=CASES, device="cpu"):
    """Every case ends within rounding of float64."""
    wrong = []
    for case in cases:
        for dtype in dtypes:
            walk = Walk(case, sizes, dtype, device)
            for _ in range(steps):
                walk.step()
            if not walk.distance() <= ROUNDING[dtype]:
                wrong.append((str(case), dtype, float(walk.distance())))
    assert not wrong, wrong


@interpreted(*range(PARTS))
def test_100_steps(part):
    """Every rule: a tensor of whole blocks, a small one that is not aligned, and an empty one."""
    check([0, 1024, -31], STEPS, [torch.float32], CASES[int(part) :: PARTS])
    check([0, 512, -31], STEPS, [torch.float64], CASES[int(part) :: PARTS])


@interpreted("sizes")
def test_sizes_and_dtypes(_):
    """More than one chunk, a tail after whole blocks, and none of it aligned; 16-bit tensors are rounded once."""
    some = [c for c in CASES if str(c) in ("adam-lr=0.01-weight_decay=0.1-amsgrad=True", "counted")]
    assert len(some) == 2
    check([1, 0, 31, 1000, 70000, -1, -1000, -2100], 2, [torch.float32, torch.float64], some)
    check([1, 31, 2100, -2100], 1, [torch.bfloat16, torch.float16])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    """A comparison can fall out otherwise after rounding, and among millions some do: that rule gets few numbers."""
    few = [c for c in CASES if c.rule.name == "compared"]
    check([1, 0, 31, -1], STEPS, [torch.float32, torch.float64], few, device="cuda")
    many = [c for c in CASES if c not in few]
    check([1, 0, 31, 1000, 70000, -1, -1000, -70000], STEPS, [torch.float32, torch.float64], many, device="cuda")
    check([1, 31, 70000, -70000], 1, [torch.bfloat16, torch.float16], device="cuda")


@interpreted("launches")
def test_one_launch(_):
    """Any number of tensors, of groups with numbers of their own, takes one launch a step; the tables go only if they changed."""
    launches, run = [], type(cuda._scope(triton, sgd.lowered(), torch.float32, torch.float32)["sgd_step"]).run

    def counting(kernel, *arguments, **options):
        launches.append(kernel.fn.__name__) if not options["warmup"] else None
        return run(kernel, *arguments, **options)

    walk = Walk(Case(sgd), [5] * 40, torch.float32)
    type(walk.kernel.passes[0][0]).run = counting
    before, grads = torch.stack(walk.tensors["param"]), torch.ones(40, 5)
    for grad in walk.tensors["grad"]:
        grad.fill_(1)
    rates = array("d", walk.lowered.numbers(0.1)[1] + walk.lowered.numbers(0.3)[1])
    walk.kernel.launch(walk.pointers(), array("q", [0, 1] * 20), rates)
    assert launches == ["sgd_step"]
    expected = before - torch.tensor([0.1, 0.3] * 20)[:, None] * grads
    torch.testing.assert_close(torch.stack(walk.tensors["param"]), expected, rtol=0, atol=1e-6)
    table = walk.kernel.table
    walk.kernel.launch(walk.pointers(), array("q", [0, 1] * 20), rates)
    assert walk.kernel.table is table
    walk.kernel.launch(walk.pointers(), array("q", [1, 0] * 20), rates)
    assert walk.kernel.table is not table and launches == ["sgd_step"] * 3


@interpreted("odd")
def test_nan_and_infinity(_):
    """As in torch, in each function."""
    for dtype in (torch.float32, torch.float64):
        odd = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, 1.0, -2.5])
        walk = Walk(Case(extremes), [36], dtype)
        a, b = (t.reshape(-1).to(dtype) for t in torch.meshgrid(odd, odd, indexing="ij"))
        walk.tensors["param"][0].copy_(a)
        walk.tensors["grad"][0].copy_(b)
        walk.kernel.launch(walk.pointers(), array("q", [0]), array("d"))
        expected = {"param": a.abs() * b.sign(), "high": torch.maximum(a, b), "low": torch.minimum(a, b), "way": torch.where(b > a, b, a)}
        for name, tensor in expected.items():
            torch.testing.assert_close(walk.tensors[name][0], tensor, rtol=0, atol=0, equal_nan=True, msg=name)


# ------------------------------------------------------------------------------------------- numbers worked out on the device

AGES = [0, 1, 2, 4, 5, 9, 49, 50, 999, 12345]  # steps done before


def on_device(case, dtype, rate=None):
    """Numbers and number states as the device works them out, and as Python does."""
    lowered, tensors = case.rule.lowered(**case.values), 30 * len(AGES)
    program = lowered.program
    kept, given = number_arguments(program)
    values = {n: case.rule.defaults.get(n) or 0 for n in program.numbers}
    states = {n: torch.full((tensors,), float(values[n]), dtype=dtype) for n in kept}
    if "step" in states:
        states["step"] = torch.tensor(AGES * 30, dtype=dtype)
    hyperparameters = {**case.rule.defaults, **case.rule.fixed, **case.values}
    groups = [{**hyperparameters, "lr": 0.5 if rate is None else rate.item()}, hyperparameters]
    before = {n: t.double().clone() for n, t in states.items()}
    kernel = cuda.TritonKernel(lowered, torch.float32, [0] * tensors, "cpu")
    kernel.launch_on_device(
        array("q"),
        array("q", [t[i : i + 1].data_ptr() for t in states.values() for i in range(tensors)]),
        array("q", [i % 2 for i in range(tensors)]),
        [g[n] for g in groups for n in program.hyperparameters],
        [float(i % 3 == 0) for _ in given for i in range(tensors)],
        {} if rate is None else {program.hyperparameters.index("lr"): rate},
        dtype,
    )
    got, expected = [], []
    for i in range(tensors):
        now = {n: before[n][i].item() + (n == "step") for n in kept} | {n: i % 3 == 0 for n in given}
        new, row = lowered.numbers(*(now[n] for n in program.numbers), *(groups[i % 2][n] for n in program.hyperparameters))
        expected.append([*row, *(v for n, v in zip(program.numbers, new) if n in kept)])
        width = len(row)
        got.append([*kernel.numbers[width * i : width * (i + 1)].tolist(), *(states[n][i].item() for n in kept)])
    return torch.tensor(got, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64), len(kept)


@interpreted("numbers")
def test_numbers_on_the_device(_):
    for case in [c for c in CASES if c.rule.program(**c.values).numbers and c.rule.program(**c.values).hyperparameters]:
        got, expected, _ = on_device(case, torch.float64)
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-15, msg=lambda m: f"{case}: {m}")  # noqa: B023
        got, expected, kept = on_device(case, torch.float32, rate=torch.tensor([0.25], dtype=torch.float64))
        columns = got.shape[1] - kept  # states are rounded when they are kept
        torch.testing.assert_close(got[:, :columns], expected[:, :columns], rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(got[:, columns:], expected[:, columns:].float().double(), rtol=2**-23, atol=0)


@interpreted("powers")
def test_powers(_):
    """Of negative numbers, of zero, to zero: as Python and torch have them."""
    bases, exponents = [-2.0, -0.5, -1.0, 0.0, 0.5, 3.0], [-3.0, -2.0, 0.0, 1.0, 2.0, 0.3, 5.0]
    a, b = (t.reshape(-1).double() for t in torch.meshgrid(torch.tensor(bases), torch.tensor(exponents), indexing="ij"))
    walk = Walk(Case(raised), [42], torch.float64)
    walk.tensors["param"][0].copy_(a)
    walk.tensors["grad"][0].copy_(b)
    walk.kernel.launch(walk.pointers(), array("q", [0]), array("d"))
    torch.testing.assert_close(walk.tensors["param"][0], a**b, rtol=1e-14, atol=0, equal_nan=True)


# ------------------------------------------------------------------------------------------- compiled, with no GPU


def built(source, name, types, **constants):
    """The PTX for an H100, and what the assembler says of it."""
    import triton as lib
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = cuda.load(source)[name]
    signature = dict(zip(kernel.arg_names, types)) | dict.fromkeys(constants, "constexpr")
    compiled = lib.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32), options={"num_warps": cuda.WARPS})
    ptx = compiled.asm["ptx"]
    assembler = [lib.knobs.nvidia.ptxas.path, "-v", "--gpu-name", "sm_90a", "-o", os.devnull, "-"]
    said = subprocess.run(assembler, input=ptx, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return ptx, said.stderr


def wide(ptx, access):
    """How many global loads (``ld``) or stores (``st``) of 128 bits there are."""
    return len(re.findall(rf"\b{access}\.global\S*\.(?:v4\.b32|v2\.b64)\b", ptx))


def check_wide(case, *dtypes):
    """Every pass moves 128 bits at a time, each tensor once: in the loop over whole blocks, and not in the one that takes any address."""
    lowered = case.rule.lowered(**case.values)
    block = cuda.WARPS * 32 * 16 // min(torch_dtype.itemsize for torch_dtype in dtypes)
    source = triton(lowered, *(cuda.DTYPES[d] for d in dtypes))
    moves = [block * d.itemsize // (cuda.WARPS * 32 * 16) for d in dtypes]
    sums = ["*fp64", "*fp64"] if lowered.has_reductions else []
    for name in names(lowered):
        ptx, said = built(source, name, ["*i64", "*i64", "*i64", "*fp64", "i32", *sums], BLOCK=block)
        body = source.split(f"def {name}_block")[1].split("@triton.jit")[0]
        loads, stores = len(re.findall(r"tl\.load\(\w+, mask_\)", body)), body.count("tl.store(")
        assert loads * min(moves) <= wide(ptx, "ld") <= loads * max(moves), name
        assert stores * min(moves) <= wide(ptx, "st") <= stores * max(moves), name
        assert " 0 bytes spill stores, 0 bytes spill loads" in said, said
    return ptx


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@needs_triton
@pytest.mark.parametrize("case", CASES, ids=str)
def test_128_bits_at_a_time(case):
    check_wide(case, torch.float32)


@needs_triton
@pytest.mark.parametrize("dtypes", [(torch.float64,), (torch.bfloat16,), (torch.float16,), (torch.float32, torch.bfloat16)], ids=str)
def test_128_bits_in_other_dtypes(dtypes):
    """The last pair is parameters in one dtype, states in another."""
    ptx = check_wide(Case(adam, {"weight_decay": 0.1, "amsgrad": True}), *dtypes)
    if torch.float64 not in dtypes:
        assert "max.NaN.f32" in ptx and "max.f32" not in ptx
    if torch.bfloat16 in dtypes:
        assert "cvt.rn.bf16" in ptx  # to the nearest; the interpreter cuts off


@needs_triton
@pytest.mark.parametrize("case", [c for c in CASES if c.rule.program(**c.values).numbers], ids=str)
def test_numbers_compile(case):
    source = triton_numbers(case.rule.lowered(**case.values))
    types = ["*i64", "*fp64", "*i64", "*fp64", "*fp64", "i32"]
    built(source, f"{case.rule.name}_numbers", types, BLOCK=cuda.TENSORS)


# ------------------------------------------------------------------------------------------- what it cannot do


def test_rows_are_refused():
    with pytest.raises(CannotBuild, match="adafactor.*rows, columns or whole tensors"):
        cuda.TritonKernel(adafactor.lowered(matrix=True), torch.float32, [1], "cpu")


def test_python_functions_are_refused():
    with pytest.raises(CannotBuild, match="lr_lambda.*Python function"):
        cuda._scope(triton_numbers, lambda_lr.lowered(), torch.float32)


def test_why_not(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "CUDA" in cuda.why_not("cpu") and not cuda.supported(torch.zeros(3))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(cuda, "_missing", lambda: None)
    assert cuda.why_not("cpu") is None
    kept = [torch.zeros(3), torch.zeros(3, 4).T, torch.zeros(0), torch.zeros(()).bfloat16(), torch.nn.Parameter(torch.zeros(2))]
    refused = [torch.zeros(3).long(), torch.zeros(4)[::2], torch.zeros(1).expand(3), torch.zeros(3).to_sparse(), torch.zeros(2) * 1j]
    assert all(map(cuda.supported, kept)) and not any(map(cuda.supported, refused))


def test_missing_triton_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    assert "Triton cannot be imported" in cuda._missing.__wrapped__()


if __name__ == "__main__":
    patch_interpreter()
    torch.set_num_threads(1)
    globals()[sys.argv[1]].alone(sys.argv[2])
