"""Build the site: three editions beside each other, the front page, and what search engines read.

    python book/_tools/build.py [--toc FILE] [--output FOLDER]
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
ROOT = BOOK.parent
sys.path.insert(0, str(BOOK / "_ext"))

import whole_site  # noqa: E402
from languages import EDITIONS  # noqa: E402

# What no page asks for: maps of the theme's scripts, and all of its icons.
UNUSED = shutil.ignore_patterns("*.map", "fontawesome", ".buildinfo")


def main():
    options = parse_arguments()
    if options.edition:
        return build_edition(options.edition, options)
    import npm

    npm.install()  # before three builds would do it at once
    site = options.output / "html"
    for name in ("html", *EDITIONS):  # nothing stale: a build takes seconds
        shutil.rmtree(options.output / name, ignore_errors=True)
    # One process each: Sphinx and KaTeX's server keep state of their own.
    builds = [
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--edition", edition])
        for edition in EDITIONS
    ]
    if any([build.wait() for build in builds]):
        return "the book was not built: see the warnings above"
    for edition in EDITIONS:
        shutil.copytree(options.output / edition / "html", site / edition, ignore=UNUSED)
    copy_notebooks(options.toc, site / "notebooks")
    whole_site.write(site)
    print(f"\nThe book is built. Open  {(site / 'index.html').as_uri()}")


def copy_notebooks(toc, target):
    """The chapters' notebooks as they are, once for the three editions, for readers to take away."""
    from sphinx_external_toc.parsing import parse_toc_yaml

    for name in parse_toc_yaml(toc):
        source, copy = BOOK / f"{name}.ipynb", target / f"{name}.ipynb"
        if source.exists():  # a page that is made when the book is built has none
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def build_edition(edition, options):
    """What ``jupyter-book build -W --keep-going`` does, for one edition."""
    from jupyter_book.sphinx import build_sphinx

    result = build_sphinx(
        str(BOOK),
        str(options.output / edition / "html"),
        noconfig=True,
        path_config=str(ROOT / "_config.yml"),
        confoverrides={
            "external_toc_path": str(options.toc),
            "latex_individualpages": False,
            "edition": edition,
            "language": EDITIONS[edition].locale,
        },
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    return result if isinstance(result, int) else 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toc", type=Path, default=ROOT / "_toc.yml")
    parser.add_argument("--output", type=Path, default=ROOT / "_build")
    parser.add_argument("--edition", choices=EDITIONS, help="only this one")
    options = parser.parse_args()
    options.toc, options.output = options.toc.resolve(), options.output.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
