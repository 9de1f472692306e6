"""The rule language: what it takes, what it refuses and where, and how it is printed as mathematics."""

import linecache
import math
import re

import numpy
import pytest
import torch

import optimbook
from optimbook import RuleError, cos, optimizer, pi, rule, sqrt, where
from optimbook.language import Kind
from rules import adam, adamw, asgd, cosine_annealing, lamb, lambda_lr, lion, nadam, radam, reassigned, sgd, triangular

HEADER = "from optimbook import *\nfrom optimbook import rule\n"
made = iter(range(10**9))


def define(source, header=HEADER):
    """Defines the last function of a source as a reader does in a notebook cell: no file, but lines in linecache."""
    name = f"<cell {next(made)}>"
    text = header + source
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope = {}
    exec(compile(text, name, "exec"), scope)
    return next(v for v in reversed(scope.values()) if isinstance(v, optimbook.Rule))


def update(*lines, arguments="param, grad, state, step, first, *, lr=0.1, flag=False", returns="param, state"):
    return f"@rule\ndef broken({arguments}):\n" + "".join(f"    {line}\n" for line in lines) + (f"    return {returns}\n" if returns else "")


REFUSED = {  # what, the body, a piece of the message; the wrong line is the one that ends in #
    "augmented": (["param -= grad #"], "AugAssign is not in the rule language"),
    "annotated": (["param: float = grad #"], "AnnAssign is not"),
    "for": (["for i in range(3): #", "    param = grad"], "For is not"),
    "while": (["while flag: #", "    param = grad"], "While is not"),
    "with": (["with lr: #", "    param = grad"], "With is not"),
    "try": (["try: #", "    param = grad", "except Exception: pass"], "Try is not"),
    "assert": (["assert lr #"], "Assert is not"),
    "raise": (["raise ValueError #"], "Raise is not"),
    "delete": (["del state #"], "Delete is not"),
    "import": (["import math #"], "Import is not"),
    "global": (["global x #"], "Global is not"),
    "nested function": (["def f(): #", "    pass"], "FunctionDef is not"),
    "bare expression": (["param + 1 #"], "Expr is not"),
    "print": (["print(param) #"], "Expr is not"),
    "two targets": (["param, state = grad, grad #"], "assign to one name"),
    "chain of targets": (["param = state = grad #"], "assign to one name"),
    "attribute target": (["param.data = grad #"], "assign to one name"),
    "item target": (["param[0] = grad #"], "assign to one name"),
    "attribute": (["param = param.T #"], "Attribute is not"),
    "item": (["param = param[0] #"], "Subscript is not"),
    "method": (["param = param.add(grad) #"], "call a function by its plain name"),
    "module's function": (["param = math.sqrt(param) #"], "call a function by its plain name"),
    "keyword": (["param = where(param > 0, a=param, b=grad) #"], "call a function by its plain name"),
    "star": (["param = maximum(*param) #"], "call a function by its plain name"),
    "unknown function": (["param = tanh(param) #"], "'tanh' is not a function of the rule language"),
    "builtin": (["param = max(param, grad) #"], "'max' is not a function of the rule language"),
    "matrix product": (["param = param @ grad #"], "MatMult"),
    "floor division": (["step2 = step // 2 #", "param = param * step2"], "FloorDiv"),
    "bits": (["param = param | grad #"], "BitOr"),
    "invert": (["param = ~param #"], "Invert"),
    "is": (["param = where(param is grad, param, grad) #"], "Is"),
    "in": (["param = where(param in grad, param, grad) #"], "In"),
    "chained comparison": (["param = where(0 < param < 1, param, grad) #"], "compare two things"),
    "walrus": (["param = (x := grad) #"], "NamedExpr"),
    "lambda": (["param = (lambda: grad) #"], "Lambda"),
    "list": (["param = [grad] #"], "List"),
    "tuple": (["param = (grad, grad) #"], "Tuple"),
    "comprehension": (["param = [x for x in grad] #"], "ListComp"),
    "text": (["param = 'text' #"], "'text' is not a number"),
    "None": (["param = None #"], "None is not a number"),
    "complex number": (["param = 1j * param #"], "1j is not a number"),
    "f-string": (["param = f'{grad}' #"], "JoinedStr"),
    "unknown name": (["param = param - unknown * grad #"], "'unknown' is neither an argument of the rule nor assigned before"),
    "read before": (["param = later #", "later = grad"], "'later' is neither"),
    "function as value": (["param = sqrt * grad #"], "sqrt is a function: call it"),
    "few arguments": (["param = where(param > 0, grad) #"], r"where takes 3 argument\(s\), not 2"),
    "many arguments": (["param = sqrt(param, grad) #"], r"sqrt takes 1 argument\(s\), not 2"),
    "hyperparameter assigned": (["lr = 0.1 #"], "'lr' cannot be assigned"),
    "step assigned": (["step = step + 1 #"], "'step' cannot be assigned"),
    "first assigned": (["first = 0 #"], "'first' cannot be assigned"),
    "if on a tensor": (["if param > 0: #", "    param = grad"], "'param' is none.*where"),
    "if on the step": (["if step > 5: #", "    param = grad"], "'step' is none.*`a if condition else b`"),
    "early return": (["if flag:", "    return param, state #"], "only the last line"),
    "choice on a tensor": (["param = grad if param > 0 else param #"], "decides on a number"),
    "and of tensors": (["param = where(param > 0 and grad > 0, param, grad) #"], "and, or, not take numbers"),
    "not of a tensor": (["param = where(not param > 0, param, grad) #"], "and, or, not take numbers"),
    "cosine of a tensor": (["param = cos(grad) #"], "cos takes numbers, and 'grad' is a tensor"),
    "floor of a tensor": (["param = floor(grad) #"], "floor takes numbers"),
    "exp of a norm": (["param = grad * exp(norm(grad)) #"], "exp takes numbers"),
    "remainder of a tensor": (["param = grad % 2 #"], "% takes numbers"),
    "truth as a number": (["param = param - (grad > 0) * grad #"], "true or false, not a number"),
    "truth assigned": (["up = grad > 0 #", "param = where(up, param, grad)"], "true or false, not a number"),
    "truth in a function": (["param = abs(grad > 0) #"], "true or false"),
    "minus truth": (["param = -(grad > 0) #"], "true or false"),
    "reserved in C": (["double = grad #", "param = double"], "'double' cannot be printed in every language"),
    "reserved in JavaScript": (["var = grad**2 #", "param = var"], "'var' cannot be printed"),
    "function's name": (["norm = grad #", "param = norm"], "'norm' is a function of the language"),
    "name of a version": (["state_1 = grad #", "param = state_1"], "write 'state1'"),
    "name of ours": (["n0_ = grad #", "param = n0_"], "'n0_' cannot be printed"),
    "letter of another script": (["θ = grad #", "param = θ"], "cannot be printed"),
}  # fmt: skip


@pytest.mark.parametrize("lines, message", REFUSED.values(), ids=REFUSED)
def test_refused_with_file_and_line(lines, message):
    """The error is a SyntaxError that names rule, file and line and shows the line."""
    lines = ["state = state + grad", *lines]
    source = update(*lines)
    wrong = 1 + next(i for i, line in enumerate((HEADER + source).splitlines()) if line.endswith("#"))
    with pytest.raises(RuleError, match=message) as caught:
        define(source)
    error = caught.value
    assert isinstance(error, SyntaxError) and error.lineno == wrong, (error.lineno, wrong)
    assert re.fullmatch(r"<cell \d+>", error.filename) and error.text.strip().endswith("#")
    assert "rule 'broken'" in str(error) and f"line {wrong}" in str(error) and error.filename in str(error)


WHOLE = {  # what is wrong with the function as a whole
    "no return": (update("param = grad", "state = grad", returns=""), "ends with one return"),
    "empty return": ("@rule\ndef broken(param, grad):\n    return\n", "ends with one return"),
    "returned expression": (update("state = grad", returns="param - grad, state"), "returns names, not expressions"),
    "returned unknown": (update("state = grad", returns="param, other"), "returns 'other', which is never assigned"),
    "assigned in one branch": (update("if flag:", "    extra = grad", "param = param - grad", returns="param, extra"), "'extra', which a branch leaves"),
    "read in one branch": (update("if flag:", "    extra = grad", "param = param - extra", returns="param"), "read before this branch assigns it"),
    "state never assigned": (update("if flag:", "    state = grad", "param = param - state"), "'state' is read in a branch that never assigns"),
    "stars": ("@rule\ndef broken(param, grad, *more):\n    return param\n", r"no \*args"),
    "double stars": ("@rule\ndef broken(param, grad, **more):\n    return param\n", r"no \*args, no \*\*kwargs"),
    "async": ("@rule\nasync def broken(param, grad):\n    return param\n", "written with def"),
    "lambda": ("broken = rule(lambda param, grad: param)\n", "written with def"),
    "argument named as a function": ("@rule\ndef broken(param, grad, *, norm):\n    return param\n", "'norm' is a function of the language"),
    "first without a state": ("@rule\ndef broken(param, grad, first):\n    param = 0 * grad if first else grad\n    return param\n", "`first` needs a state"),
}  # fmt: skip


@pytest.mark.parametrize("source, message", WHOLE.values(), ids=WHOLE)
def test_refused_as_a_whole(source, message):
    with pytest.raises(RuleError, match=message) as caught:
        define(source)
    assert re.fullmatch(r"<cell \d+>", caught.value.filename) and caught.value.lineno >= 3


@pytest.mark.parametrize("header, name", [("from math import sqrt\n", "sqrt"), ("from numpy import sqrt\n", "sqrt"), ("from torch import sqrt\n", "sqrt"), ("", "sqrt")])
def test_a_shadowed_function_is_refused(header, name):
    source = "from optimbook import rule\n" + header + "@rule\ndef f(param, grad):\n    param = param - sqrt(abs(grad))\n    return param\n"
    with pytest.raises(RuleError, match=f"'{name}' here is not optimbook's; write `from optimbook import {name}`"):
        define(source, header="")


def test_a_shadowed_constant_is_refused():
    with pytest.raises(RuleError, match="'pi' here is not optimbook's"):
        define("pi = 3\n@rule\ndef f(step, *, base_lr):\n    lr = base_lr * pi * step\n    return lr\n")


def test_no_source_is_said():
    scope = {"rule": rule}
    with pytest.raises(RuleError, match="source cannot be read; define it in a file or a notebook cell"):
        exec("@rule\ndef f(param, grad):\n    return param\n", scope)


def test_functions_from_an_enclosing_scope():
    root = sqrt

    def build():
        from optimbook import sqrt

        @rule
        def inner(param, grad, *, lr=0.1):
            param = param - lr * sqrt(grad)
            return param

        return inner

    assert root is sqrt and build()(1.0, 4.0) == 1 - 0.1 * 2


# ------------------------------------------------------------------------------------------- in a notebook


def test_in_a_notebook_cell():
    """A rule of a reader, defined in one cell and trained with in the next; redefining it takes effect."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    define = "import torch, optimbook\nfrom optimbook import rule, sign\n@rule\ndef mine(param, grad, buffer, *, lr=0.5):\n"
    define += "    buffer = 0.5 * buffer + grad\n    param = param - lr * sign(buffer)\n    return param, buffer"
    train = "p = torch.nn.Parameter(torch.ones(2)); p.grad = torch.ones(2)\n"
    train += "optimbook.optimizer(mine)([p], fused=False).step(); print(p.tolist(), optimbook.optimizer(mine).__name__)"
    broken = "try:\n    @rule\n    def wrong(param, grad):\n        param += grad\n        return param\nexcept SyntaxError as e:\n    print(e)"
    cells = [define, train, define.replace("lr=0.5", "lr=1.0"), train, broken]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    texts = ["".join(o.get("text", "") for o in c.outputs if o.get("name") == "stdout").strip() for c in notebook.cells]
    assert texts[1] == "[0.5, 0.5] Mine" and texts[3] == "[0.0, 0.0] Mine"
    assert "rule 'wrong': AugAssign" in texts[4] and "line 4" in texts[4]


# ------------------------------------------------------------------------------------------- kinds and flags


def test_kinds():
    variables = asgd.program().variables
    assert variables["ax"] == variables["param"] == variables["grad"] == Kind.TENSOR
    assert variables["eta"] == variables["mu"] == variables["step"] == Kind.NUMBER
    assert nadam.program().variables["mu_product"] == Kind.NUMBER
    kinds = {a.name: a.kind for a in lamb.program(adapt_vectors=True).assignments}
    assert kinds["trust"] == Kind.REDUCED and kinds["update"] == Kind.TENSOR


def test_a_state_made_of_a_state_made_of_a_tensor():
    """Kinds are found by going round: `slow` is a tensor only because `fast`, assigned later, is one."""
    r = define("@rule\ndef f(param, grad, slow, fast):\n    slow = 0.9 * slow + 0.1 * fast\n    fast = fast + grad\n    param = param - slow\n    return param, slow, fast\n")
    assert set(r.program().tensors) == {"param", "grad", "slow", "fast"}


def test_states_that_no_taken_branch_assigns_do_not_exist():
    assert sgd.program().states == () and sgd.program(momentum=0.9).states == ("momentum_buffer",)
    assert "max_exp_avg_sq" in adam.program(amsgrad=True).states and "max_exp_avg_sq" not in adam.program().states
    assert sgd.states == ("momentum_buffer",) and sgd.flags == ("weight_decay", "momentum", "nesterov")


def test_attributes():
    assert adam.name == "adam" and adam.variables[:2] == ("param", "grad") and adam.returns[0] == "param"
    assert adam.hyperparameters == ("lr", "beta1", "beta2", "eps", "weight_decay", "amsgrad", "decoupled_weight_decay")
    assert adamw.hyperparameters == adam.hyperparameters[:-1] and adamw.fixed == {"decoupled_weight_decay": True}
    assert adam.source.startswith("@rule\ndef adam(param, grad") and adam.defaults["beta1"] == 0.9
    assert repr(adamw).startswith("<rule adamw(param, grad") and "decoupled" not in repr(adamw)
    with pytest.raises(TypeError, match="'adam' has no hyperparameter 'nesterov'"):
        adam.bind("other", nesterov=True)


def test_not_an_update():
    with pytest.raises(TypeError, match="'cosine_annealing' is no update"):
        optimizer(cosine_annealing)
    with pytest.raises(TypeError, match="has no hyperparameter 'beta9' to pack"):
        optimizer(adam, packed={"betas": ("beta9",)})


def test_lazy_choice():
    """The side that is not taken is never worked out: RAdam's root is imaginary in its first steps."""
    for step in (1, 5, 6, 100):
        assert all(math.isfinite(x) for x in radam(1.0, 0.5, 0.1, 0.1, step))
    param = torch.nn.Parameter(torch.ones(3))
    for path in ({"foreach": False}, {"foreach": True}, {"fused": True}):
        optim = optimizer(radam)([param], **path)
        for _ in range(8):
            param.grad = torch.ones(3)
            optim.step()
    assert torch.isfinite(param).all()

    @rule
    def guarded(param, grad, step, *, lr=0.1):
        param = param - lr * (grad / (step - 1) if step > 1 else grad)
        return param

    assert guarded(1.0, 1.0, 1) == 0.9
    param = torch.nn.Parameter(torch.ones(3))
    for path in ({"foreach": False}, {"foreach": True}, {"fused": True}):
        param.grad = torch.ones(3)
        optimizer(guarded)([param], **path).step()
    assert torch.allclose(param, torch.full((3,), 0.7))


def test_first():
    assert sgd(1.0, 2.0, 0.0, True, momentum=0.9, dampening=0.5)[1] == 2.0
    assert sgd(1.0, 2.0, 0.0, False, momentum=0.9, dampening=0.5)[1] == 1.0


@pytest.mark.parametrize("path", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_first_without_a_tensor_state(path):
    """`first` is each parameter's own, also if the rule keeps numbers alone."""
    r = define("@rule\ndef f(param, grad, rate=1, first=False, *, lr=0.5):\n    rate = lr if first else rate / 2\n    param = param - rate * grad\n    return param, rate\n")
    params = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    optim = optimizer(r)(params, **path)
    for step in range(3):
        for i, p in enumerate(params):
            p.grad = torch.ones(2) if step or not i else None
        optim.step()
    assert params[0].tolist() == [-0.875, -0.875] and params[1].tolist() == [-0.75, -0.75]


@pytest.mark.parametrize("path", [{"foreach": False}, {"foreach": True}, {"fused": True}, {"differentiable": True}], ids=str)
def test_numbers_in_where_and_choices(path):
    """A number as a condition or as one side of a choice, among tensors."""
    r = define(update(
        "state = 0.5 if step > 1 else grad", "half = where(step > 2, 0.5, 1)", "pick = where(step > 1, grad, param)",
        "param = param * (grad if step > 1 else 0.5) - lr * half * pick * state",
        arguments="param, grad, state, step, *, lr=0.1"))  # fmt: skip
    expected, state = 1.0, 0.0
    param = torch.ones(2) if path.get("differentiable") else torch.nn.Parameter(torch.ones(2))
    optim = optimizer(r)([param], **path)
    for step in range(1, 5):
        expected, state = r(expected, 0.75, state, step)
        param.grad = torch.full((2,), 0.75)
        optim.step()
    assert param.tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_where_of_two_numbers_takes_the_parameters_dtype():
    r = define("@rule\ndef f(param, grad):\n    param = param - where(grad > 0, 1, -0.5)\n    return param\n")
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert r(torch.ones(2, dtype=dtype), torch.ones(2, dtype=dtype)).dtype == dtype
    assert where(True, 1, 2) == 1 and where(torch.tensor([True, False]), torch.zeros(2), 1).tolist() == [0, 1]


def test_where_of_two_numbers_over_whole_steps():
    """Steps are integers as often as not, and the numbers have fractions."""

    @rule
    def stairs(step, *, base_lr=0.1, total=2):
        lr = where(step < total, base_lr / 4, base_lr)
        return lr

    expected = [0.025, 0.025, 0.1]
    assert [stairs(t) for t in range(3)] == stairs(numpy.arange(3)).tolist() == expected
    assert torch.equal(stairs(torch.arange(3)), torch.tensor(expected))



# ------------------------------------------------------------------------------------------- as mathematics


LATEX = {
    "adam": (adam, {}, r"""\begin{aligned}
m_t &= \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t \\
v_t &= \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2} \\
\hat{m}_t &= \frac{m_t}{1 - \beta_1^{t}} \\
\hat{v}_t &= \frac{v_t}{1 - \beta_2^{t}} \\
\theta_t &= \theta_{t-1} - \frac{\gamma \hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}
\end{aligned}"""),
    "coupled decay": (adam, {"weight_decay": 0.1}, r"g'_t &= g_t + \lambda \theta_{t-1}"),
    "decoupled decay": (adamw, {"weight_decay": 0.1}, r"\theta'_t &= \theta_{t-1} - \gamma \lambda \theta_{t-1}"),
    "decoupled update": (adamw, {"weight_decay": 0.1}, r"\theta_t &= \theta'_t - "),
    "amsgrad": (adam, {"amsgrad": True}, r"v^{\max}_t &= \max\left(v^{\max}_{t-1}, v_t\right)"),
    "maximize": (adam, {"maximize": True}, r"g'_t &= -g_t"),
    "momentum": (sgd, {"momentum": 0.9}, r"b_t &= \begin{cases} g_t & \text{if } t = 1 \\ \mu b_{t-1} + \left(1 - \tau\right) g_t & \text{otherwise} \end{cases}"),
    "nesterov": (sgd, {"momentum": 0.9, "nesterov": True}, r"g'_t &= g_t + \mu b_t"),
    "schedule": (cosine_annealing, {}, r"\gamma_t &= \gamma_{\min} + \frac{\left(\gamma_0 - \gamma_{\min}\right) \left(1 + \cos\left(\frac{\pi t}{T_{\max}}\right)\right)}{2}"),
    "opaque": (lambda_lr, {}, r"\gamma_t &= \gamma_0 \lambda\left(t\right)"),
    "primes": (reassigned, {}, r"m'_t &= "),
    "last assignment": (reassigned, {}, r"m_t &= m'_t + "),
    "floor": (triangular, {}, r"\left\lfloor 1 + \frac{t}{2 \mathrm{size}} \right\rfloor"),
    "sign": (lion, {}, r"\operatorname{sign}\left(\beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t\right)"),
    "norm": (lamb, {"adapt_vectors": True}, r"\left\lVert \theta_{t-1} \right\rVert"),
}  # fmt: skip


@pytest.mark.parametrize("which, flags, expected", LATEX.values(), ids=LATEX)
def test_latex(which, flags, expected):
    text = which.latex(**flags)
    assert " ".join(expected.split()) in " ".join(text.split()), text


def test_every_assignment_is_one_equation():
    """Each left side is made once, and what a right side reads was made before, or is of t-1, or is given."""
    for which, flags in [(adam, {"weight_decay": 1, "amsgrad": True}), (sgd, {"momentum": 1, "weight_decay": 1}), (reassigned, {}), (radam, {})]:
        equations = which.equations(**flags)
        sides = [e.lhs for e in equations]
        assert len(sides) == len(set(sides)) and [e.name for e in equations] == [a.name for a in which.program(**flags).assignments]
        assert r"\theta_t" == sides[-1]
        for i, equation in enumerate(equations):
            for late in set(sides[i:]) - set(sides[:i]):
                assert not re.search(re.escape(late) + r"(?![\w'{}-])", equation.rhs), (late, str(equation))


def test_latex_precedence():
    r = define("@rule\ndef f(param, grad, *, a, b):\n    param = (a + b) * (a - (b - 1)) - -(a * b)**2 + (a**b)**2 - a**(b + 1) * (a / b)**2 + -param * grad * 1e-08\n    return param\n")
    text = r.equations()[0].rhs
    assert r"\left(a + b\right) \left(a - \left(b - 1\right)\right)" in text
    assert r"\left(a^{b}\right)^{2}" in text and r"a^{b + 1} \left(\frac{a}{b}\right)^{2}" in text and "10^{-8}" in text


def test_symbols_of_ones_own():
    r = define("@rule(symbols={'slow': 's', 'warmth': r'\\omega'})\ndef f(param, grad, slow, *, warmth):\n    slow = slow + warmth * grad\n    param = param - slow\n    return param, slow\n")
    assert r.equations()[0].lhs == "s_t" and r.equations()[0].rhs == r"s_{t-1} + \omega g_t"


def test_call_without_flags_is_the_functions_own():
    """A rule stays the function it was: its docstring, its signature, its name."""

    @rule
    def documented(step, *, base_lr):
        """Half a cosine."""
        lr = base_lr * cos(pi * step)
        return lr

    assert documented.__doc__ == "Half a cosine." and documented.__name__ == "documented" and documented(1, base_lr=2.0) == -2.0
