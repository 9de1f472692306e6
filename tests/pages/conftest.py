"""The book's own tools are scripts, not a package."""

import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[2] / "book"
sys.path[:0] = [str(BOOK / "_ext"), str(BOOK / "_tools")]
