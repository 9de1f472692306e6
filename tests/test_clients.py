"""Training loops of others run with our classes as with torch's: they train, save, resume, and end at the same parameters."""

import functools
import os

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")

import pytest
import torch
from torch import nn

import optimbook

STEPS, CHANGE = 8, 4  # a checkpoint is taken after CHANGE steps
MODULES = {"torch": torch.optim, "ours": optimbook}
OPTIONS = [
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "fused": True}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"lr": 0.005, "centered": True}),
]

options = pytest.mark.parametrize("name, kwargs", OPTIONS, ids=str)


def assert_trains_and_resumes(run):
    """``run(whose, resume)`` trains with torch's classes or ours, from the start or from the checkpoint of an earlier run.

    It returns what became of the parameters, and where it saved them in the middle. One that resumes starts from other
    parameters, so that it can only end at the same ones if it loads the checkpoint.
    """
    (theirs, checkpoint_of_torch), (ours, checkpoint) = run("torch", None), run("ours", None)
    assert_equal(ours, theirs)
    assert_equal(run("ours", checkpoint)[0], theirs)
    assert_equal(run("ours", checkpoint_of_torch)[0], theirs)
    assert_equal(run("torch", checkpoint)[0], theirs)


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == torch.float64
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def values(model):
    return [p.detach().clone() for p in model.parameters()]


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)).double()


def batches():
    """Pairs (x, y), four to a batch, enough for one epoch of CHANGE steps."""
    x = torch.randn(4 * CHANGE, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    data = torch.utils.data.TensorDataset(x, x.sin().sum(1, keepdim=True))
    return torch.utils.data.DataLoader(data, batch_size=4)


# Hugging Face's Trainer


class Sentences(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, i):
        tokens = torch.randint(0, 32, (8,), generator=torch.Generator().manual_seed(i))
        return {"input_ids": tokens, "labels": tokens}


def language_model(seed):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32, n_positions=8)).double()


def hugging_face(folder, resume, model, options=None, **trainer):
    """Trains an epoch and a half, dropout and a shuffled order included; saves every CHANGE steps."""
    transformers = pytest.importorskip("transformers")
    arguments = transformers.TrainingArguments(
        **(options or {}),
        output_dir=str(folder), max_steps=STEPS, save_steps=CHANGE, per_device_train_batch_size=3, max_grad_norm=0.5,
        lr_scheduler_type="cosine", use_cpu=True, report_to=[], disable_tqdm=True, logging_strategy="no", seed=3)  # fmt: skip
    transformers.Trainer(model, arguments, train_dataset=Sentences(), **trainer).train(resume_from_checkpoint=resume)
    return values(model), str(folder / f"checkpoint-{CHANGE}")


@options
def test_trainer_is_given_the_optimizer_and_the_scheduler(tmp_path, name, kwargs):
    def run(whose, resume):
        model, module = language_model(bool(resume)), MODULES[whose]
        optimizer = getattr(module, name)(model.parameters(), **kwargs)
        scheduler = module.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=1e-4)
        return hugging_face(tmp_path / whose, resume, model, optimizers=(optimizer, scheduler))

    assert_trains_and_resumes(run)


@options
def test_trainer_is_given_the_class(tmp_path, name, kwargs):
    def run(whose, resume):
        model, given = language_model(bool(resume)), (getattr(MODULES[whose], name), kwargs)
        return hugging_face(tmp_path / whose, resume, model, optimizer_cls_and_kwargs=given)

    assert_trains_and_resumes(run)


def test_trainer_steps_a_plateau_scheduler_by_its_metric(tmp_path):
    def run(whose, resume):
        model, module = language_model(bool(resume)), MODULES[whose]
        optimizer = module.AdamW(model.parameters(), lr=0.01)
        scheduler = module.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1, threshold_mode="abs")
        evaluate = {"eval_strategy": "steps", "eval_steps": 2, "metric_for_best_model": "eval_loss"}
        ended = hugging_face(tmp_path / whose, resume, model, evaluate, eval_dataset=Sentences(), optimizers=(optimizer, scheduler))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)  # a tenth at all evaluations but the first
        return ended

    assert_trains_and_resumes(run)


# Lightning


def lightning(folder, resume, make):
    """Trains two epochs, with clipping; a checkpoint after the first."""
    L = pytest.importorskip("lightning")  # noqa: N806

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network(bool(resume))

        def training_step(self, batch, index):
            loss = nn.functional.mse_loss(self.network(batch[0]), batch[1])
            self.log("loss", loss, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return make(self.parameters())

    module = Module()
    saver = L.pytorch.callbacks.ModelCheckpoint(folder, filename="{step}", every_n_train_steps=CHANGE, save_top_k=-1)
    trainer = L.Trainer(
        max_steps=STEPS, accelerator="cpu", precision="64-true", gradient_clip_val=0.5, callbacks=[saver], default_root_dir=folder,
        logger=False, enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    L.seed_everything(4, verbose=False)
    trainer.fit(module, batches(), ckpt_path=resume)
    assert trainer.global_step == STEPS
    return values(module), folder / f"step={CHANGE}.ckpt"


quiet = pytest.mark.filterwarnings("ignore:::lightning")  # of folders that are not empty, and of Lightning's own old calls


@quiet
@options
def test_lightning(tmp_path, name, kwargs):
    def run(whose, resume):
        def make(params):
            module = MODULES[whose]
            optimizer = getattr(module, name)(params, **kwargs)
            scheduler = module.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=1e-4)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

        return lightning(tmp_path / whose, resume, make)

    assert_trains_and_resumes(run)


@quiet
def test_lightning_steps_a_plateau_scheduler_by_its_metric(tmp_path):
    ended = {}
    for whose, module in MODULES.items():
        optimizers = []

        def make(params, module=module, optimizers=optimizers):
            optimizers.append(module.AdamW(params, lr=0.01))
            scheduler = module.lr_scheduler.ReduceLROnPlateau(optimizers[0], patience=0, threshold=1e3, threshold_mode="abs")
            return {"optimizer": optimizers[0], "lr_scheduler": {"scheduler": scheduler, "monitor": "loss"}}

        ended[whose], _ = lightning(tmp_path / whose, None, make)
        assert optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3)
    assert_equal(ended["ours"], ended["torch"])


# Accelerate


@options
def test_accelerate(tmp_path, name, kwargs):
    accelerate = pytest.importorskip("accelerate")

    def run(whose, resume):
        """Trains four epochs, with two batches to a step and clipping; saves after the second."""
        accelerate.state.AcceleratorState._reset_state(True)
        accelerator, module = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2), MODULES[whose]
        model = network(bool(resume))
        optimizer = getattr(module, name)(model.parameters(), **kwargs)
        scheduler = module.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=1e-4)
        model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, batches(), scheduler)
        torch.manual_seed(5)
        if resume:
            accelerator.load_state(resume)
        for epoch in range(2 if resume else 0, 4):
            for x, y in loader:
                with accelerator.accumulate(model):
                    accelerator.backward(nn.functional.mse_loss(model(x), y))
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 0.5)
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
            if epoch == 1 and not resume:
                accelerator.save_state(tmp_path / whose)
        return values(accelerator.unwrap_model(model)), tmp_path / whose

    assert_trains_and_resumes(run)


# torch.compile


@pytest.mark.parametrize("name, kwargs", [*OPTIONS[:3], ("AdamW", {"lr": 0.01, "foreach": True})], ids=str)
def test_a_compiled_step(name, kwargs):
    """The engine is called as it is: nothing of it is traced, and a rate that changes compiles nothing anew."""
    torch.compiler.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    ended = []
    for module, compiled in ((torch.optim, lambda step: step), (optimbook, torch.compile)):
        model = network(0)
        optimizer = getattr(module, name)(model.parameters(), **kwargs)
        scheduler, step = module.lr_scheduler.CosineAnnealingLR(optimizer, STEPS), compiled(optimizer.step)
        for i, (x, y) in enumerate([*batches(), *batches()]):
            nn.functional.mse_loss(model(x), y).backward()
            if i % 3 == 1:
                model[0].bias.grad = None
            step()
            scheduler.step()
            optimizer.zero_grad()
        ended.append(values(model))
    assert_equal(*ended)
    assert counters["stats"]["unique_graphs"] == 0 and counters["graph_break"]


def test_a_compiled_training_step():
    """Forward and backward are traced, the optimizer and its closure between them."""
    torch.compiler.reset()

    def train(module, compiled):
        model = network(0)
        optimizer = module.AdamW(model.parameters(), lr=0.01)

        @compiled
        def step(x, y):
            def closure():
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(x), y)
                loss.backward()
                return loss

            return optimizer.step(closure)

        losses = [step(x, y) for x, y in batches()]
        return [loss.detach() for loss in losses] + values(model)

    assert_equal(train(optimbook, torch.compile(backend="aot_eager")), train(torch.optim, lambda step: step))


# torch.func


class Learner:
    """Two differentiable steps of training, as a function of the rate and of the parameters at the start."""

    def __init__(self, module, name, kwargs):
        self.optimizer, self.kwargs = getattr(module, name), kwargs
        self.model, (self.batch, *_) = network(0), batches()

    def loss(self, params):
        """Copies go to the model, since the step overwrites the parameters and autograd has saved them."""
        x, y = self.batch
        return (torch.func.functional_call(self.model, {n: p.clone() for n, p in params.items()}, x) - y).square().mean()

    def __call__(self, lr, start):
        params = {n: p.clone() for n, p in start.items()}
        optimizer = self.optimizer(params.values(), lr=lr, differentiable=True, **self.kwargs)
        for _ in range(2):
            grads = torch.func.grad(self.loss)(params)
            for n, param in params.items():
                param.grad = grads[n]
            optimizer.step()
        return self.loss(params)


LR, START = torch.tensor(0.1, dtype=torch.float64), {n: p.detach() for n, p in network(1).named_parameters()}
HARDER = [
    ("SGD", {"momentum": 0.9}),
    ("Adam", {"amsgrad": True}),
    ("NAdam", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("LAMB", {}),
]

harder = pytest.mark.parametrize("name, kwargs", HARDER, ids=str)


@pytest.fixture
def float64():
    """Number states take the default dtype, so float64 is seen only under a float64 default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name, kwargs", [("SGD", {}), ("Adam", {"weight_decay": 0.1}), ("AdamW", {}), ("RAdam", {})], ids=str)
def test_learning_to_learn(float64, name, kwargs):
    """The gradient of what training leads to, by the rate and by the parameters at its start, is torch's."""
    ours, theirs = (torch.func.grad(Learner(module, name, kwargs), argnums=(0, 1))(LR, START) for module in (optimbook, torch.optim))
    assert ours[0] != 0
    assert_equal([ours[0], *ours[1].values()], [theirs[0], *theirs[1].values()])


@harder
def test_learning_to_learn_where_torch_cannot(float64, name, kwargs):
    """torch overwrites what its own backward pass needs, so that finite differences must judge, backwards and forwards."""
    after, h = functools.partial(Learner(optimbook, name, kwargs), start=START), 1e-6
    slope = (after(LR + h) - after(LR - h)) / (2 * h)
    assert abs(slope) > 1e-3
    torch.testing.assert_close(torch.func.grad(after)(LR), slope, rtol=1e-7, atol=0)
    torch.testing.assert_close(torch.func.jvp(after, (LR,), (torch.ones_like(LR),))[1], slope, rtol=1e-7, atol=0)


@harder
def test_an_ensemble_trains_under_vmap(float64, name, kwargs):
    train = functools.partial(Learner(optimbook, name, kwargs), 0.01)
    members = [{n: p + i for n, p in START.items()} for i in range(3)]
    together = torch.func.vmap(train)({n: torch.stack([m[n] for m in members]) for n in START})
    torch.testing.assert_close(together, torch.stack([train(m) for m in members]), rtol=1e-12, atol=1e-12)
