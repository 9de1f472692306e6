"""Has every public class its chapter? Those without stand in a list, to which none that has left it may return."""

import inspect
import subprocess
import sys

from .notebooks import BOOK, ROOT

sys.path.append(str(BOOK / "_ext"))  # where the relation stands, for the API reference too
from chapters import is_about  # noqa: E402

LIST = ROOT / "tests" / "without_chapter.txt"


def problems(classes, chapters, listed, left=frozenset()):
    """`classes` are public, `listed` are excused, `left` were excused once and got their chapter."""
    for cls in classes:
        chapter = chapter_of(cls, chapters)
        if chapter is None and cls.__name__ not in listed:
            yield f"{cls.__name__} has no chapter {module_name(cls)}.ipynb that names it"
        if chapter is not None and cls.__name__ in listed:
            yield f"{cls.__name__} has its chapter, {chapter}: take it off {LIST.name}"
    for name in sorted(listed - {cls.__name__ for cls in classes}):
        yield f"{LIST.name} names {name}, which is no public class"
    if listed & left:
        yield f"{LIST.name} names {sorted(listed & left)} again, which had a chapter"


def chapter_of(cls, chapters):
    return next((chapter for chapter in chapters if is_about(chapter.name, "\n".join(cell.source for cell in chapter.cells), cls)), None)


def module_name(cls):
    return cls.__module__.rpartition(".")[2]


def public_classes():
    """Every optimizer and scheduler that optimbook.optim and optimbook.lr_scheduler offer, but for torch's own."""
    from torch.optim import Optimizer, lr_scheduler

    import optimbook.lr_scheduler
    import optimbook.optim

    found = {}
    for module in (optimbook.optim, optimbook.lr_scheduler):
        for name, cls in inspect.getmembers(module, inspect.isclass):
            ours = cls.__module__.startswith(module.__name__ + ".")
            if ours and issubclass(cls, (Optimizer, lr_scheduler.LRScheduler, lr_scheduler.ReduceLROnPlateau)):
                found[name] = cls
    return list(found.values())


def listed(text):
    return {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}


def left():
    """The names that stood in the list once and were taken off it, as far as there is history to ask."""
    try:
        commits = git("log", "--reverse", "--format=%H", "--", LIST.relative_to(ROOT)).split()
        versions = [listed(git("show", f"{commit}:{LIST.relative_to(ROOT).as_posix()}")) for commit in commits]
    except (OSError, subprocess.CalledProcessError):
        return set()
    return {name for before, after in zip(versions, versions[1:]) for name in before - after}


def git(*arguments):
    command = ["git", "-C", ROOT, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
