"""Averaged models, BatchNorm's statistics and SWALR against torch's, and where torch's are wrong."""

import copy
import io
import math
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.optim import lr_scheduler as torchs
from torch.optim import swa_utils as theirs

import optimbook
from optimbook import swa_utils as ours

both = pytest.mark.parametrize("module", [ours, theirs], ids=["ours", "torch's"])


@pytest.fixture
def double():
    """Float64 throughout: torch works weights such as 1 / (n + 1) out in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def net(dtype=None, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)


@torch.no_grad()
def walk(model, t):
    """One step of a training that goes anywhere: parameters and statistics move."""
    torch.manual_seed(t + 100)
    for param in model.parameters():
        param += 0.1 * torch.randn_like(param)
    model.train()(torch.randn(8, 3, dtype=next(model.parameters()).dtype))


def run(averaged, model, steps, start=0):
    for t in range(start, start + steps):
        walk(model, t)
        averaged.update_parameters(model)
    return averaged


def floating(model):
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def assert_same(a, b, rtol=1e-12, atol=1e-12):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=rtol, atol=atol)


# The averages


FUNCTIONS = {
    "swa": (lambda m: {}, ours.swa, {}),
    "swa, one by one": (lambda m: {"avg_fn": m.get_swa_avg_fn()}, ours.swa, {}),
    "swa, lists": (lambda m: {"multi_avg_fn": m.get_swa_multi_avg_fn()}, ours.swa, {}),
    "ema, one by one": (lambda m: {"avg_fn": m.get_ema_avg_fn(0.9)}, ours.ema, {"decay": 0.9}),
    "ema, lists": (lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.9)}, ours.ema, {"decay": 0.9}),
    "ema of the default": (lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn()}, ours.ema, {"decay": 0.999}),
    "my own": (lambda m: {"avg_fn": lambda average, new, n: average * 0.5 + new * 0.5}, ours.ema, {"decay": 0.5}),
}
functions = pytest.mark.parametrize("make, rule, options", FUNCTIONS.values(), ids=FUNCTIONS)
buffers = pytest.mark.parametrize("use_buffers", [False, True], ids=["parameters", "buffers too"])


@functions
@buffers
def test_parity(double, make, rule, options, use_buffers):
    results = []
    for module in (ours, theirs):
        if module is theirs and use_buffers and "multi_avg_fn" in make(theirs) and rule is ours.swa:
            continue  # torch fails on BatchNorm's count
        model = net()
        results.append(floating(run(module.AveragedModel(model, **make(module), use_buffers=use_buffers), model, 30)))
    assert_same(results[0], results[-1])


@functions
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64], ids=str)
def test_the_rule_is_what_runs(make, rule, options, dtype):
    """The foreach form, the function of one tensor and the rule agree."""
    torch.manual_seed(0)
    model = nn.ParameterList(torch.randn(n, dtype=dtype) for n in (1, 7, 64))
    averaged = ours.AveragedModel(model, **make(ours))
    exact = None
    for step in range(1, 12):
        with torch.no_grad():
            for param in model:
                param += torch.randn_like(param)
        averaged.update_parameters(model)
        wide = [param.detach().clone().to(torch.complex128 if dtype.is_complex else torch.float64) for param in model]
        if exact is None:
            exact = wide
        elif rule is ours.swa:
            exact = [rule(a, b, step) for a, b in zip(exact, wide)]
        else:
            exact = [rule(a, b, step, **options) for a, b in zip(exact, wide)]
    tolerance = {torch.float64: 1e-14, torch.bfloat16: 0.1, torch.float16: 0.01}.get(dtype, 1e-5)
    for average, expected in zip(averaged.module, exact):
        assert average.dtype == dtype
        torch.testing.assert_close(average.detach().to(expected.dtype), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("given", [ours, theirs], ids=["ours", "torch's"])
@pytest.mark.parametrize("taking", [ours, theirs], ids=["by ours", "by torch's"])
@pytest.mark.parametrize("name", ["swa_avg_fn", "swa_multi_avg_fn", "ema_avg_fn", "ema_multi_avg_fn"])
def test_functions_fit_both(double, given, taking, name):
    """Our functions in torch's model, BatchNorm's count among them, and torch's in ours."""
    if given is taking is theirs and name == "swa_multi_avg_fn":
        pytest.skip("torch fails on BatchNorm's count")
    kind = "multi_avg_fn" if "multi" in name else "avg_fn"
    model = net()
    averaged = run(taking.AveragedModel(model, **{kind: getattr(given, f"get_{name}")()}, use_buffers=True), model, 10)
    other = net()
    expected = run(theirs.AveragedModel(other, avg_fn=getattr(theirs, f"get_{name.replace('multi_', '')}")(), use_buffers=True), other, 10)
    assert_same(floating(averaged), floating(expected))


def test_equal_weights_are_exact():
    """In float64, also where the default dtype is float32, in which torch's list function works its weight out."""
    models = [net(torch.float64, seed) for seed in range(10)]
    mean = {name: sum(m.state_dict()[name] for m in models) / 10 for name, _ in models[0].named_parameters()}
    for functions in ({}, {"multi_avg_fn": ours.get_swa_multi_avg_fn()}, {"avg_fn": ours.get_swa_avg_fn()}):
        averaged = ours.AveragedModel(models[0], **functions)
        for model in models:
            averaged.update_parameters(model)
        assert_same(dict(averaged.module.named_parameters()), mean, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("kind", ["avg_fn", "multi_avg_fn"])
def test_debias(kind):
    """All models are weighed by decay^(t - s), the first too; without it the first has weight decay^(t - 1)."""
    decay, models = 0.9, [net(torch.float64, seed) for seed in range(20)]
    averages = []
    for debias in (False, True):
        function = {"avg_fn": ours.get_ema_avg_fn, "multi_avg_fn": ours.get_ema_multi_avg_fn}[kind](decay, debias=debias)
        averages.append(ours.AveragedModel(models[0], **{kind: function}))
        for model in models:
            averages[-1].update_parameters(model)
    weights = torch.tensor([decay ** (19 - s) for s in range(20)], dtype=torch.float64)
    plain = torch.cat([weights[:1], (1 - decay) * weights[1:]])
    for averaged, w in zip(averages, (plain, weights / weights.sum())):
        expected = {n: sum(x * m.state_dict()[n] for x, m in zip(w, models)) for n, _ in models[0].named_parameters()}
        assert_same(dict(averaged.module.named_parameters()), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", ["avg_fn", "multi_avg_fn"])
def test_a_decay_that_changes(kind):
    model, asked = net(torch.float64), []

    def decay(n):
        asked.append(n)
        return min(0.999, (1 + n) / (10 + n))

    function = {"avg_fn": ours.get_ema_avg_fn, "multi_avg_fn": ours.get_ema_multi_avg_fn}[kind](decay)
    averaged, expected = ours.AveragedModel(model, **{kind: function}), None
    for t in range(5):
        walk(model, t)
        averaged.update_parameters(model)
        new = model[0].weight.detach().clone()
        expected = new if t == 0 else decay(t) * expected + (1 - decay(t)) * new
    torch.testing.assert_close(averaged.module[0].weight.detach(), expected, rtol=1e-14, atol=1e-15)
    assert sorted(set(asked)) == [1, 2, 3, 4]


@pytest.mark.parametrize("get", [ours.get_ema_avg_fn, ours.get_ema_multi_avg_fn])
def test_bad_decays(get):
    for decay in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"Invalid decay value .* provided. Please provide a value in \[0,1\] range."):
            get(decay)
    with pytest.raises(ValueError, match="debias needs one decay for all updates"):
        get(lambda n: 0.9, debias=True)
    with pytest.raises(ValueError, match="a decay of 1 has nothing to debias"):
        get(1.0, debias=True)
    assert get(0) and get(1.0) and get(torch.tensor(0.5))


def test_equations():
    assert [str(e) for e in ours.swa.equations()] == [
        r"w_t = \frac{1}{t}", r"\bar{\theta}_t = \left(1 - w_t\right) \bar{\theta}_{t-1} + w_t \theta_t"]  # fmt: skip
    assert str(ours.ema.equations()[0]) == r"w_t = 1 - \beta"
    assert str(ours.ema.equations(debias=True)[0]) == r"w_t = \frac{1 - \beta}{1 - \beta^{t}}"
    assert str(ours.swa_annealing.equations()[-1]) == r"\gamma_t = \left(1 - \alpha_t\right) \gamma_0 + \alpha_t \gamma_{\mathrm{SWA}}"


# The averaged model


def test_is_torchs():
    assert issubclass(ours.AveragedModel, theirs.AveragedModel) and issubclass(ours.SWALR, theirs.SWALR)
    assert set(theirs.__all__) <= set(ours.__all__)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn should be provided"):
        ours.AveragedModel(net(), avg_fn=ours.get_swa_avg_fn(), multi_avg_fn=ours.get_swa_multi_avg_fn())


@functions
@pytest.mark.parametrize("source, target", [(ours, ours), (ours, theirs), (theirs, ours)])
def test_checkpoints(double, make, rule, options, source, target):
    model = net()
    whole = run(theirs.AveragedModel(model, **make(theirs)), model, 12)
    model = net()
    first = run(source.AveragedModel(model, **make(source)), model, 5)
    second = target.AveragedModel(net(seed=1), **make(target))
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    assert second.load_state_dict(torch.load(saved)) and second.n_averaged == 5
    assert_same(run(second, model, 7, start=5).state_dict(), whole.state_dict())


def test_integers_and_booleans_are_taken_from_the_model():
    """torch lets BatchNorm's count fall behind, and fails on it with equal weights and lists, and on masks."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm1d(3)
            self.register_buffer("mask", torch.tensor([True, False]))

    for functions in ({}, {"multi_avg_fn": ours.get_swa_multi_avg_fn()}, {"multi_avg_fn": ours.get_ema_multi_avg_fn()},
                      {"avg_fn": ours.get_ema_avg_fn()}):  # fmt: skip
        model = Masked()
        averaged = ours.AveragedModel(model, **functions, use_buffers=True)
        for _ in range(5):
            model.bn(torch.randn(4, 3))
            model.mask.logical_not_()
            averaged.update_parameters(model)
        assert averaged.module.bn.num_batches_tracked == 5 and averaged.module.mask.tolist() == [False, True]
        assert not torch.equal(averaged.module.bn.running_mean, model.bn.running_mean)


def test_float32_average_of_a_model_in_half_precision():
    """In bfloat16 the average stops where an update is less than half a unit; in float32 it arrives."""
    model = nn.Linear(4, 4, bias=False).bfloat16()
    nn.init.zeros_(model.weight)
    narrow, wide = (ours.AveragedModel(model, multi_avg_fn=ours.get_ema_multi_avg_fn(0.999)) for _ in range(2))
    wide.float()
    for averaged in (narrow, wide):
        averaged.update_parameters(model)
    nn.init.ones_(model.weight)
    for _ in range(2000):
        for averaged in (narrow, wide):
            averaged.update_parameters(model)
    expected = torch.full((4, 4), 1 - 0.999**2000)
    torch.testing.assert_close(wide.module.weight.detach(), expected, rtol=1e-4, atol=0)
    assert narrow.module.weight.max() < 0.6


HOOKED = {
    "weight norm": nn.utils.weight_norm,
    "spectral norm": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 2),
    "new weight norm": nn.utils.parametrizations.weight_norm,
}


@pytest.mark.parametrize("hook", HOOKED.values(), ids=HOOKED)
def test_weights_that_hooks_compute(hook):
    """torch cannot copy a model with weight norm, spectral norm or pruning in the old style."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = nn.Sequential(hook(nn.Linear(3, 2)))
    x = torch.randn(4, 3)
    model(x).sum().backward()
    averaged = ours.AveragedModel(model)
    model.eval(), averaged.eval()
    torch.testing.assert_close(averaged(x), model(x))
    averaged.update_parameters(model)
    name = next(n for n, p in model.named_parameters() if n.startswith("0.weight") or "original1" in n)
    old = model.get_parameter(name).detach().clone()
    with torch.no_grad():
        model.get_parameter(name).mul_(3)
    averaged.update_parameters(model)
    torch.testing.assert_close(averaged.module.get_parameter(name).detach(), 2 * old)
    assert model.get_parameter(name).data_ptr() != averaged.module.get_parameter(name).data_ptr()


def test_a_buffer_that_carries_a_graph():
    """What the forward pass left in a buffer is copied without its history."""
    model = nn.Module()
    model.register_buffer("mean", torch.ones(2))
    model.weight = nn.Parameter(torch.ones(2))
    model.mean = model.mean * model.weight
    assert not ours.AveragedModel(model).module.mean.requires_grad and model.mean.requires_grad


def test_tied_and_frozen_parameters():
    model = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(False)
    averaged = run_list(ours.AveragedModel(model), model)
    assert averaged.module[1].weight is averaged.module[0].weight and averaged.module[0].weight is not model[0].weight
    assert not averaged.module[0].bias.requires_grad and averaged.module[0].weight.requires_grad
    torch.testing.assert_close(averaged.module[0].weight.detach(), torch.full((3, 3), 2.0))


def run_list(averaged, model):
    for value in (1.0, 3.0):
        for param in model.parameters():
            nn.init.constant_(param, value)
        averaged.update_parameters(model)
    return averaged


@buffers
def test_a_model_that_does_not_fit(use_buffers):
    averaged = ours.AveragedModel(net(), use_buffers=use_buffers)
    before = copy.deepcopy(averaged.state_dict())
    for other, kind in ((nn.Linear(3, 5), "parameters"), (nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2)), "parameters")):
        with pytest.raises(ValueError, match=f"has other {kind} than the model that is averaged"):
            averaged.update_parameters(other)
    other = net()
    other.register_buffer("more", torch.zeros(1))
    with pytest.raises(ValueError, match="has other buffers than the model that is averaged"):
        averaged.update_parameters(other)
    assert_same(averaged.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copied", "pickled"])
@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "my own"])
def test_copies_go_on(again, name):
    """torch's functions cannot be pickled."""
    model = net()
    first = run(ours.AveragedModel(model, **FUNCTIONS[name][0](ours)), model, 3)
    second, other = again(first), copy.deepcopy(model)
    run(first, model, 3, start=3)
    assert second.n_averaged == 3
    assert_same(run(second, other, 3, start=3).state_dict(), first.state_dict())


def test_the_count_is_the_buffers():
    """However it was changed: loaded, set by hand, or moved."""
    for change in (lambda a: a.n_averaged.zero_(), lambda a: a.n_averaged.data.zero_(), lambda a: setattr(a, "n_averaged", torch.tensor(0)),
                   lambda a: a.load_state_dict({**a.state_dict(), "n_averaged": torch.tensor(0)})):  # fmt: skip
        model = net()
        averaged = run(ours.AveragedModel(model), model, 3)
        change(averaged)
        averaged.update_parameters(model)
        assert_same(averaged.module.state_dict(), model.state_dict())
        assert averaged.n_averaged == 1


def test_on_another_device():
    """The meta device stands in for one: whatever is done there must not ask for a value."""
    model = net()
    averaged = ours.AveragedModel(model, device="meta")
    assert {t.device.type for t in averaged.state_dict().values()} == {"meta"}
    averaged.n_averaged = torch.tensor(0)
    for _ in range(2):
        averaged.update_parameters(model)
    assert averaged.module[0].weight.device.type == "meta" and averaged.n_averaged == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_update_waits_for_the_gpu():
    model = net().cuda()
    for functions in ({}, {"multi_avg_fn": ours.get_ema_multi_avg_fn(debias=True)}, {"avg_fn": ours.get_swa_avg_fn()}):
        averaged = ours.AveragedModel(model, device="cuda", **functions)
        averaged.update_parameters(model)
        torch.cuda.set_sync_debug_mode("error")
        try:
            averaged.update_parameters(model)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert averaged.n_averaged == 2


def test_used_like_the_model():
    model = net()
    averaged = ours.AveragedModel(model)
    averaged.update_parameters(model)
    model.eval(), averaged.eval()
    torch.testing.assert_close(averaged(torch.ones(2, 3)), model(torch.ones(2, 3)))


# BatchNorm's statistics


class Named(nn.Module):
    """Takes its inputs by name."""

    def __init__(self):
        super().__init__()
        self.bn, self.dropout = nn.BatchNorm1d(3), nn.Dropout(0.0)

    def forward(self, x, scale=None):
        return self.bn(self.dropout(x if scale is None else x * scale))


class Whole(Named):
    """Takes a dict as it is."""

    def forward(self, batch):
        return super().forward(**batch)


def batches(n=6):
    torch.manual_seed(0)
    return [torch.randn(16, 3) * (i + 1) + i for i in range(n)]


def statistics(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if "running" in name or "batches" in name}


def test_update_bn_parity():
    for wrap in (lambda x: x, lambda x: [x], lambda x: (x, torch.zeros(16))):
        results = []
        for module in (ours, theirs):
            torch.manual_seed(1)
            model = nn.Sequential(Named(), nn.Linear(3, 3), nn.BatchNorm1d(3, momentum=0.3)).eval()
            module.update_bn([wrap(x) for x in batches()], model, device="cpu")
            assert not any(m.training for m in model.modules()) and model[2].momentum == 0.3 and model[0].bn.momentum == 0.1
            results.append(statistics(model))
        assert_same(*results, rtol=0, atol=0)
        torch.testing.assert_close(results[0]["0.bn.running_mean"], torch.stack([x.mean(0) for x in batches()]).mean(0))


no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="DataParallel shares out what it is given among GPUs")


@pytest.mark.parametrize("model", [Named, Whole])
@pytest.mark.parametrize("wrap", [lambda m: m, ours.AveragedModel, pytest.param(lambda m: ours.AveragedModel(nn.DataParallel(m)), marks=no_gpu)])
@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("labelled", [False, True])
def test_update_bn_with_dicts(model, wrap, device, labelled):
    """By name where the model's forward has the names, else as one argument, as in torch (without a device)."""
    model, inner = (lambda m: (wrap(m), m))(model())
    given = [{"x": x, "scale": torch.tensor(2.0)} for x in batches()]
    ours.update_bn([(batch, torch.zeros(1)) for batch in given] if labelled else given, model, device)
    found = next(m for m in model.modules() if isinstance(m, nn.BatchNorm1d)).running_mean
    torch.testing.assert_close(found, torch.stack([2 * x.mean(0) for x in batches()]).mean(0))


def test_update_bn_with_a_call():
    model = Named()
    ours.update_bn([(x, {"scale": [torch.tensor(3.0)]}) for x in batches()], model, "cpu", call=lambda m, b: m(b[0], b[1]["scale"][0]))
    torch.testing.assert_close(model.bn.running_mean, torch.stack([3 * x.mean(0) for x in batches()]).mean(0))


def test_update_bn_leaves_every_mode_as_it_was():
    """torch leaves the whole model in the mode of its root, and in training mode with no momentum if the pass fails."""
    for fails in (False, True):
        model = nn.Sequential(nn.Dropout(), Named(), nn.BatchNorm1d(3)).train()
        model[0].eval(), model[2].eval()
        modes = [m.training for m in model.modules()]
        if fails:
            with pytest.raises(RuntimeError):
                ours.update_bn([batches()[0], torch.zeros(2, 5)], model)
        else:
            ours.update_bn(batches(), model)
        assert [m.training for m in model.modules()] == modes and model[2].momentum == 0.1


def test_update_bn_without_batches():
    """An iterator that has run out does not reset the statistics."""
    model = Named().train()
    model(batches()[3])
    before = statistics(model)
    with pytest.raises(ValueError, match="the loader gave no batch"):
        ours.update_bn(iter([]), model)
    assert_same(statistics(model), before, rtol=0, atol=0)
    assert model.training and model.bn.momentum == 0.1


def test_update_bn_without_batch_norm():
    """Nothing is read and nothing called."""
    ours.update_bn((pytest.fail("read") for _ in range(1)), nn.Linear(3, 3))


@both
def test_the_whole_recipe(module):
    """Averages, schedule and statistics as the papers' training uses them."""
    model = net()
    optimizer = optimbook.SGD(model.parameters(), lr=0.1, momentum=0.9)
    averaged = module.AveragedModel(model)
    scheduler, swa_scheduler = torchs.CosineAnnealingLR(optimizer, 20), module.SWALR(optimizer, 0.05, 3)
    data = [(x, x[:, :2].sin()) for x in batches()]
    rates = []
    for epoch in range(12):
        for x, y in data:
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()
        if epoch >= 6:
            averaged.update_parameters(model)
            swa_scheduler.step()
        else:
            scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    module.update_bn(data, averaged)
    assert rates[-3:] == [0.05] * 3 and averaged.n_averaged == 6
    loss = lambda m: sum((m.eval()(x) - y).square().mean().item() for x, y in data)  # noqa: E731
    assert loss(averaged) < loss(net())


# The schedule


MAKE = {
    "cosine": lambda m, o, **k: m.SWALR(o, 0.05, **k),
    "linear": lambda m, o, **k: m.SWALR(o, [0.02, 0.7], anneal_epochs=17, anneal_strategy="linear", **k),
    "at once": lambda m, o, **k: m.SWALR(o, 0.05, anneal_epochs=0, **k),
    "one step": lambda m, o, **k: m.SWALR(o, (0.0, 0.05), anneal_epochs=1, **k),
    "long": lambda m, o, **k: m.SWALR(o, 0.0, anneal_epochs=200, **k),
}
schedules = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
rates = pytest.mark.parametrize("tensor", [False, True], ids=["number", "tensor"])


def optimizer(tensor=False, kind=optimbook.AdamW):
    wrap = (lambda x: torch.tensor(x, dtype=torch.float64)) if tensor else float
    groups = [{"params": [nn.Parameter(torch.ones(1))]}, {"params": [nn.Parameter(torch.ones(1))], "lr": wrap(0.5)}]
    return kind(groups, lr=wrap(0.1))


def advance(one, schedulers, steps, hand=None):
    """Every group's rate after each step; `hand` changes rates by hand."""
    path = []
    for t in range(steps):
        one.step()
        if hand:
            hand(t, one)
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            scheduler.step()
        path.append([float(group["lr"]) for group in one.param_groups])
    return torch.tensor(path, dtype=torch.float64)


def assert_paths(*paths):
    torch.testing.assert_close(*paths, rtol=1e-10, atol=1e-15)


@schedules
@rates
def test_every_step(make, tensor):
    paths = []
    for module in (ours, theirs):
        one = optimizer(tensor)
        before = [group["lr"] for group in one.param_groups]
        scheduler = make(module, one)
        start = [float(group["lr"]) for group in one.param_groups]
        paths.append(torch.cat([torch.tensor([start], dtype=torch.float64), advance(one, scheduler, 300)]))
        assert [float(rate) for rate in scheduler.get_last_lr()] == paths[-1][-1].tolist()
        assert all((a is group["lr"]) == tensor for a, group in zip(before, one.param_groups))
        assert [float(group["initial_lr"]) for group in one.param_groups] == [0.1, 0.5]
    assert_paths(*paths)


@schedules
@pytest.mark.parametrize("when", [0, 1, 9, 40])
@pytest.mark.parametrize("before", [0, 7], ids=["from the start", "after another"])
@pytest.mark.parametrize("order, tensor", [("scheduler first", False), ("optimizer first", False), ("optimizer first", True)])
def test_saved_and_loaded(make, when, before, order, tensor):
    """Ours or torch's, in either order, also where another scheduler had brought the rates down before."""

    def begin(module):
        one = optimizer(tensor)
        other, scheduler = torchs.ExponentialLR(one, 0.9), make(module, one)
        advance(one, other, before)
        return one, scheduler

    one, scheduler = begin(theirs)
    whole = advance(one, scheduler, 100)
    for first, second in ((ours, ours), (ours, theirs), (theirs, ours)):
        one, scheduler = begin(first)
        advance(one, scheduler, when)
        other = optimizer(tensor)
        states = copy.deepcopy((one.state_dict(), scheduler.state_dict()))
        if order == "optimizer first":
            other.load_state_dict(states[0])
            resumed = make(second, other)
        else:
            resumed = make(second, other)
            other.load_state_dict(states[0])
        resumed.load_state_dict(states[1])
        assert_paths(advance(other, resumed, 100 - when), whole[when:])


@schedules
def test_state_dict_keys(make):
    keys = []
    for module in (ours, theirs):
        one = optimizer()
        scheduler = make(module, one)
        advance(one, scheduler, 3)
        keys.append(set(scheduler.state_dict()))
        torch.save(scheduler.state_dict(), io.BytesIO())
    assert keys[0] == keys[1]


@schedules
def test_loaded_without_the_optimizer(make):
    """If only the scheduler was loaded, its rates are the saved ones; torch goes on from the fresh ones."""
    one = optimizer()
    scheduler = make(ours, one)
    whole = advance(one, scheduler, 40)
    one = optimizer()
    scheduler = make(ours, one)
    advance(one, scheduler, 8)
    other = optimizer()
    resumed = make(ours, other)
    resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    assert_paths(advance(other, resumed, 32), whole[8:])


@both
def test_a_checkpoint_from_before(module):
    """An optimizer that was saved before there was a SWALR has no `swa_lr`: torch fails at the next step."""
    one = optimizer()
    saved = one.state_dict()
    one = optimizer()
    scheduler = MAKE["linear"](module, one)
    one.load_state_dict(saved)
    if module is theirs:
        with pytest.raises(KeyError, match="swa_lr"):
            advance(one, scheduler, 1)
    else:
        assert advance(one, scheduler, 30)[-1].tolist() == [0.02, 0.7]


@schedules
@rates
def test_rates_changed_by_hand(make, tensor):
    def hand(t, one):
        if t in (0, 3, 9, 10, 25):
            rate = one.param_groups[0]["lr"]
            one.param_groups[0]["lr"] = rate.mul_(2) if tensor else rate * 2
        if t == 5:
            one.param_groups[1]["swa_lr"] = 0.2

    assert_paths(*(advance(o, make(m, o), 60, hand) for m, o in ((m, optimizer(tensor)) for m in (ours, theirs))))


@schedules
def test_two_schedulers_at_once(make):
    assert_paths(*(advance(o, [make(m, o), torchs.ExponentialLR(o, 0.99)], 60) for m, o in ((m, optimizer()) for m in (ours, theirs))))


@schedules
@pytest.mark.parametrize("milestone", [1, 8])
def test_takes_over_in_a_sequence(make, milestone):
    """From the rate that stands there, not with a leap to the rate of the run's start; saved and loaded on the way too."""

    def build(module, one):
        return torchs.SequentialLR(one, [torchs.ExponentialLR(one, 0.8), make(module, one)], [milestone])

    paths = []
    for module in (ours, theirs):
        one = optimizer()
        scheduler = build(module, one)
        path = [advance(one, scheduler, 12)]
        other = optimizer()
        resumed = build(module, other)
        other.load_state_dict(one.state_dict())
        resumed.load_state_dict(scheduler.state_dict())
        paths.append(torch.cat([*path, advance(other, resumed, 30)]))
    assert_paths(*paths)


@schedules
@rates
def test_closed_form(make, tensor):
    one = optimizer(tensor)
    scheduler = make(ours, one)
    foreseen = torch.tensor([scheduler.lr_at(step) for step in range(1, 61)], dtype=torch.float64)
    start = [float(group["lr"]) for group in one.param_groups]
    assert scheduler.lr_at(0) == pytest.approx(start) and scheduler.last_epoch == 0
    assert_paths(advance(one, scheduler, 60), foreseen)
    again = torch.tensor([scheduler.lr_at(step) for step in range(1, 61)], dtype=torch.float64)
    torch.testing.assert_close(again, foreseen, rtol=1e-9, atol=1e-12)
    for step in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="SWALR.lr_at: step must be finite and not negative"):
            scheduler.lr_at(step)


def test_closed_form_where_another_was_before():
    """Once it has taken over, `lr_at` begins at the rates that it took over, also in a scheduler that was loaded."""
    one = optimizer()
    before, scheduler = torchs.ExponentialLR(one, 0.5), ours.SWALR(one, 0.05, 4, "linear")
    advance(one, before, 2)
    path = advance(one, scheduler, 2)
    assert scheduler.lr_at(0) == pytest.approx([0.025, 0.125]) and scheduler.lr_at(2) == pytest.approx(path[-1].tolist())
    for module in (ours, theirs):
        one = optimizer()
        before, scheduler = torchs.ExponentialLR(one, 0.5), module.SWALR(one, 0.05, 4, "linear")
        advance(one, before, 2)
        advance(one, scheduler, 2)
        loaded = ours.SWALR(optimizer(), 0.05, 4, "linear")
        loaded.load_state_dict(scheduler.state_dict())
        assert loaded.lr_at(3) == pytest.approx([0.04375, 0.06875])


def test_loaded_before_its_first_step():
    """Its last rates are those of a warm-up's first step, from which the optimizer has moved on."""
    one = optimizer()
    warmup = torchs.LinearLR(one, 0.1, total_iters=3)
    scheduler = ours.SWALR(one, 0.05)
    advance(one, warmup, 5)
    saved = one.state_dict(), scheduler.state_dict()
    for order in (0, 1):
        other = optimizer()
        resumed = ours.SWALR(other, 0.05)
        for part in ((other, saved[0]), (resumed, saved[1]))[:: 1 - 2 * order]:
            part[0].load_state_dict(copy.deepcopy(part[1]))
        assert [group["lr"] for group in other.param_groups] == [0.1, 0.5]


@schedules
@pytest.mark.parametrize("last_epoch", [0, 3, 20])
@pytest.mark.parametrize("loaded", [False, True])
def test_resumed_by_last_epoch(make, last_epoch, loaded):
    """With the optimizer loaded or not; torch begins anew."""
    one = optimizer()
    scheduler = make(ours, one)
    whole = advance(one, scheduler, 100)
    one = optimizer()
    scheduler = make(ours, one)
    advance(one, scheduler, last_epoch + 1)
    other = optimizer()
    if loaded:
        other.load_state_dict(one.state_dict())
    else:
        for group in other.param_groups:
            group["initial_lr"] = group["lr"]
    resumed = make(ours, other, last_epoch=last_epoch)
    assert [group["lr"] for group in other.param_groups] == pytest.approx(whole[last_epoch].tolist())
    assert_paths(advance(other, resumed, 99 - last_epoch), whole[last_epoch + 1 :])


@pytest.mark.parametrize("arguments, message", [
    ({"swa_lr": math.nan}, "Invalid swa_lr: nan; SWALR takes a finite number"), ({"swa_lr": [0.1, math.inf]}, "Invalid swa_lr: inf"),
    ({"swa_lr": [0.1]}, "swa_lr must have the same length as optimizer.param_groups"),
    ({"swa_lr": 0.1, "anneal_epochs": -1}, "anneal_epochs must be equal or greater than 0, got -1"),
    ({"swa_lr": 0.1, "anneal_epochs": 2.5}, "anneal_epochs must be equal or greater than 0, got 2.5"),
    ({"swa_lr": 0.1, "anneal_strategy": "step"}, "anneal_strategy must be one of 'cos' or 'linear', instead got step"),
], ids=str)  # fmt: skip
def test_bad_arguments(arguments, message):
    one = optimizer()
    before = copy.deepcopy(one.state_dict())
    with pytest.raises(ValueError, match=message):
        ours.SWALR(one, **arguments)
    assert one.state_dict() == before


@both
def test_warnings(module):
    scheduler = module.SWALR(optimizer(), 0.05)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()
