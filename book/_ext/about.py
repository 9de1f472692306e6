"""What the book says of itself: read from CITATION.cff, _config.yml and git, and nowhere else."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from languages import pick

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Book:
    name: str
    subtitle: str  # 中文 · English
    authors: tuple
    version: str
    date: str  # 2026-11-21
    licences: tuple
    keywords: tuple
    repository: str
    branch: str
    folder: str  # of the chapters in the repository
    address: str  # of the site
    commit: str  # empty where there is no git

    def title(self, edition):
        """`OptimBook: …` in the edition's language."""
        colon = ": " if edition == "en" else "："
        return f"{self.name}{colon}{pick(self.subtitle, edition)}"


def read():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    repository = config["repository"]
    return Book(
        name=config["title"],
        subtitle=config["sphinx"]["config"]["subtitle"],
        authors=tuple(author["name"] for author in citation["authors"]),
        version=str(citation["version"]),
        date=str(citation["date-released"]),
        licences=tuple(citation["license"]),
        keywords=tuple(citation["keywords"]),
        repository=repository["url"],
        branch=repository["branch"],
        folder=repository["path_to_book"],
        address=config["html"]["baseurl"],
        commit=commit(),
    )


def commit():
    try:
        command = ["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
