"""Whole optimizers by the Triton path, acted out on a CPU by Triton's interpreter (which must be chosen before Triton is imported)."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

SCRIPT = """
import sys, torch, optimbook
from optimbook.engine import cuda, members

members._get_capturable_supported_devices = lambda *a, **k: ["cpu"]  # the interpreter's device
launches = []
update = cuda.TritonKernel._update
cuda.TritonKernel._update = lambda self, *a: (launches.append(self), update(self, *a))

def run(cls, options):
    torch.manual_seed(1)
    params = [torch.randn(size).requires_grad_() for size in [(3,), (40, 50), (0,), (), (20000,)]]
    optimizer = cls([{"params": params[:2], "lr": 0.01}, {"params": params[2:]}], **options)
    noise = torch.Generator().manual_seed(3)
    for step in range(6):
        for i, param in enumerate(params):  # some miss their gradient, and fall behind in `step`
            param.grad = torch.randn(param.shape, generator=noise) if (i + step) % 3 else None
        optimizer.step()
    return params, optimizer

name, options, path = sys.argv[1], eval(sys.argv[2]), sys.argv[3]
expected, _ = run(getattr(torch.optim, name), {k: v for k, v in options.items() if k != "capturable"})
params, optimizer = run(getattr(optimbook, name), options)
kernels = [type(kernel).__name__ for plan in optimizer._plans.values() for kernel in plan.kernels]
assert set(kernels) == {path}, kernels
assert len(launches) == 6, "one launch a step"
for a, b in zip(expected, params):
    torch.testing.assert_close(a, b, rtol=2e-6, atol=2e-6)
"""


@pytest.mark.parametrize(
    "name, options, path",
    [
        ("SGD", "{'momentum': 0.9, 'nesterov': True, 'weight_decay': 0.1}", "Kernels"),
        ("AdamW", "{'amsgrad': True}", "Kernels"),
        ("Adam", "{'capturable': True, 'maximize': True}", "DeviceKernels"),
        ("AdamW", "{'capturable': True, 'lr': torch.tensor(1e-3)}", "DeviceKernels"),
    ],
)
def test_optimizers(name, options, path):
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, name, options, path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
