"""The built site as one zip that works without a network: unpack it and open ``index.html``.

    python book/_tools/offline.py [--site FOLDER] [--output FILE]

Beside the three editions it holds the notebooks, the package's wheel and a note in both
languages. The same site gives the same bytes: names are sorted, and times are fixed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "optimbook"
WHEN = (1980, 1, 1, 0, 0, 0)  # the zip format's first day
PACKAGE = ("pyproject.toml", "README.md", "LICENSE", "optimbook")
PRELOAD = re.compile(rb'\s*<link rel="preload"[^>]*>')
NO_SITE = "make zip packs the built site, and found none: run `make book` first."

README = {
    "README.zh.txt": """\
OptimBook 离线版

解压整个压缩包，用浏览器打开 index.html 即可阅读，无需联网。
搜索、滑块和三个版本之间的切换都可以使用。

notebooks/  各章的 Jupyter 笔记本，各章之间的链接可以直接点开
wheels/     软件包。装好 PyTorch 之后：pip install --no-index --no-deps wheels/{wheel}
            各章还需要 matplotlib、numpy、scikit-learn、sympy 和 ipython

文字与图：CC BY 4.0。代码：MIT。
""",
    "README.txt": """\
OptimBook, to read offline

Unpack the whole archive and open index.html in a browser. No network is needed: search, the sliders and the switch
between the three editions all work.

notebooks/  the chapters as Jupyter notebooks, with working links between them
wheels/     the package. With PyTorch in place: pip install --no-index --no-deps wheels/{wheel}
            The chapters also need matplotlib, numpy, scikit-learn, sympy and ipython

Text and figures: CC BY 4.0. Code: MIT.
""",
}


def main():
    options = parse_arguments()
    if not (options.site / "index.html").exists():
        return NO_SITE
    with tempfile.TemporaryDirectory() as folder:
        pack(options.site, build_wheel(Path(folder)), options.output)
    print(f"{options.output}  {options.output.stat().st_size / 1e6:.1f} MB")


def pack(site, wheel, output):
    """Write the zip of a built site and a wheel."""
    entries = {file.relative_to(site).as_posix(): read(file) for file in site.rglob("*") if file.is_file()}
    entries[f"wheels/{wheel.name}"] = wheel.read_bytes()
    for name, text in README.items():
        entries[name] = text.format(wheel=wheel.name).encode("utf-8-sig")  # so that Windows reads the Chinese
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", WHEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, entries[name])


def read(file):
    """A file of the site; a page without its preloaded fonts, which browsers refuse a page from a disk."""
    content = file.read_bytes()
    return PRELOAD.sub(b"", content) if file.suffix == ".html" else content


def build_wheel(folder):
    """The package's wheel, from a copy of what a checkout has, so that nothing is left in the tree."""
    source = folder / "source"
    source.mkdir()
    for name in PACKAGE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    since = {"SOURCE_DATE_EPOCH": "315532800"}  # 1980, as above
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, env={**os.environ, **since})
    return next(folder.glob("*.whl"))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--output", type=Path, default=ROOT / "_build" / "optimbook-offline.zip")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
