"""The kernel cache: built once for all processes, by all at once if need be, private, and keyed by what it depends on."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import optimbook
from optimbook.engine import cache

ROOT = str(Path(optimbook.__file__).parents[1])
TRAIN = """
import torch, optimbook, optimbook.optim
param = torch.nn.Parameter(torch.ones(5))
for name in ("SGD", "AdamW"):
    optim = getattr(optimbook, name)([param], fused=True)
    param.grad = torch.ones(5)
    optim.step(), optim.step()
print([round(x, 5) for x in param.tolist()])
"""


@pytest.fixture
def compiler(tmp_path):
    """A compiler that counts its calls, and the environment that uses it."""
    real = os.environ.get("CC") or next((p for p in map(shutil.which, ("cc", "gcc", "clang")) if p), None)
    if not real:
        pytest.skip("no C compiler is installed")
    counting, log = tmp_path / "counting-cc", tmp_path / "calls"
    counting.write_text(f'#!/bin/sh\necho call >> {log}\nexec {real} "$@"\n')
    counting.chmod(0o755)
    log.write_text("")
    environment = os.environ | {"CC": str(counting), "OPTIMBOOK_CACHE": str(tmp_path / "kernels"), "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"}
    return environment, lambda: len(log.read_text().split())


def start(environment, script=TRAIN):
    return subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and not err, err
    return out


def test_the_second_process_builds_nothing(compiler, tmp_path):
    environment, calls = compiler
    first = finish(start(environment))
    built = calls()
    assert built >= 3  # two rules and what drives them
    assert finish(start(environment)) == first and calls() == built
    other = shutil.copy(tmp_path / "counting-cc", tmp_path / "other-cc")
    assert finish(start(environment | {"CC": str(other)})) == first and calls() == 2 * built, "another compiler builds anew"


def test_two_processes_at_once(compiler, tmp_path):
    environment, _ = compiler
    outputs = {finish(p) for p in [start(environment) for _ in range(2)]}
    assert len(outputs) == 1
    left = [p for p in (tmp_path / "kernels").iterdir() if p.suffix != ".so" or p.stem.startswith("tmp")]
    assert not left, "half-built files stay behind"


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.delenv("OPTIMBOOK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "optimbook"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder() == tmp_path / "home" / ".cache" / "optimbook"


def test_the_key_changes_with_source_and_options(compiler, monkeypatch, tmp_path):
    """Source, options and compiler each make another file; the same ones the same. All of it is the user's alone."""
    before = os.umask(0)  # even where everything may be read and written by all
    monkeypatch.setenv("OPTIMBOOK_CACHE", str(tmp_path / "keys"))
    source = "int answer(void) { return 42; }\n"
    libraries = [cache.library(s, *o) for s, o in ((source, ()), (source.replace("42", "43"), ()), (source, ("-DX=1",)), (source, ()))]
    os.umask(before)
    assert [built.answer() for built in libraries] == [42, 43, 42, 42]
    files = list((tmp_path / "keys").iterdir())
    assert len(files) == 3 and libraries[0] is libraries[3]
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700 and not any(f.stat().st_mode & 0o077 for f in files)


def test_a_library_of_somebody_else_is_not_loaded(compiler, tmp_path):
    """A kernel that others can write to is passed by, though the folder is private."""
    environment, _ = compiler
    finish(start(environment))
    for built in (tmp_path / "kernels").iterdir():
        built.chmod(0o777)
    process = start(environment)
    _, err = process.communicate(timeout=120)
    assert process.returncode and "can be written by others" in err


def test_a_kernel_builds_in_two_seconds(compiler, monkeypatch, tmp_path, capsys):
    """The largest of the package's kernels, compiled anew; the best of three, since the machine may be busy."""
    from optimbook.optim.adam import adam

    monkeypatch.setenv("OPTIMBOOK_CACHE", str(tmp_path / "timed"))
    source, times = adam.c(weight_decay=0.1, amsgrad=True, maximize=True), []
    for i in range(3):
        begin = time.perf_counter()
        cache.library(source + f"/* {i} */")
        times.append(time.perf_counter() - begin)
    with capsys.disabled():
        print(f"\na fused CPU kernel builds in {min(times):.2f} s", end=" ")
    assert min(times) < 2
