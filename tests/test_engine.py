"""How a rule runs over parameters while these change under it: storage, shapes, states, groups, gradients that come and go."""

import copy
import weakref

import pytest
import torch

import optimbook
from optimbook import optimizer, rule, where
from optimbook.engine import lookup, tensors
from rules import nadam, rmsprop

PATHS = {"default": {}, "loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
KINDS = [("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}), ("AdamW", {"lr": 0.1, "amsgrad": True})]
kinds = pytest.mark.parametrize("name, kwargs", KINDS, ids=str)


def random(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def compare(name, kwargs, path, change, *, shapes=((6, 6), (4,), (3, 2)), steps=8, tolerance=2e-6, theirs=None):
    """Trains ours and torch's loop with `change(step, params, optimizer)` before each step; the ends must agree."""
    ends = []
    for module, flags in ((torch.optim, theirs or {"foreach": False}), (optimbook, path)):
        params = [torch.nn.Parameter(random(s, i)) for i, s in enumerate(shapes)]
        optim = getattr(module, name)(params, **kwargs, **flags)
        for step in range(steps):
            for i, param in enumerate(params):
                param.grad = None
            change(step, params, optim)
            params = [p for g in optim.param_groups for p in g["params"]]
            for i, param in enumerate(params):
                if param.grad is None:
                    param.grad = random(param.shape, 100 * step + i).to(param.dtype)
            optim.step()
        ends.append(([p.detach() for p in params], optim))
    for a, b in zip(ends[0][0], ends[1][0]):
        torch.testing.assert_close(b, a, rtol=tolerance, atol=tolerance)
    return ends[1][1]


def moved(step, params, optim):
    params[step % 3].data = params[step % 3].data.clone()


def transposed(step, params, optim):
    """The same address, other strides."""
    if step == 3:
        params[0].data = params[0].data.t()
        for key, value in optim.state.get(params[0], {}).items():
            if value is not None and value.dim():
                optim.state[params[0]][key] = value.t()


def transposed_alone(step, params, optim):
    """The parameter's strides change, its states' do not."""
    if step == 3:
        params[0].data = params[0].data.t()


def states_moved(step, params, optim):
    for state in optim.state.values():
        state.update({k: v.clone() for k, v in state.items() if v is not None})


def states_rewritten(step, params, optim):
    for state in optim.state.values():
        for value in state.values():
            if value is not None:
                value.mul_(0.5 if value.dim() else 2)


def state_dropped(step, params, optim):
    if step == 4:
        optim.state.pop(params[1], None)


def all_states_dropped(step, params, optim):
    if step == 4:
        optim.state.clear()


def group_added(step, params, optim):
    if step == 3:
        optim.add_param_group({"params": [torch.nn.Parameter(random((5, 3), 77))], "lr": 0.05, "weight_decay": 0.2})


def groups_options_change(step, params, optim):
    group = optim.param_groups[0]
    group["lr"] *= 0.9
    group["weight_decay"] = 0.1 * (step % 2)
    group["maximize"] = step > 4


def gradients_lie_otherwise(step, params, optim):
    if step % 2:
        params[0].grad = random((6, 6), step).t()
        params[1].grad = torch.full((1,), 0.5).expand(4)


def gradients_are_views(step, params, optim):
    whole = random((46,), step)
    for param, piece in zip(params, whole.split([36, 4, 6])):
        param.grad = piece.view(param.shape)


def parameter_replaced(step, params, optim):
    if step == 4:
        optim.param_groups[0]["params"][1] = torch.nn.Parameter(random((7,), 5))


def parameters_change_order(step, params, optim):
    if step == 4:
        optim.param_groups[0]["params"].reverse()


def closer_in_time(step, params, optim):
    """More sets of parameters with gradients than plans are kept for."""
    for i, param in enumerate(params):
        param.grad = torch.zeros_like(param) if step >> i & 1 else None


CHANGES = (moved, transposed, transposed_alone, states_moved, states_rewritten, state_dropped, all_states_dropped, group_added, groups_options_change,
           gradients_lie_otherwise, gradients_are_views, parameter_replaced, parameters_change_order, closer_in_time)  # fmt: skip


@kinds
@paths
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
def test_changes_between_steps(name, kwargs, path, change):
    if change is transposed_alone and path.get("fused") and len(kwargs) > 1:  # what fused=True cannot do it says
        with pytest.raises(RuntimeError, match="`fused=True` cannot take a parameter .*with its states as they lie"):
            compare(name, kwargs, path, change)
    else:
        compare(name, kwargs, path, change)


def options_change_inside(step, params, optim):
    """What a group holds stays the same object, and says something else."""
    group = optim.param_groups[0]
    if step == 0:
        group["lr"], group["betas"] = torch.tensor(0.1), [0.9, 0.99]
    group["lr"].fill_(0.1 / (step + 1))
    group["betas"][step % 2] = 0.5 + 0.05 * step


def options_come_in_another_order(step, params, optim):
    group = optim.param_groups[0]
    for name in ("lr", "weight_decay", "eps"):
        group[name] = group.pop(name)
    if step > 2:
        group["lr"], group["eps"] = 0.01 * step, 1e-3


def groups_change_places(step, params, optim):
    if step == 0:
        optim.param_groups.append({**optim.param_groups[0], "params": [optim.param_groups[0]["params"].pop()], "lr": 0.3})
    optim.param_groups.reverse()


@pytest.mark.parametrize("path", [{}, {"foreach": False}, {"fused": True}], ids=str)
@pytest.mark.parametrize("change", [options_change_inside, options_come_in_another_order, groups_change_places], ids=lambda c: c.__name__)
def test_options_that_change_unseen(path, change):
    """Groups that nobody changed are not read again; these only look so."""
    compare("AdamW", {"lr": 0.1}, path, change)


@pytest.mark.parametrize("without", [False, True], ids=["in C", "in Python"])
def test_changed_dicts(monkeypatch, without):
    if without:
        monkeypatch.setattr(lookup, "lookup", lambda: None)
    value, tensor = 1234.5, torch.ones(1)
    one = {"lr": value, "params": tensor}
    others = [dict(one), {"lr": float("1234.5"), "params": tensor}, {"lr": value}, {"lr": value, "params": torch.ones(1)}, {"eps": value, "params": tensor}, {}]
    assert list(lookup.changed([one] * 6, others)) == [0, 1, 1, 1, 1, 1]
    assert list(lookup.changed([{}], [{}])) == [0]


@paths
def test_a_shorter_view_at_the_same_address(path):
    """`p.data = p.data[:2]` keeps the address; nothing beyond may be touched."""
    param = torch.nn.Parameter(torch.zeros(100_000))
    optim = optimbook.SGD([param], lr=1.0, **path)
    param.grad = torch.ones(100_000)
    optim.step()
    whole, param.data = param.data, param.data[:2]
    param.grad = torch.ones(2)
    optim.step()
    assert param.tolist() == [-2, -2] and (whole[2:] == -1).all()


@paths
def test_half_the_precision_in_the_middle(path):
    """Without states a parameter may change its dtype between steps."""
    param = torch.nn.Parameter(torch.ones(64))
    optim = optimbook.SGD([param], lr=0.5, **path)
    for dtype in (torch.float32, torch.float16, torch.float64, torch.bfloat16, torch.float32):
        param.data, param.grad = param.data.to(dtype), None
        param.grad = torch.full((64,), 0.25, dtype=dtype)
        optim.step()
    assert param.dtype == torch.float32 and (param == 1 - 5 * 0.125).all()


@kinds
@paths
def test_several_dtypes_in_one_optimizer(name, kwargs, path):
    dtypes = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.float32, torch.complex64]
    if path.get("fused"):
        dtypes.pop()
    ends = []
    for module, flags in ((torch.optim, {"foreach": False}), (optimbook, path)):
        params = [torch.nn.Parameter(random((9,), i).to(d)) for i, d in enumerate(dtypes)]
        optim = getattr(module, name)(params, eps=1e-3, **kwargs, **flags) if name != "SGD" else module.SGD(params, **kwargs, **flags)
        for step in range(4):
            for i, p in enumerate(params):
                p.grad = random((9,), 10 * step + i).to(p.dtype)
            optim.step()
        ends.append([p.detach() for p in params])
    for a, b in zip(*ends):
        eps = torch.finfo(a.dtype).eps
        torch.testing.assert_close(b, a, rtol=16 * eps, atol=16 * eps)


@kinds
@paths
def test_many_sizes(name, kwargs, path):
    """Nothing, one number, chunk borders, several chunks and threads."""
    sizes = [(0,), (), (1,), (3, 0), (16383,), (16384,), (16385,), (70_001,)]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        compare(name, kwargs, path, lambda *_: None, shapes=sizes, steps=3)
    finally:
        torch.set_num_threads(threads)


@kinds
@paths
def test_tied_memory(name, kwargs, path):
    """Two parameters over one storage are updated one after the other."""

    def tie(step, params, optim):
        if step == 0:
            params[2].data = params[1].data.view(2, 2)[:, :]

    compare(name, kwargs, path, tie, shapes=((6, 6), (4,), (2, 2)), theirs={"foreach": path.get("foreach", False)})


@kinds
@paths
def test_a_parameter_twice_in_a_group(name, kwargs, path):
    """torch warns and updates it twice."""
    ends = []
    for module, flags in ((torch.optim, {"foreach": False}), (optimbook, path)):
        param = torch.nn.Parameter(torch.ones(5))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optim = getattr(module, name)([param, param], **kwargs, **flags)
        for step in range(3):
            param.grad = random((5,), step)
            optim.step()
        ends.append(param.detach())
    if name == "SGD" and not path.get("foreach"):
        torch.testing.assert_close(ends[1], ends[0])
    assert torch.isfinite(ends[1]).all()


@paths
def test_channels_last_and_strided(path):
    """Parameters that lie in another order, with gradients that lie as they do, and ones with gaps."""

    def lay(step, params, optim):
        if step == 0:
            params[0].data = params[0].data.to(memory_format=torch.channels_last)
            params[1].data = params[1].data if path.get("fused") else random((8, 4), 3)[::2]
        params[0].grad = random((2, 3, 4, 5), step).to(memory_format=torch.channels_last if step % 2 else torch.contiguous_format)

    optim = compare("AdamW", {"lr": 0.1}, path, lay, shapes=((2, 3, 4, 5), (4, 4), (3,)))
    first = optim.param_groups[0]["params"][0]
    assert optim.state[first]["exp_avg"].stride() == first.stride()


@paths
def test_gradients_stay_as_they_are(path):
    param = torch.nn.Parameter(torch.ones(50))
    for name, kwargs in KINDS:
        optim = getattr(optimbook, name)([param], maximize=True, **kwargs, **path)
        param.grad = random((50,), 1)
        before = param.grad.clone()
        optim.step()
        optim.step()
        assert torch.equal(param.grad, before)


def test_no_gradients_at_all():
    param = torch.nn.Parameter(torch.ones(2))
    for name, kwargs in KINDS:
        optim = getattr(optimbook, name)([{"params": []}, {"params": [param]}], **kwargs)
        assert optim.step() is None and optim.step(lambda: 5) == 5
        assert param.tolist() == [1, 1] and not optim.state


@paths
def test_steps_that_differ_within_a_group(path):
    """Parameters that miss gradients fall behind in `step`, and are corrected by their own."""
    compare("Adam", {"lr": 0.1}, path, lambda step, params, optim: None, steps=2)
    ends = []
    for module, flags in ((torch.optim, {"foreach": False}), (optimbook, path)):
        params = [torch.nn.Parameter(torch.ones(4)) for _ in range(5)]
        optim = module.Adam(params, lr=0.1, **flags)
        for step in range(12):
            for i, param in enumerate(params):
                param.grad = random((4,), step) if step % (i + 1) == 0 else None
            optim.step()
        ends.append((params, [float(optim.state[p]["step"]) for p in params]))
    assert ends[0][1] == ends[1][1] == [12, 6, 4, 3, 3]
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(ends[0][0], ends[1][0]))


@rule
def counted(param, grad, count=1, *, lr=0.1, slower=False):
    if slower:
        count = count + 1
        grad = grad / count
    param = param - lr * grad
    return param, count


@paths
def test_groups_with_different_states(path):
    """A number state that one group's flags give and another's do not; likewise a tensor state."""
    one, two = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optim = optimizer(counted)([{"params": [one], "slower": True}, {"params": [two]}], lr=1.0, **path)
    for _ in range(2):
        one.grad = two.grad = torch.ones(3)
        optim.step()
    assert one.tolist() == pytest.approx([1 - 1 / 2 - 1 / 3] * 3) and two.tolist() == [-1] * 3
    assert set(optim.state[one]) == {"count"} and not optim.state.get(two)

    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    optim = optimizer(rmsprop)([{"params": params[:1], "centered": True}, {"params": params[1:], "momentum": 0.9}], **path)
    for _ in range(3):
        for param in params:
            param.grad = torch.tensor([1.0, 2.0, 3.0])
        optim.step()
    assert set(optim.state[params[0]]) == {"square_avg", "grad_avg"} and set(optim.state[params[1]]) == {"square_avg", "momentum_buffer"}


@paths
def test_number_states_start_where_the_rule_says(path):
    param = torch.nn.Parameter(torch.ones(3))
    optim = optimizer(nadam)([param], **path)
    param.grad = torch.ones(3)
    optim.step()
    state = optim.state[param]
    assert state["mu_product"].item() == pytest.approx(0.9 * (1 - 0.5 * 0.96**0.004)) and state["step"].item() == 1
    assert {k: v.shape == () for k, v in state.items() if k in ("step", "mu_product")} == {"step": True, "mu_product": True}


@paths
def test_where_keeps_the_parameters_dtype(path):
    @rule
    def signs(param, grad, *, lr=0.5):
        param = param - lr * where(grad > 0, 1, -1)
        return param

    for dtype in (torch.float64, torch.bfloat16):
        param = torch.nn.Parameter(torch.zeros(2, dtype=dtype))
        param.grad = torch.tensor([1.0, -1.0], dtype=dtype)
        optimizer(signs)([param], **path).step()
        assert param.dtype == dtype and param.tolist() == [-0.5, 0.5]


def test_step_is_wrapped_once_and_passes_the_closures_result():
    param = torch.nn.Parameter(torch.ones(2))
    for _ in range(3):
        optim = optimbook.SGD([param])
    assert optim.step.__wrapped__ is not None and not hasattr(optim.step.__wrapped__, "hooked")
    assert optim.step(lambda: "result") == "result"


def test_zero_grad():
    param = torch.nn.Parameter(torch.ones(2))
    for path in PATHS.values():
        optim = optimbook.AdamW([param], **path)
        param.grad = torch.ones(2)
        optim.zero_grad(set_to_none=False)
        assert param.grad.tolist() == [0, 0]
        optim.zero_grad()
        assert param.grad is None


def test_a_real_training_converges():
    """A small network learns XOR in each path, and all paths take the same way."""
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    y = torch.tensor([[0.0], [1], [1], [0]])
    losses = []
    for path in PATHS.values():
        torch.manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        optim = optimbook.AdamW(model.parameters(), lr=0.05, **path)
        for _ in range(150):
            optim.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()
            optim.step()
        losses.append(loss.item())
    assert max(losses) < 0.01 and max(losses) - min(losses) < 1e-3


def test_a_copy_made_in_the_middle_goes_on_alone():
    model = torch.nn.Linear(3, 3)
    optim = optimbook.AdamW(model.parameters())
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    optim.step()
    twin, twin_optim = copy.deepcopy((model, optim))
    for param in twin.parameters():
        param.grad = torch.ones_like(param)
    before = [p.clone() for p in model.parameters()]
    twin_optim.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    assert not torch.equal(twin.weight, model.weight) and float(optim.state[model.weight]["step"]) == 1


# ------------------------------------------------------------------------------------------- what a plan holds


@pytest.mark.parametrize("path", [{}, {"foreach": True}, {"foreach": False}, {"fused": True}], ids=str)
def test_gradients_are_let_go(path):
    """After `zero_grad` nothing keeps a gradient's memory, or a backward pass would need twice as much."""
    params = [torch.nn.Parameter(torch.randn(10)) for _ in range(3)]
    optim = optimbook.AdamW(params, **path)
    for _ in range(3):
        for param in params:
            param.grad = torch.randn(10)
        gradients = [weakref.ref(param.grad) for param in params]
        optim.step()
        optim.zero_grad()
        assert [gradient() for gradient in gradients] == [None] * 3


def test_addresses_without_dlpack(monkeypatch):
    """A torch without the C address gives the same steps, and the same care, from Python."""
    ends = []
    for found in (lookup.lookup(), None):
        monkeypatch.setattr(tensors, "lookup", lambda found=found: found)
        param = torch.nn.Parameter(torch.ones(4, 3))
        optim = optimbook.AdamW([param], lr=0.1)
        for step in range(4):
            param.grad = torch.full((3, 4), 0.5 + step).t() if step % 2 else torch.full((4, 3), 0.5 + step)
            if step == 2:
                param.data = param.data.clone()
                optim.state[param]["exp_avg"] = optim.state[param]["exp_avg"].clone()
            optim.step()
        ends.append(param.detach().clone())
        param.data = param.data[:2]
        param.grad = torch.ones(2, 3)
        with pytest.raises(RuntimeError, match="exp_avg"):
            optim.step()
    assert torch.equal(*ends)
