"""Parameter groups by rule: what is frozen is left out, gains and biases do not decay, and lower layers learn slower.

    groups = split(model, lr=1e-3, weight_decay=0.05, layer_decay=0.75)
    print(describe(groups))
    optimizer = optimbook.AdamW(groups)
"""

import math
import os.path
import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import nn

__all__ = ["split", "describe", "Row", "Table"]


def split(model, lr=None, weight_decay=None, *, layer_decay=None, layers=None, no_decay=()):
    r"""Parameter groups of a model, for any optimizer.

    Frozen parameters are left out, and shared ones stand once. There is no weight decay for

    - what has one dimension or none, and what is called a bias (``bias``, ``in_proj_bias``, ``bias_k``);
    - the parameters of a norm: a module whose class, or a base of it, is called ``...Norm``, ``...Norm2d``;
    - what ``no_weight_decay()`` or ``no_weight_decay_keywords()`` of the model or a part of it names, as timm's models do;
    - what ``no_decay`` names.

    With ``layer_decay`` :math:`\rho` every layer has its own rate. Layer :math:`l` of :math:`L` learns at
    :math:`\gamma\rho^{L+1-l}`; what comes before the layers (the embeddings) is layer 0, what comes after them (the last
    norm, the head) is layer :math:`L+1` and learns at :math:`\gamma`. The rate is the group's own ``lr``, so every
    scheduler that multiplies rates keeps their ratios; one that is told its rates, such as OneCycleLR, must be told these:
    ``max_lr=[group["lr"] for group in groups]``.

    The layers are found in the order in which the model defines its parts. They are the repeated blocks of a ``ModuleList``
    or ``Sequential``, of the one with the most parameters. Stages that differ in width (``layer1`` to ``layer4`` of a ResNet,
    the stages of a Swin) are counted block by block, one stage after the other. A second stack of about this size (the
    decoder of a Transformer, the other tower of CLIP) is counted by itself, so that each ends below the head. Where no
    blocks repeat, each module with a matrix or a kernel is a layer, the first being layer 0 and the last layer :math:`L+1`.
    What stands between two layers goes with the one before it. Look at the result with `describe`; ``layers`` overrules it.

    Args:
        model: any module.
        lr: the rate :math:`\gamma`, a number or a 1-element tensor, or None for the optimizer's.
        weight_decay: for what decays, or None for the optimizer's.
        layer_decay: :math:`\rho`, above 0 and at most 1, or None for one rate.
        layers: the layers from the bottom up, modules or names; or what holds them, a module or its name; or a function from
            a parameter's name to its layer, an int from 0, of which the highest learns at the full rate.
        no_decay: more without decay: patterns of names (``"*pos_embed"``) and classes of modules (``nn.Embedding``).

    Returns:
        A list of dicts from the lowest layer up, with ``name`` (``decay``, ``no_decay``, ``layer_3_decay``), ``params``,
        ``param_names`` and, unless they are left to the optimizer, ``lr`` and ``weight_decay``.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: nothing is to be trained, a number is out of its range, or a pattern or a layer matches nothing.

    Source: Bao et al. 2022 (BEiT), fine-tuning; before it Clark et al. 2020 (ELECTRA).
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"split: model must be a torch.nn.Module, and is {model!r}")
    _check(lr, weight_decay, layer_decay, layers)
    params, undecayed = _params(model), _undecayed(model, no_decay)
    depths, top = _depths(model, layers) if layer_decay is not None else ({}, 0)
    groups = {}
    for param, names in params.items():
        if param.requires_grad:
            depth = min((depths[name] for name in names if name in depths), default=None)
            key = depth, param in undecayed
            if key not in groups:
                rate = lr if lr is None else lr * (layer_decay or 1.0) ** (top - (depth or 0))
                groups[key] = _group(*key, lr=rate, weight_decay=0.0 if param in undecayed else weight_decay)
            groups[key]["params"].append(param)
            groups[key]["param_names"].append(names[0])
    if not groups:
        raise ValueError(f"split: {type(model).__name__} has nothing to train: all of its {len(params)} parameters are frozen")
    return [groups[key] for key in sorted(groups)]


def _check(lr, weight_decay, layer_decay, layers):
    for name, value in (("lr", lr), ("weight_decay", weight_decay)):
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"split: {name} must be finite and not negative, and is {value}")
    if layer_decay is None and layers is not None:
        raise ValueError("split: layers say nothing without a layer_decay")
    if layer_decay is not None and not 0 < layer_decay <= 1:
        raise ValueError(f"split: layer_decay must be above 0 and at most 1, and is {layer_decay}")
    if layer_decay is not None and lr is None:
        raise ValueError("split: layer_decay needs lr, the rate of the head")


def _params(model):
    """Every parameter with its names, of which a shared one has several."""
    params = {}
    for name, param in model.named_parameters(remove_duplicate=False):
        if isinstance(param, nn.parameter.UninitializedParameter):
            raise ValueError(f"split: {name!r} has no shape yet; call the model once before")
        params.setdefault(param, []).append(name)
    return params


def _group(depth, undecayed, **options):
    name = ("" if depth is None else f"layer_{depth}_") + ("no_decay" if undecayed else "decay")
    return {"name": name, "params": [], "param_names": [], **{n: value for n, value in options.items() if value is not None}}


# ------------------------------------------------------------------------------------------- weight decay

NORM = re.compile(r"Norm(\dd)?$")


def _undecayed(model, no_decay):
    """The parameters without weight decay."""
    if isinstance(no_decay, (str, type)):
        raise TypeError(f"split: no_decay must be a list of patterns and classes, and is {no_decay!r}")
    classes = [asked for asked in no_decay if isinstance(asked, type)]
    patterns = [asked for asked in no_decay if isinstance(asked, str)] + _own_patterns(model)
    used, undecayed = set(), set()
    for path, module in model.named_modules(remove_duplicate=False):
        for name, param in module.named_parameters(path, recurse=False, remove_duplicate=False):
            asked = [c for c in classes if isinstance(module, c)] + [p for p in patterns if fnmatchcase(name, p)]
            used.update(asked)
            if asked or param.ndim <= 1 or "bias" in name.rpartition(".")[2].split("_") or _is_norm(module):
                undecayed.add(param)
    for asked in no_decay:
        if asked not in used:
            raise ValueError(f"split: no_decay: {asked!r} matches no parameter of {type(model).__name__}")
    return undecayed


def _is_norm(module):
    return any(NORM.search(base.__name__) for base in type(module).__mro__)


def _own_patterns(model):
    """What the model and its parts ask for by the methods that timm's models have."""
    patterns = []
    for path, module in model.named_modules():
        for method, pattern in (("no_weight_decay", "{}{}"), ("no_weight_decay_keywords", "{}*{}*")):
            if callable(getattr(module, method, None)):
                patterns += [pattern.format(path and path + ".", name) for name in getattr(module, method)()]
    return patterns


# ------------------------------------------------------------------------------------------- the layer of each parameter


def _depths(model, layers):
    """Each parameter's layer, by name, and the highest layer."""
    if callable(layers) and not isinstance(layers, nn.Module):
        return _by_function(model, layers)
    stacks = _stacks(model) if layers is None else [_given(model, layers)]
    return _by_blocks(model, stacks) if stacks else _by_matrices(model)


def _by_function(model, function):
    depths = {name: function(name) for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, depth in depths.items():
        if not isinstance(depth, int) or depth < 0:
            raise ValueError(f"split: layers({name!r}) must be an int from 0, and is {depth!r}")
    return depths, max(depths.values(), default=0)


def _by_blocks(model, stacks):
    """Stacks are lists of paths; what is in none of them comes before, between or after the blocks of the stack nearest to it."""
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    top = 1 + max(map(len, stacks))
    depth = {block: top - len(stack) + i for stack in stacks for i, block in enumerate(stack)}
    start, depths = {}, {}
    for i, name in enumerate(names):
        start.setdefault(_inside(name, depth), i)
    for i, name in enumerate(names):
        block = _inside(name, depth)
        if block is None:
            near = [b for stack in _nearest(name, stacks) for b in stack]
            passed = [b for b in near if start[b] < i]
            block = max(passed, key=start.get, default=None) if len(passed) < len(near) else "after"
        depths[name] = {None: 0, "after": top, **depth}[block]
    return depths, top


def _inside(name, blocks):
    """The innermost of the blocks that holds this parameter, or None."""
    while name and name not in blocks:
        name = name.rpartition(".")[0]
    return name or None


def _nearest(name, stacks):
    shared = [len(os.path.commonprefix([name.split("."), stack[0].split(".")])) for stack in stacks]
    return [stack for stack, n in zip(stacks, shared) if n == max(shared)]


def _by_matrices(model):
    """Every module that holds a matrix or a kernel is a layer; the others go with the one before."""
    held, depths, top = {}, {}, -1
    for name, param in model.named_parameters():
        held.setdefault(name.rpartition(".parametrizations.")[0] or name.rpartition(".")[0], []).append((name, param))
    for path, params in held.items():
        if any(param.ndim > 1 for _, param in params) and not _is_norm(model.get_submodule(path)):
            top += 1
        depths.update((name, max(top, 0)) for name, _ in params)
    return depths, max(top, 0)


def _given(model, layers):
    """The paths of the layers that the caller names."""
    paths, modules = {m: path for path, m in model.named_modules()}, dict(model.named_modules())
    if isinstance(layers, (str, nn.Module)):
        holder = modules.get(layers) if isinstance(layers, str) else layers
        layers = [layers] if holder is None else [child for _, child in _children(holder) if _has_parameters(child)]
    found = [paths.get(layer) if isinstance(layer, nn.Module) else layer for layer in layers]
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    for layer, path in zip(layers, found):
        if path is None or not any(name == path or name.startswith(f"{path}.") for name in names):
            raise ValueError(f"split: layers: {layer!r} has no parameters in {type(model).__name__}")
    if not found:
        raise ValueError("split: layers: there is none")
    return found


# ------------------------------------------------------------------------------------------- finding the layers

CONTAINERS = (nn.Sequential, nn.ModuleList)


def _stacks(model):
    """The largest stack of blocks and those of about its size, each a list of paths; none where nothing repeats."""
    found = {}
    for path, blocks in _search(model, ""):
        found.setdefault(re.sub(r"\d+", "", path), []).extend(blocks)  # layer1 to layer4 are one
    sizes = [sum(p.numel() for block in stack for p in model.get_submodule(block).parameters()) for stack in found.values()]
    if not found:
        return []
    largest, length = max(zip(sizes, map(len, found.values())))
    return [stack for stack, size in zip(found.values(), sizes) if 4 * size >= largest and 2 * len(stack) >= length]


def _search(module, path):
    """All stacks in a module: the path of what holds one, and those of its blocks."""
    blocks = _blocks(module, path) if isinstance(module, CONTAINERS) else []
    if blocks:
        return [(path, blocks)]
    return [stack for name, child in _children(module) for stack in _search(child, f"{path}{name}.")]


def _blocks(container, path):
    """The blocks in a container, or the blocks in its stages if it holds stages; a lone module or a plain layer is none."""
    parts = [(path + name, child) for name, child in _children(container) if _children(child) and _has_parameters(child)]
    if not isinstance(container, nn.ModuleList):  # what stands alone at the ends of a Sequential is a stem or a head
        count = Counter(type(part) for _, part in parts)
        repeated = [i for i, (_, part) in enumerate(parts) if count[type(part)] > 1]
        parts = parts[repeated[0] : repeated[-1] + 1] if repeated else []
    inner = [] if _alike(parts) else [[block for _, blocks in _search(part, f"{p}.") for block in blocks] for p, part in parts]
    if any(inner):
        return [block for (p, _), blocks in zip(parts, inner) for block in blocks or [p]]
    return [p for p, _ in parts]


def _alike(parts):
    """Whether these are blocks, which repeat with most of their shapes; stages change in width."""
    last = {}
    for _, part in parts:
        shapes, kind = Counter(p.shape for p in part.parameters()), type(part)
        if kind in last and kind not in CONTAINERS and 2 * (shapes & last[kind]).total() > min(shapes.total(), last[kind].total()):
            return True
        last[kind] = shapes
    return False


def _children(module):
    return [(name, child) for name, child in module.named_children() if name != "parametrizations"]


def _has_parameters(module):
    return next(module.parameters(), None) is not None


# ------------------------------------------------------------------------------------------- the table


class Row(NamedTuple):
    """One parameter group.

    Attributes:
        name: the group's name.
        tensors: how many tensors it has.
        parameters: how many numbers they hold.
        lr: its rate, or None if it leaves that to the optimizer.
        weight_decay: its weight decay, or None likewise.
        names: the names of its tensors, as far as they are known.
    """

    name: str
    tensors: int
    parameters: int
    lr: float | None
    weight_decay: float | None
    names: tuple


class Table(tuple):
    """Rows of `describe`; as text it is aligned, and a column is ``[row.lr for row in table]``."""

    def __str__(self):
        lines = [("group", "tensors", "parameters", "lr", "weight_decay", "names")]
        lines += [(row.name, row.tensors, row.parameters, _number(row.lr), _number(row.weight_decay), _few(row.names)) for row in self]
        lines += [("total", sum(row.tensors for row in self), sum(row.parameters for row in self), "", "", "")]
        widths = [max(len(str(line[i])) for line in lines) for i in range(6)]
        return "\n".join(
            "  ".join(str(cell).rjust(w) if 0 < i < 5 else str(cell).ljust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
            for line in lines
        )

    __repr__ = __str__


def describe(groups):
    """A table of parameter groups and their rates.

    Args:
        groups: what `split` returned, any list of parameter groups, or an optimizer, whose rates are those of now.

    Returns:
        A `Table` of `Row` tuples, one for each group.

    Raises:
        TypeError: these are no groups, or their ``params`` can be read only once.
    """
    groups = getattr(groups, "param_groups", groups)
    if not isinstance(groups, (list, tuple)) or not all(isinstance(group, dict) for group in groups):
        raise TypeError(f"describe: takes an optimizer or a list of parameter groups, not {groups!r}")
    return Table(_row(i, group) for i, group in enumerate(groups))


def _row(i, group):
    params = [group["params"]] if isinstance(group["params"], torch.Tensor) else group["params"]
    if not isinstance(params, (list, tuple)):
        raise TypeError(f"describe: params of group {i} must be a list, and is {params!r}; describe the optimizer instead")
    names = group.get("param_names") or [p[0] for p in params if isinstance(p, tuple)]
    tensors = [p[1] if isinstance(p, tuple) else p for p in params]
    options = (None if group.get(n) is None else float(group[n]) for n in ("lr", "weight_decay"))
    return Row(group.get("name", f"group {i}"), len(tensors), sum(p.numel() for p in tensors), *options, tuple(names))


def _number(value):
    return "" if value is None else f"{value:.4g}"


def _few(names):
    return ", ".join(names[:2]) + (f", … {len(names) - 2} more" if len(names) > 2 else "")
