"""Two processes on gloo: FSDP2, DDP, ZeroRedundancyOptimizer and DTensor parameters train as they do with `torch.optim`."""

import copy

import pytest
import torch
import torch.distributed as dist
from clients.pair import SIZE, Pair
from torch import nn

import optimbook

pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="this torch has no gloo")

STEPS, CHANGE = 6, 3  # a checkpoint is taken after CHANGE steps
OPTIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "fused": True}),
    ("AdamW", {"lr": 0.01, "foreach": True}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "foreach": False}),
]
WHOLE = [("LAMB", {"lr": 0.01}), ("LARS", {"lr": 0.1, "momentum": 0.9}), ("Adafactor", {"lr": 0.01})]
LEGS = [("torch", "ours"), ("ours", "torch"), ("ours", "ours")]
MODULES = {"torch": torch.optim, "ours": optimbook}

options = pytest.mark.parametrize("name, kwargs", OPTIONS, ids=str)
with_state = pytest.mark.parametrize("name, kwargs", OPTIONS[1:4], ids=str)  # of an empty one torch makes no full checkpoint


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("pair"))
    yield pair
    pair.stop()


# In each process


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 1)).double()


def mesh():
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh("cpu", (SIZE,))


def sharded(model):
    """What FSDP2 makes of it: 9 rows fall into 5 and 4, and of a single row the second process holds nothing."""
    from torch.distributed.fsdp import fully_shard

    for layer in model:
        if any(True for _ in layer.parameters()):
            fully_shard(layer, mesh=mesh())
    return fully_shard(model, mesh=mesh())


def train(model, optimizer, ranks, begin=0, end=STEPS, clip=None, scheduler=None):
    """Trains on these ranks' batches; a process that has them all does by itself what the processes do together."""
    for step in range(begin, end):
        batches = [torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(SIZE * step + r)) for r in ranks]
        loss = sum(model(x).square().mean() for x in batches) / len(batches)
        loss.backward()
        if clip:
            assert nn.utils.clip_grad_norm_(model.parameters(), clip) > clip
        optimizer.step()
        optimizer.zero_grad()
        if scheduler:
            scheduler.step()


def values(params):
    return [(p.full_tensor() if hasattr(p, "full_tensor") else p).detach().clone() for p in params]


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def assert_same_run(run):
    """What a run with our classes leaves is what a run with torch's leaves."""
    assert_equal(run(optimbook), run(torch.optim))


# FSDP2


@options
def test_fully_shard(pair, name, kwargs):
    pair(fully_sharded, name, kwargs)


def fully_sharded(rank, name, kwargs):
    def run(module):
        model = sharded(network())
        optimizer = getattr(module, name)(model.parameters(), **kwargs)
        train(model, optimizer, [rank], clip=0.01)
        assert all(type(p) is type(v) for p, s in optimizer.state.items() for n, v in s.items() if n != "step")
        return values(model.parameters())

    assert_same_run(run)


@pytest.mark.parametrize("name, kwargs", WHOLE, ids=str)
def test_fully_shard_where_an_update_needs_the_whole_tensor(pair, name, kwargs):
    """Norms and means go over all elements of a tensor, wherever they lie: two processes do what one does by itself."""
    pair(whole, name, kwargs)


def whole(rank, name, kwargs):
    model, alone = sharded(network()), network()
    train(model, getattr(optimbook, name)(model.parameters(), **kwargs), [rank])
    train(alone, getattr(optimbook, name)(alone.parameters(), **kwargs), range(SIZE))
    assert_equal(values(model.parameters()), values(alone.parameters()))


def test_muon_fully_sharded(pair):
    pair(muon)


def muon(rank):
    def run(module):
        torch.manual_seed(0)
        model = sharded(nn.Sequential(nn.Linear(6, 9, bias=False), nn.Linear(9, 5, bias=False)).double())
        train(model, module.Muon(model.parameters(), lr=0.01), [rank])
        return values(model.parameters())

    assert_same_run(run)


@with_state
@pytest.mark.parametrize("legs", LEGS, ids=" to ".join)
@pytest.mark.parametrize("full", [False, True], ids=["sharded", "full"])
def test_distributed_checkpoint(pair, tmp_path, name, kwargs, legs, full):
    """State goes through files, or in one piece through the first process, and training goes on as if nothing had happened."""
    pair(checkpoint, str(tmp_path), name, kwargs, legs, full)


def checkpoint(rank, folder, name, kwargs, legs, full):
    from torch.distributed import checkpoint as files
    from torch.distributed.checkpoint import state_dict as kept

    def fresh(module):
        model = sharded(network())
        return model, getattr(module, name)(model.parameters(), **kwargs)

    model, optimizer = fresh(torch.optim)
    train(model, optimizer, [rank])
    uninterrupted = values(model.parameters())
    first, second = (fresh(MODULES[leg]) for leg in legs)
    train(*first, [rank], end=CHANGE)
    if full:
        how = kept.StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = {"model": kept.get_model_state_dict(first[0], options=how), "optimizer": kept.get_optimizer_state_dict(*first, options=how)}
        how = kept.StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    else:
        files.save({"model": kept.get_model_state_dict(first[0]), "optimizer": kept.get_optimizer_state_dict(*first)}, checkpoint_id=folder)
        state = {"model": kept.get_model_state_dict(second[0]), "optimizer": kept.get_optimizer_state_dict(*second)}
        files.load(state, checkpoint_id=folder)
        how = None
    kept.set_model_state_dict(second[0], state["model"], options=how)
    kept.set_optimizer_state_dict(*second, state["optimizer"], options=how)
    train(*second, [rank], begin=CHANGE)
    assert_equal(values(second[0].parameters()), uninterrupted)


# DDP and ZeRO


@options
@pytest.mark.parametrize("view", [False, True], ids=["own gradients", "gradients in buckets"])
def test_data_parallel(pair, name, kwargs, view):
    pair(data_parallel, name, kwargs, view)


def data_parallel(rank, name, kwargs, view):
    def run(module):
        model = nn.parallel.DistributedDataParallel(network(), gradient_as_bucket_view=view)
        train(model, getattr(module, name)(model.parameters(), **kwargs), [rank], clip=0.01)
        return values(model.parameters())

    assert_same_run(run)


@options
@pytest.mark.parametrize("view", [False, True], ids=["own parameters", "parameters in buckets"])
def test_zero_redundancy_optimizer(pair, name, kwargs, view):
    """Each process steps its share of the parameters; the scheduler drives the outer optimizer; the state is gathered and scattered."""
    pair(zero, name, kwargs, view)


def zero(rank, name, kwargs, view):
    from torch.distributed.optim import ZeroRedundancyOptimizer

    def fresh(module):
        model = nn.parallel.DistributedDataParallel(network())
        inner = getattr(module, name)
        optimizer = ZeroRedundancyOptimizer(model.parameters(), optimizer_class=inner, parameters_as_bucket_view=view, **kwargs)
        return model, optimizer, module.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    def run(module):
        model, optimizer, scheduler = fresh(module)
        train(model, optimizer, [rank], end=CHANGE, scheduler=scheduler)
        optimizer.consolidate_state_dict()
        kept = [copy.deepcopy(optimizer.state_dict()) if rank == 0 else None]
        dist.broadcast_object_list(kept)
        resumed, twin, twin_scheduler = fresh(module)
        resumed.load_state_dict(model.state_dict())
        twin.load_state_dict(kept[0])
        twin_scheduler.load_state_dict(scheduler.state_dict())
        train(resumed, twin, [rank], begin=CHANGE, scheduler=twin_scheduler)
        train(model, optimizer, [rank], begin=CHANGE, scheduler=scheduler)
        assert_equal(values(resumed.parameters()), values(model.parameters()))
        assert len(optimizer.optim.state) < len(list(model.parameters()))  # the rest is another's
        return values(model.parameters())

    assert_same_run(run)


# DTensor parameters by themselves


def tensor(seed, placements=None):
    from torch.distributed.tensor import distribute_tensor

    value = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return distribute_tensor(value, mesh(), placements) if placements else value


@pytest.mark.parametrize("name, kwargs", [o for o in OPTIONS if not {"fused", "foreach"} & o[1].keys()], ids=str)
def test_dtensors(pair, name, kwargs):
    """Split by rows, by columns, not at all, and among plain tensors; some miss a gradient at times."""
    pair(dtensors, name, kwargs)


def dtensors(rank, name, kwargs):
    from torch.distributed.tensor import Replicate, Shard

    where = [[Shard(0)], [Shard(1)], [Replicate()], None]

    def run(module):
        params = [nn.Parameter(tensor(i, placements)) for i, placements in enumerate(where)]
        optimizer = getattr(module, name)(params, **kwargs)
        for step in range(1, STEPS):
            for i, (param, placements) in enumerate(zip(params, where)):
                param.grad = None if step % 3 == i else tensor(10 * step + i, placements)
            optimizer.step()
        return values(params)

    assert_same_run(run)


def test_dtensors_changed_between_steps(pair):
    """A gradient that is split in another way, and parameters and states that somebody replaces, are noticed."""
    pair(changed)


def changed(rank):
    from torch.distributed.tensor import Shard

    def run(module):
        param = nn.Parameter(tensor(0, [Shard(0)]))
        optimizer = module.AdamW([param], lr=0.1)
        state = optimizer.state[param]
        changes = {
            2: lambda: state.update(step=torch.tensor(1.0)),
            3: lambda: state.update(exp_avg=tensor(20, [Shard(0)])),
            4: lambda: state["exp_avg_sq"].mul_(2),
            5: lambda: setattr(param, "data", tensor(21, [Shard(0)])),
        }
        for step in range(8):
            changes.get(step, lambda: None)()
            param.grad = tensor(step + 1, [Shard(int(step == 6))])
            optimizer.step()
        return values([param, *state.values()])

    assert_same_run(run)


def test_differentiable_dtensors(pair):
    pair(differentiable)


def differentiable(rank):
    from torch.distributed.tensor import Shard

    def run(module):
        start = tensor(0, [Shard(0)]).requires_grad_()
        param = start.clone()
        optimizer = module.Adam([param], lr=0.1, differentiable=True)
        for step in range(2):
            param.grad = start * (step + 1)
            optimizer.step()
        param.square().sum().backward()
        return values([param, start.grad, *optimizer.state[param].values()])

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # that of the step count
    try:
        assert_same_run(run)
    finally:
        torch.set_default_dtype(before)


# The engine's own options


@pytest.mark.parametrize("wrap", ["sharded", "replicated"])
def test_clipping_in_the_step(pair, wrap):
    """The norm that `max_grad_norm` bounds is that of all shards: what `clip_grad_norm_` does."""
    pair(clipping, wrap)


def clipping(rank, wrap):
    def run(module, clip=None, **kwargs):
        model = sharded(network()) if wrap == "sharded" else nn.parallel.DistributedDataParallel(network())
        train(model, module.SGD(model.parameters(), lr=0.1, momentum=0.9, **kwargs), [rank], clip=clip)
        return values(model.parameters())

    assert_equal(run(optimbook, max_grad_norm=0.01), run(torch.optim, clip=0.01))


@pytest.mark.parametrize("wrap", ["sharded", "replicated"])
def test_chance_falls_alike_in_all_processes(pair, wrap):
    """Copies of a parameter that is rounded by chance stay copies, though the processes have generators of their own."""
    pair(rounding, wrap)


def rounding(rank, wrap):
    from torch.distributed.tensor import Replicate, distribute_tensor

    torch.manual_seed(rank)
    value = torch.ones(1000, dtype=torch.bfloat16)
    place = (lambda t: distribute_tensor(t, mesh(), [Replicate()])) if wrap == "sharded" else lambda t: t
    param = nn.Parameter(place(value))
    optimizer = optimbook.SGD([param], lr=1e-3, stochastic_rounding=True)
    for _ in range(STEPS):
        param.grad = place(value)
        optimizer.step()
    mine = (param.to_local() if wrap == "sharded" else param).detach()
    both = [torch.empty_like(mine) for _ in range(SIZE)]
    dist.all_gather(both, mine)
    assert both[0].unique().numel() > 1
    assert_equal(both[:1], both[1:])
