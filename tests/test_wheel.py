"""The wheel: it installs into an empty environment, needs torch alone, and with its `lab` extra a chapter runs there."""

import json
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHAPTER = ROOT / "book" / "algorithms" / "adam.ipynb"


def quiet(*command, **kwargs):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what a checkout has, so that nothing is left in the tree."""
    pytest.importorskip("setuptools", reason="building the wheel without the network needs setuptools here")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for file in (ROOT / "optimbook").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            target = source / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    quiet(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", *isolation(), "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


def isolation():
    """With a new enough setuptools here the build needs no network."""
    return ["--no-build-isolation"] if int(metadata.version("setuptools").split(".")[0]) >= 77 else []


def requirements(name):
    """What an installed distribution requires, without its extras."""
    return [r for r in metadata.requires(name) or [] if "extra ==" not in r]


def closure(names):
    """Distributions that are installed here, with all that they require."""
    found, todo = set(), [n.lower() for n in names]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            needed = requirements(name)
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        todo += [re.match(r"[\w.-]+", r)[0] for r in needed]
    return found


@pytest.fixture(scope="module")
def empty(wheel, tmp_path_factory):
    """An environment with the wheel, and nothing else but what `borrow` puts there."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(quiet(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    quiet(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel)
    return python, site


def borrow(site, names):
    """Links the distributions that are installed here, which a download would bring; the rest of this environment stays out."""
    for name in closure(names):
        for file in metadata.files(name) or []:
            top = file.parts[0]
            origin = Path(metadata.distribution(name).locate_file(top))
            if top not in ("..", "__pycache__") and origin.exists() and not (site / top).exists():
                (site / top).symlink_to(origin)


def fields(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith("METADATA"))
        return Parser().parsestr(archive.read(name).decode()), archive.namelist()


def test_metadata(wheel):
    """torch is the one dependency; nothing has an upper bound or a pin; licence, version and Python are said."""
    data, files = fields(wheel)
    import optimbook

    assert data["Name"] == "optimbook" and data["Version"] == optimbook.__version__ and data["Requires-Python"] == ">=3.10"
    needed = data.get_all("Requires-Dist")
    assert [re.match(r"[\w-]+", r)[0] for r in needed if "extra" not in r] == ["torch"]
    assert any("extra == 'lab'" in r or 'extra == "lab"' in r for r in needed)
    for requirement in needed:
        bounds = requirement.split(";")[0]
        assert not re.search(r"<|==|~=|!=", bounds), f"{requirement} has an upper bound"
    assert data["License-Expression"] == "MIT" and any(f.endswith("licenses/LICENSE") for f in files)


def test_contents(wheel):
    """All of the package's modules, and nothing of the tests or the book."""
    _, files = fields(wheel)
    ours = {str(f.relative_to(ROOT)) for f in (ROOT / "optimbook").rglob("*") if f.is_file() and "__pycache__" not in f.parts}
    assert {f for f in files if ".dist-info/" not in f} == ours


ALONE = """
import sys, warnings
warnings.simplefilter("ignore")

class Block:  # torch needs sympy, so that is there; it is kept from optimbook

    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if name.split(".")[0] == "sympy" and frame.f_globals["__name__"].startswith("optimbook"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
import torch
import optimbook
from optimbook import lr_scheduler, rule
param = torch.nn.Parameter(torch.ones(3))
for optim in (optimbook.SGD([param], momentum=0.9), optimbook.Adam([param]), optimbook.AdamW([param], foreach=True)):
    schedule = lr_scheduler.CosineAnnealingLR(optim, 5)
    for _ in range(3):
        param.grad = torch.ones(3)
        optim.step(), schedule.step()
print(optimbook.__file__, optimbook.Adam.rule.latex()[:15])
"""


def test_needs_torch_alone(empty, tmp_path):
    """Installed beside torch and what torch itself requires, without numpy and all others, everything but the lab works."""
    python, site = empty
    borrow(site, ["torch"])
    there = "import importlib.util as u; print([n for n in ('numpy', 'matplotlib', 'sklearn', 'IPython', 'pytest') if u.find_spec(n)])"
    assert quiet(python, "-I", "-c", there).strip() == "[]"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    out = quiet(python, "-I", "-c", ALONE, env=environment, cwd=tmp_path)
    assert str(site) in out and r"\begin{aligned}" in out


def test_a_chapter_runs_with_the_lab_extra(empty, wheel, tmp_path):
    """The first code cells of the Adam chapter, in order, against the installed wheel."""
    if not CHAPTER.exists():
        pytest.skip("the Adam chapter is not written yet")
    python, site = empty
    data, _ = fields(wheel)
    extra = [re.match(r"[\w-]+", r)[0] for r in data.get_all("Requires-Dist") if "lab" in r.partition(";")[2]]
    missing = [n for n in extra if not closure([n])]
    if missing:
        pytest.skip(f"not installed here, so it cannot be borrowed: {missing}")
    borrow(site, ["torch", *extra])
    cells = [c for c in json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"][:6]
    sources = ["".join(c["source"]) for c in cells]
    assert any("optimbook" in s for s in sources)
    runner = "import json, sys\nfrom IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
    runner += "for source in json.load(sys.stdin):\n    shell.run_cell(source).raise_error()\nimport optimbook; print('ran', optimbook.__file__)"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    out = quiet(python, "-I", "-c", runner, input=json.dumps(sources), env=environment, cwd=tmp_path)
    assert f"ran {site}" in out


def test_this_environment_is_not_the_wheels(empty):
    """The other tests import the checkout; these must not."""
    python, site = empty
    assert str(site) != sysconfig.get_path("purelib")
    assert str(site) in quiet(python, "-I", "-c", "import importlib.util as u; print(u.find_spec('optimbook').origin)")
