"""Compiled kernels on disk: built once, found again by the next process.

What lies in the folder is loaded and run, so the folder must be the user's own: one that
somebody else owns or can write to is refused, never repaired.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path


class CannotBuild(RuntimeError):
    """There is no kernel, and why; the engine takes a slower path and says so."""


def folder():
    """The cache folder: ``$OPTIMBOOK_CACHE``, else ``optimbook`` in the user's cache folder.

    Raises:
        CannotBuild: it cannot be made, or is not the user's alone.
    """
    try:
        path = os.environ.get("OPTIMBOOK_CACHE")
        path = Path(path) if path else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optimbook"
    except RuntimeError as error:  # no HOME, and no such user
        raise CannotBuild(f"there is no cache folder: {error}") from error
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _ours(path)
    except OSError as error:
        raise CannotBuild(f"the cache folder {path} cannot be used: {error.strerror or error}") from error
    return path


def _ours(path):
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise CannotBuild(f"{path} is a symbolic link, and kernels are loaded only from a folder of your own")
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise CannotBuild(f"{path} belongs to another user, and kernels are loaded only from a folder of your own")
    if os.name == "posix" and status.st_mode & 0o022:
        raise CannotBuild(f"{path} can be written by others; make it yours alone with: chmod go-w {path}")


@cache
def compiler():
    """The C compiler's path: ``$CC``, else cc, gcc or clang.

    Raises:
        CannotBuild: there is none.
    """
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = name and shutil.which(name)
        if path:
            return os.path.realpath(path)
    raise CannotBuild("no C compiler was found (looked for $CC, cc, gcc, clang)")


@cache
def _flags():
    """Fast, and exact where it matters: no reordering of sums, infinities and NaN as IEEE has them."""
    native = ["-march=native", "-mprefer-vector-width=512"] if _x86() else ["-mcpu=native"]
    return ["-O3", *native, "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared"]


def _x86():
    return platform.machine().lower() in ("x86_64", "amd64", "i686")


@cache
def _machine():
    """What a native build depends on besides its source: the compiler and the processor's features."""
    path = compiler()
    status = os.stat(path)
    features = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass
    return repr((path, status.st_size, status.st_mtime_ns, platform.machine(), features, _flags()))


@cache
def library(source, *options):
    """The shared library built from C source, as `ctypes.CDLL`; compiled if no process did so before.

    Raises:
        CannotBuild: no compiler, no safe folder, or the compiler refuses the source.
    """
    path = path_of(source, *options)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CannotBuild(f"the kernel {path} cannot be loaded: {error}") from error


def path_of(source, *options):
    """The file of that library. Raises as `library`."""
    key = hashlib.sha256("\0".join([source, *options, _machine()]).encode()).hexdigest()[:32]
    path = folder() / f"{key}.so"
    try:
        if not path.exists():
            _compile(source, options, path)
        _ours(path)
    except OSError as error:
        raise CannotBuild(f"the kernel {path} cannot be built: {error}") from error
    return path


def _compile(source, options, path):
    """Builds beside the final name and renames: two processes may do so at once, and none sees half a file."""
    handle, half = tempfile.mkstemp(dir=path.parent, suffix=".so")
    os.close(handle)
    try:
        command = [compiler(), *_flags(), *options, "-x", "c", "-", "-o", half, "-lm"]
        done = subprocess.run(command, input=source, capture_output=True, text=True)
        if done.returncode:
            message = done.stderr.strip().splitlines()
            raise CannotBuild(f"the C compiler failed: {message[0] if message else done.returncode}")
        os.chmod(half, 0o700)
        os.replace(half, path)
    finally:
        Path(half).unlink(missing_ok=True)
