"""Parameter groups: what decays, which layer a parameter is in, its rate, and that schedulers and checkpoints keep it."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim import lr_scheduler as torchs

import optimbook
from optimbook import param_groups
from optimbook.param_groups import describe, split


class Block(nn.Module):
    def __init__(self, width=4, out=None):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, out or width)


class Stage(nn.Module):
    """Blocks, and a step to twice the width after them, as in a Swin."""

    def __init__(self, width, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.downsample = nn.Linear(width, 2 * width)


class Vision(nn.Module):
    """A vision transformer with the names of BEiT's."""

    def __init__(self, layers=3, width=4):
        super().__init__()
        self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.zeros(1, 5, width))
        self.patch_embed = nn.Conv2d(3, width, 2)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)

    def no_weight_decay(self):
        return {"pos_embed", "cls_token", "dist_token"}


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(4, 9)
        self.head.weight = self.embedding.weight


class Residual(nn.Module):
    """A block of a residual network; the first of a stage changes the width."""

    def __init__(self, width, out):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(width, out, 3), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3), nn.BatchNorm2d(out)
        self.downsample = nn.Sequential(nn.Conv2d(width, out, 1), nn.BatchNorm2d(out)) if width != out else None


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Residual(4, 4), Residual(4, 4))
        self.layer2 = nn.Sequential(Residual(4, 8), Residual(8, 8))
        self.layer3 = nn.Sequential(Residual(8, 16), Residual(16, 16), Residual(16, 16))
        self.fc = nn.Linear(16, 2)


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))


def cnn():
    convolutions = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(4, 2))


def decays(groups):
    """The weight decay of every name."""
    return {name: group["weight_decay"] for group in groups for name in group["param_names"]}


def layers(model, layers=None, layer_decay=0.5, lr=1.0):
    """The layer of every name, worked out from its rate, and L + 1."""
    groups = split(model, lr, 0.1, layer_decay=layer_decay, layers=layers)
    depths = {name: math.log(group["lr"] / lr, layer_decay) for group in groups for name in group["param_names"]}
    top = max(int(group["name"].split("_")[1]) + round(math.log(group["lr"] / lr, layer_decay)) for group in groups)
    return {name: top - round(depth) for name, depth in depths.items()}, top


def of(found, start):
    """The layers of all parameters whose names start so."""
    return {depth for name, depth in found.items() if name.startswith(start)}


MODELS = {
    "mlp": mlp, "cnn": cnn, "vision": Vision, "tied": Tied, "residual": ResNet,
    "transformer": lambda: nn.Transformer(8, 2, 2, 2, 8, batch_first=True),
    "weight norm": lambda: nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.ReLU(), weight_norm(nn.Linear(4, 2))),
    "shared": lambda: nn.ModuleList([shared := Block(), shared, Block()]),
}  # fmt: skip
models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


# Which parameters, and which decay


@models
@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_every_parameter_once(make, layer_decay):
    model = make()
    groups = split(model, 1e-3, 0.05, layer_decay=layer_decay)
    given = [p for group in groups for p in group["params"]]
    assert sorted(map(id, given)) == sorted(map(id, model.parameters()))
    assert [n for g in groups for n in g["param_names"]] == [next(n for n, q in model.named_parameters() if q is p) for p in given]
    assert len({group["name"] for group in groups}) == len(groups)
    for optimizer in (torch.optim.AdamW(copy.copy(groups)), optimbook.AdamW(copy.copy(groups))):
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(given)


def test_what_decays():
    assert decays(split(cnn(), weight_decay=0.1)) == {
        "0.weight": 0.1, "0.bias": 0, "1.weight": 0, "1.bias": 0, "3.weight": 0.1, "3.bias": 0, "4.weight": 0, "4.bias": 0,
        "6.weight": 0.1, "6.bias": 0}  # fmt: skip
    attention = decays(split(nn.MultiheadAttention(4, 2, add_bias_kv=True), weight_decay=0.1))
    assert [n for n, decay in attention.items() if decay] == ["in_proj_weight", "out_proj.weight"]  # bias_k has three dimensions
    scaled = nn.Linear(2, 2)
    scaled.gamma, scaled.temperature = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(()))
    assert decays(split(scaled, weight_decay=0.1)) == {"weight": 0.1, "bias": 0, "gamma": 0, "temperature": 0}
    lstm = decays(split(nn.LSTM(3, 4), weight_decay=0.1))
    assert [n for n, decay in lstm.items() if decay] == ["weight_ih_l0", "weight_hh_l0"]


class ChannelsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, 4, 1, 1))


class Gain(nn.LayerNorm):
    pass


class NormedLinear(nn.Linear):
    pass


@pytest.mark.parametrize("norm", [lambda: nn.LayerNorm((3, 4)), ChannelsNorm, lambda: Gain((2, 3)), lambda: nn.RMSNorm((2, 3))])
def test_norms_of_any_shape_do_not_decay(norm):
    assert set(decays(split(nn.Sequential(norm(), nn.Linear(4, 2)), weight_decay=0.1)).values()) == {0, 0.1}
    assert set(decays(split(norm(), weight_decay=0.1)).values()) == {0}


def test_a_normed_linear_decays():
    assert decays(split(NormedLinear(3, 2), weight_decay=0.1)) == {"weight": 0.1, "bias": 0}


def test_no_decay():
    model = Tied()
    assert decays(split(model, weight_decay=0.1))["embedding.weight"] == 0.1
    for asked in ("head.*", "embedding.weight", "*embed*", nn.Embedding):  # any of its names, or of its holders
        assert decays(split(model, weight_decay=0.1, no_decay=[asked]))["embedding.weight"] == 0
    assert decays(split(model, weight_decay=0.1, no_decay=["head.*"]))["layers.0.linear.weight"] == 0.1
    for asked in ("nothing.*", "Head.*", nn.Conv2d):
        with pytest.raises(ValueError, match="no_decay: .* matches no parameter of Tied"):
            split(model, no_decay=["head.*", asked])
    with pytest.raises(TypeError, match="no_decay must be a list of patterns and classes, and is 'head'"):
        split(model, no_decay="head")


class Swin(nn.Module):
    """Says by keywords what shall not decay, and has a part that says it by name."""

    def __init__(self):
        super().__init__()
        self.table, self.backbone = nn.Parameter(torch.zeros(3, 3)), Vision()

    def no_weight_decay_keywords(self):
        return {"tab"}


def test_models_that_say_what_decays():
    found = decays(split(Swin(), weight_decay=0.1))
    assert found["table"] == found["backbone.cls_token"] == found["backbone.pos_embed"] == 0 and found["backbone.patch_embed.weight"] == 0.1


def test_frozen_parameters_are_left_out():
    model = Vision()
    whole, _ = layers(model)
    model.blocks[:2].requires_grad_(False)
    model.patch_embed.requires_grad_(False)
    some, _ = layers(model)
    assert set(whole) - set(some) == {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all(whole[name] == depth for name, depth in some.items())  # the layers stay where they were
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="Vision has nothing to train: all of its 20 parameters are frozen"):
        split(model)


# The layers


def beit(name, layers):
    """The layer of a parameter of BEiT's, after its paper and published code."""
    if name in ("cls_token", "mask_token", "pos_embed") or name.startswith("patch_embed"):
        return 0
    return int(name.split(".")[1]) + 1 if name.startswith("blocks.") else layers + 1


@pytest.mark.parametrize("n", [1, 3, 12])
def test_as_beit(n):
    model = Vision(n)
    groups = split(model, lr=2e-3, weight_decay=0.05, layer_decay=0.65)
    for group in groups:
        for name, param in zip(group["param_names"], group["params"]):
            layer = beit(name, n)
            assert group["lr"] == pytest.approx(2e-3 * 0.65 ** (n + 1 - layer), rel=1e-12)
            bare = param.ndim <= 1 or name in ("cls_token", "pos_embed")
            assert group["weight_decay"] == (0 if bare else 0.05) and group["name"] == f"layer_{layer}_{'no_decay' if bare else 'decay'}"
    assert [int(group["name"].split("_")[1]) for group in groups] == sorted([*range(n + 2)] * 2)


def test_transformer():
    """The encoder and the decoder each end below the head; each norm behind them counts with the head."""
    found, top = layers(nn.Transformer(8, 2, 3, 2, 8, batch_first=True))
    assert top == 4 and [of(found, f"encoder.layers.{i}.") for i in range(3)] == [{1}, {2}, {3}]
    assert [of(found, f"decoder.layers.{i}.") for i in range(2)] == [{2}, {3}]
    assert of(found, "encoder.norm") == of(found, "decoder.norm") == {4}


def test_stages():
    """A ResNet's and a Swin's stages are counted block by block; what stands between two blocks goes with the first."""
    found, top = layers(ResNet())
    assert top == 8 and of(found, "conv1") == of(found, "bn1") == {0} and of(found, "fc") == {8}
    blocks = [f"layer{s}.{b}." for s, n in ((1, 2), (2, 2), (3, 3)) for b in range(n)]
    assert [of(found, block) for block in blocks] == [{i} for i in range(1, 8)]
    stages = nn.ModuleList([Stage(4, 2), Stage(8, 3), Stage(16, 1)])
    found, top = layers(nn.ModuleDict({"stem": nn.Linear(3, 4), "layers": stages, "head": nn.Linear(32, 2)}))
    assert top == 7 and of(found, "stem") == {0} and of(found, "head") == {7}
    assert [of(found, f"layers.0.blocks.{i}.") for i in range(2)] == [{1}, {2}] and of(found, "layers.0.downsample") == {2}
    assert [of(found, f"layers.1.blocks.{i}.") for i in range(3)] == [{3}, {4}, {5}] and of(found, "layers.1.downsample") == {5}
    assert of(found, "layers.2.blocks.0.") == {6} and of(found, "layers.2.downsample") == {7}


def test_nested_sequential():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Block(), Block()), nn.Sequential(Block(), Block()), nn.Linear(4, 2))
    found, top = layers(model)
    assert top == 5 and of(found, "0.") == {0} and of(found, "3.") == {5}
    assert [of(found, start) for start in ("1.0.", "1.1.", "2.0.", "2.1.")] == [{1}, {2}, {3}, {4}]
    model = nn.Sequential(nn.Linear(4, 4), *(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)), nn.Linear(4, 2))
    found, top = layers(model)
    assert top == 4 and [of(found, f"{i}.") for i in range(5)] == [{0}, {1}, {2}, {3}, {4}]


class Experts(nn.Module):
    """A block that holds more modules than there are blocks."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(Block() for _ in range(5))


def test_experts_are_no_layers():
    found, top = layers(nn.ModuleDict({"layers": nn.ModuleList(Experts() for _ in range(3)), "head": nn.Linear(4, 2)}))
    assert top == 4 and [of(found, f"layers.{i}.") for i in range(3)] == [{1}, {2}, {3}]


def test_small_stacks_are_no_layers():
    """A head that is itself a list of small blocks learns at the full rate."""
    model = nn.ModuleDict({"layers": nn.ModuleList(Block(16) for _ in range(4)), "heads": nn.ModuleList(Block(4, 2) for _ in range(6))})
    found, top = layers(model)
    assert top == 5 and of(found, "heads") == {5}
    model = nn.ModuleDict({"layers": nn.ModuleList(Block(8) for _ in range(6)), "decoder": nn.ModuleList(Block(12) for _ in range(2))})
    found, top = layers(model)
    assert top == 7 and of(found, "decoder") == {7}


def test_plain_modules():
    """Without repeated blocks each matrix or kernel begins a layer, from 0 to L + 1."""
    assert layers(mlp()) == ({f"{i}.{n}": depth for depth, i in enumerate((0, 2, 4)) for n in ("weight", "bias")}, 2)
    found, top = layers(cnn())
    assert top == 2 and [of(found, f"{i}.") for i in (0, 1, 3, 4, 6)] == [{0}, {0}, {1}, {1}, {2}]
    found, top = layers(MODELS["weight norm"]())
    assert top == 1 and of(found, "0.") == {0} and of(found, "2.") == {1}
    found, top = layers(nn.ModuleList([weight_norm(nn.Linear(3, 3)), nn.LayerNorm((2, 3)), weight_norm(nn.Linear(3, 3))]))
    assert top == 1 and of(found, "0.") == of(found, "1.") == {0} and of(found, "2.") == {1}
    assert set(layers(nn.Linear(2, 2))[0].values()) == {0} and split(nn.Linear(2, 2), 0.3, layer_decay=0.5)[0]["lr"] == 0.3


def test_shared_parameters_learn_at_their_lowest_rate():
    found, top = layers(Tied())
    assert "head.weight" not in found and found["embedding.weight"] == 0 and found["head.bias"] == top == 3
    found, top = layers(MODELS["shared"]())
    assert of(found, "0.") == {1} and of(found, "2.") == {2} and not of(found, "1.")


def test_hugging_face():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=8, vocab_size=11)
    model = transformers.BertForMaskedLM(config)  # its decoder is tied to its embedding
    found, top = layers(model)
    assert top == 4 and of(found, "bert.embeddings") == {0} and of(found, "cls") == {4} and "cls.predictions.decoder.weight" not in found
    assert [of(found, f"bert.encoder.layer.{i}.") for i in range(3)] == [{1}, {2}, {3}]
    model = transformers.BertForSequenceClassification(config)
    assert of(layers(model)[0], "classifier") == of(layers(model)[0], "bert.pooler") == {4}


GIVEN = {
    "modules": lambda m: list(m.blocks),
    "a part of the list": lambda m: m.blocks[:2],
    "names": lambda m: ["blocks.0", "blocks.1", "blocks.2"],
    "their list": lambda m: m.blocks,
    "the list's name": lambda m: "blocks",
    "mixed": lambda m: [m.blocks[0], "blocks.1", m.blocks[2]],
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_layers_that_are_given(given):
    model = Vision()
    found, top = layers(model, given(model))
    expected, whole = layers(model)
    if top == whole:
        assert found == expected
    else:  # the third block comes after the layers
        assert top == 3 and of(found, "blocks.2.") == {3} and of(found, "blocks.1.") == {2}


def test_layers_in_any_order_and_inside_each_other():
    found, top = layers(Vision(), ["blocks.2", "head", "blocks.0", "blocks.0.linear", "cls_token"])
    assert top == 6 and found["cls_token"] == 5 and of(found, "blocks.2") == {1} and of(found, "head") == {2}
    assert of(found, "blocks.0.norm") == {3} and of(found, "blocks.0.linear") == {4} and of(found, "blocks.1") == {4}


def test_twelve_blocks():
    """blocks.1 is not blocks.10."""
    found, _ = layers(Vision(12), [f"blocks.{i}" for i in range(12)])
    assert [of(found, f"blocks.{i}.") for i in range(12)] == [{i + 1} for i in range(12)]


def test_a_function_of_the_name():
    found, top = layers(Vision(), lambda name: 2 if name.startswith("head") else 0)
    assert top == 2 and of(found, "head") == {2} and of(found, "blocks") == {0}
    for wrong in (None, -1, 0.5):
        with pytest.raises(ValueError, match=r"layers\('cls_token'\) must be an int from 0, and is "):
            layers(Vision(), lambda name, wrong=wrong: wrong)


@pytest.mark.parametrize("given", [["blocks.7"], ["block"], "nothing", [nn.Linear(1, 1)], nn.ReLU(), []], ids=str)
def test_layers_that_are_not_there(given):
    with pytest.raises(ValueError, match="split: layers: "):
        layers(Vision(), given)


# The numbers


@pytest.mark.parametrize("arguments, message", [
    ({"layer_decay": 0.5}, "layer_decay needs lr"), ({"lr": 1, "layers": ["0"]}, "layers say nothing without a layer_decay"),
    *(({"lr": 1, "layer_decay": d}, "layer_decay must be above 0 and at most 1") for d in (0, -0.5, 1.01, math.nan)),
    *(({name: value}, f"{name} must be finite and not negative") for name in ("lr", "weight_decay") for value in (-1, math.inf, math.nan)),
], ids=str)  # fmt: skip
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=f"split: {message}"):
        split(mlp(), **arguments)


def test_bad_models():
    with pytest.raises(TypeError, match="model must be a torch.nn.Module"):
        split(mlp().parameters())
    with pytest.raises(ValueError, match="'weight' has no shape yet; call the model once before"):
        split(nn.LazyLinear(3))


def test_what_is_left_to_the_optimizer():
    groups = split(mlp())
    assert [set(group) for group in groups] == [{"name", "params", "param_names"}, {"name", "params", "param_names", "weight_decay"}]
    optimizer = optimbook.AdamW(groups, lr=0.3, weight_decay=0.2)
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [("decay", 0.3, 0.2), ("no_decay", 0.3, 0.0)]


def test_a_tensor_of_a_rate_is_not_shared():
    rate = torch.tensor(0.5)
    for layer_decay in (None, 0.5):
        rates = [group["lr"] for group in split(mlp(), rate, layer_decay=layer_decay)]
        assert len({r.data_ptr() for r in [rate, *rates]}) == len(rates) + 1 and rates[-1] == 0.5


# Training


def training(kind=optimbook.AdamW, layer_decay=0.5):
    torch.manual_seed(0)
    model = mlp()
    return model, kind(split(model, 0.1, 0.01, layer_decay=layer_decay))


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.linspace(-2, 2, 48).view(16, 3).sin()).square().sum().backward()
    optimizer.step()


SCHEDULERS = {
    "StepLR": lambda o: torchs.StepLR(o, 2, 0.3),
    "OneCycleLR": lambda o: torchs.OneCycleLR(o, [group["lr"] for group in o.param_groups], total_steps=20),
    "CosineAnnealingLR": lambda o: torchs.CosineAnnealingLR(o, 20),
    "our CosineAnnealingLR": lambda o: optimbook.lr_scheduler.CosineAnnealingLR(o, 20),
    "our LambdaLR": lambda o: optimbook.lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
    "ReduceLROnPlateau": lambda o: torchs.ReduceLROnPlateau(o, factor=0.5, patience=1),
}


@pytest.mark.parametrize("schedule", SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("kind", [optimbook.AdamW, torch.optim.SGD])
def test_schedulers_keep_the_ratios(schedule, kind):
    model, optimizer = training(kind)
    ratios = [group["lr"] / optimizer.param_groups[-1]["lr"] for group in optimizer.param_groups]
    assert ratios == [0.25, 0.25, 0.5, 0.5, 1, 1]
    scheduler, seen = schedule(optimizer), set()
    for _ in range(18):
        step(model, optimizer)
        scheduler.step(*([1.0] if isinstance(scheduler, torchs.ReduceLROnPlateau) else []))
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([ratio * rates[-1] for ratio in ratios], rel=1e-12)
        seen.add(rates[-1])
    assert len(seen) > 4


def test_a_step_moves_each_layer_by_its_rate():
    """The first step of Adam has the size of the rate."""
    model, optimizer = training(lambda groups: optimbook.Adam([{**group, "weight_decay": 0} for group in groups]))
    before = copy.deepcopy(model)
    step(model, optimizer)
    for i, rate in ((0, 0.025), (2, 0.05), (4, 0.1)):
        moved = (model[i].bias - before[i].bias).abs().max().item()
        assert moved == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("source", [optimbook.AdamW, torch.optim.AdamW])
@pytest.mark.parametrize("target", [optimbook.AdamW, torch.optim.AdamW])
def test_checkpoints(source, target):
    """A checkpoint keeps the names and the rates, and training goes on from it."""
    model, optimizer = training(source)
    other, resumed = training(target)
    step(model, optimizer)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for option in ("name", "param_names", "lr", "weight_decay"):
        assert [group[option] for group in optimizer.param_groups] == [group[option] for group in resumed.param_groups]
    step(model, optimizer)
    step(other, resumed)
    for a, b in zip(model.parameters(), other.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


# The table


def test_table():
    table = describe(split(mlp(), 0.1, 0.05, layer_decay=0.5))
    assert [row.lr for row in table] == [0.025, 0.025, 0.05, 0.05, 0.1, 0.1] and sum(row.parameters for row in table) == 46
    assert table[0] == param_groups.Row("layer_0_decay", 1, 12, 0.025, 0.05, ("0.weight",))
    assert str(table) == repr(table) == """\
group             tensors  parameters     lr  weight_decay  names
layer_0_decay           1          12  0.025          0.05  0.weight
layer_0_no_decay        1           4  0.025             0  0.bias
layer_1_decay           1          16   0.05          0.05  2.weight
layer_1_no_decay        1           4   0.05             0  2.bias
layer_2_decay           1           8    0.1          0.05  4.weight
layer_2_no_decay        1           2    0.1             0  4.bias
total                   6          46"""
    assert str(describe(split(mlp(), 0.1))).splitlines()[1].split(maxsplit=4) == ["decay", "3", "36", "0.1", "0.weight, 2.weight, … 1 more"]


def test_table_of_an_optimizer():
    model, optimizer = training()
    scheduler = torchs.StepLR(optimizer, 1, 0.1)
    step(model, optimizer)
    scheduler.step()
    assert [row.lr for row in describe(optimizer)][-1] == pytest.approx(0.01)
    assert describe(optimizer)[0].names == ("0.weight",)


def test_table_of_any_groups():
    one, two = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))
    assert describe([{"params": one, "lr": torch.tensor(0.5)}, {"params": [("two", two)]}]) == (
        param_groups.Row("group 0", 1, 3, 0.5, None, ()), param_groups.Row("group 1", 1, 4, None, None, ("two",)))  # fmt: skip
    assert describe(torch.optim.SGD([one, two], 0.1)) == (param_groups.Row("group 0", 2, 7, 0.1, 0, ()),)
    for wrong in (mlp(), [one], 3):
        with pytest.raises(TypeError, match="takes an optimizer or a list of parameter groups"):
            describe(wrong)
    with pytest.raises(TypeError, match="params of group 0 must be a list"):
        describe([{"params": mlp().parameters()}])
