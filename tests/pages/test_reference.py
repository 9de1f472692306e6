"""The API reference: everything public stands in it once, and its docstrings are complete."""

import inspect
import re
import types
from collections import Counter

import pytest
import torch
import yaml

entries = pytest.importorskip("entries", reason="the book's requirements are not installed")

import optimbook  # noqa: E402
import optimbook.lab  # noqa: E402
from optimbook import lr_scheduler, optim, param_groups, swa_utils  # noqa: E402
from optimbook.engine.optimizer import Optimizer  # noqa: E402
from optimbook.forms.latex import Equation  # noqa: E402

ROOT = entries.ROOT
FOLDER = ROOT / "book" / "reference"
ENTRY = re.compile(r"^\.\. auto\w+:: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)
MODULES = {"optimbook": optimbook, "optimbook.lr_scheduler": lr_scheduler, "optimbook.swa_utils": swa_utils,
           "optimbook.param_groups": param_groups, "optimbook.lab": optimbook.lab}  # fmt: skip
BESIDE = {entries.BASE: Optimizer, "optimbook.forms.latex.Equation": Equation}  # what one meets all the same
COMMON = {"step", "state_dict", "load_state_dict", "add_param_group", "get_lr", "lr_at"}  # documented at the base


def documented():
    """``[(name, the methods that its entry lists)]``, in order."""
    found = []
    for page in sorted(FOLDER.glob("*.md")):
        for name, options in ENTRY.findall(page.read_text(encoding="utf8")):
            members = re.search(":members:(.*)", options)
            found.append((name, members and {word.strip() for word in members[1].split(",") if word.strip()}))
    return found


def public():
    """Every public name, and its object."""
    found = dict(BESIDE)
    for module_name, module in MODULES.items():
        named = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        found |= {f"{module_name}.{n}": getattr(module, n) for n in named if not isinstance(getattr(module, n), types.ModuleType)}
    return found


PUBLIC = public()
OWN = {name: obj for name, obj in PUBLIC.items() if getattr(obj, "__module__", "").startswith("optimbook.")}
CLASSES = {name: obj for name, obj in OWN.items() if isinstance(obj, type) and not name.startswith("optimbook.lab.")}
OPTIMIZERS = [getattr(optim, name) for name in optim.__all__ if name != "Optimizer"]


def methods(cls):
    return {name: function for name, function in vars(cls).items() if inspect.isfunction(function) and not name.startswith("_")}


# ------------------------------------------------------------------------------------------- what stands in it


def test_everything_public_stands_in_it_once_and_nothing_else():
    assert Counter(name for name, _ in documented()) == Counter(list(PUBLIC))
    assert len(PUBLIC) > 100


def test_every_method_is_documented_at_its_class_or_at_the_base():
    listed = {name: members for name, members in documented() if members is not None}
    for name, cls in CLASSES.items():
        missing = set(methods(cls)) - COMMON - listed.get(name, set())
        assert not missing or listed.get(name) == set(), f"{name}: {missing}"  # an empty list means all
    for base in (entries.BASE, "optimbook.lr_scheduler.Scheduled"):
        assert set(methods(PUBLIC[base])) <= listed[base]


def test_an_entry_has_one_chinese_sentence():
    assert set(entries.words()) == set(PUBLIC)
    for name, entry in entries.words().items():
        assert set(entry) <= {"zh", "en", "chapters"}, name
        assert re.search("[\u4e00-\u9fff]", entry["zh"]) and entry["zh"].endswith("。"), name
        assert not re.search(r"[\u4e00-\u9fff][A-Za-z0-9`]|[A-Za-z0-9`][\u4e00-\u9fff]|[,;:!?()]", entry["zh"]), name


def test_a_docstring_is_given_only_where_there_is_none():
    for name, entry in entries.words().items():
        has_one = name in OWN and callable(OWN[name]) and entries.rule_of(OWN[name]) is not OWN[name]
        assert ("en" in entry) != has_one, name


def test_the_chapters_that_are_named_exist():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf8")
    pages = {chapter["file"] for part in yaml.safe_load(toc)["parts"] for chapter in part["chapters"]}
    assert {page for entry in entries.words().values() for page in entry.get("chapters", ())} <= pages


# ------------------------------------------------------------------------------------------- docstrings


def described():
    """What has arguments: the package's classes and functions, and the methods that entries list; the lab's are for authors."""
    for name, obj in OWN.items():
        if name.startswith("optimbook.lab.") or entries.rule_of(obj) is obj:
            continue
        if entries.signature(obj) and not issubclass(obj if isinstance(obj, type) else object, tuple):
            yield name, obj, 0
        for method, function in (methods(obj) if isinstance(obj, type) else {}).items():
            yield f"{name}.{method}", function, 1


@pytest.mark.parametrize(("name", "obj", "skipped"), [pytest.param(*found, id=found[0]) for found in described()])
def test_every_argument_is_described(name, obj, skipped):
    takes = list(inspect.signature(obj).parameters)[skipped:]
    shared = entries.shared_arguments(obj) if isinstance(obj, type) else []
    says = entries.arguments(obj.__doc__) or re.findall(r"^ {8}(\w+):", obj.__doc__.partition("Attributes:")[2], re.MULTILINE)
    assert Counter(says) == Counter(takes) - Counter(shared)


def test_an_argument_that_is_missing_or_strange_would_be_seen():
    doc = "What.\n\nArgs:\n    a: one.\n    b, **c: two.\n        and on, so: that\n\nRaises:\n    ValueError: no."
    assert entries.arguments(doc) == ["a", "b", "c"]


@pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda cls: cls.__name__)
def test_an_optimizer_says_where_it_comes_from_and_what_can_go_wrong(cls):
    assert re.search(r"^Source: ", inspect.getdoc(cls), re.MULTILINE)
    assert re.search(r"^State\b", inspect.getdoc(cls), re.MULTILINE) and "Raises:" in cls.__doc__


# ------------------------------------------------------------------------------------------- what is printed


def test_defaults_are_written_as_one_types_them():
    assert entries.signature(lr_scheduler.ConstantLR) == "(optimizer, factor=1 / 3, total_iters=5, last_epoch=-1)"
    assert entries.signature(lr_scheduler.MultiplicativeLR) == "(optimizer, lr_lambda, last_epoch=-1)"  # torch's has types
    assert "betas=(0.9, 0.999), eps=1e-8" in entries.signature(optim.Adam)
    assert entries.default((1e-8,)) == "(1e-8,)" and entries.default(0.25) == "0.25"
    assert entries.signature(optim.LBFGS.step, is_method=True) == "(closure)"


def test_an_update_is_printed_with_its_terms_on():
    values, raised = entries.flags(optim.SGD)
    assert raised == ["weight_decay", "momentum"] and values["nesterov"] is False
    assert r"\mu b_{t-1}" in optim.SGD.rule.latex(**values)
    assert entries.flags(optim.LAMB)[0]["matrix"] is True
    assert entries.flags(lr_scheduler.CosineAnnealingWarmRestarts)[1] == []  # 1 by default, not 0


@pytest.mark.parametrize("cls", [cls for cls in OPTIMIZERS if entries.rule_of(cls)], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("shape", [(8, 4), (4,)], ids=["matrix", "vector"])
def test_the_table_of_states_is_what_a_step_makes(cls, shape):
    if cls is optim.Muon and len(shape) == 1:
        pytest.skip("Muon takes matrices")
    param = torch.ones(shape, requires_grad=True)
    param.grad = torch.ones(shape).to_sparse(1) if cls is optim.SparseAdam else torch.ones(shape)
    optimizer = cls([param], fused=False)
    optimizer.step()
    made = {name: state.numel() if isinstance(state, torch.Tensor) else 1 for name, state in optimizer.state[param].items()}
    numbers = {"tensor": param.numel(), "row": shape[0], "column": shape[-1], "number": 1}
    exists = {None, "matrix" if len(shape) == 2 else "not matrix"} | {n for n, on in entries._defaults(cls).items() if on}
    assert made == {name: numbers[kind] for name, kind, when in entries.states(cls) if when in exists}


def test_an_entry_names_its_file():
    assert entries.file_of(optim.AdamW) == "optimbook/optim/adamw.py"
    assert entries.file_of(swa_utils.ema) == "optimbook/swa_utils.py"
    assert entries.file_of(torch.optim.Optimizer) is entries.file_of(abs) is entries.file_of(3.14) is None
