"""Every public class has a chapter, or stands in a list of those that wait for one."""

from . import coverage
from .notebooks import chapters, expect_none


def test_every_public_class_has_a_chapter():
    listed = coverage.listed(coverage.LIST.read_text(encoding="utf-8"))
    classes = coverage.public_classes()
    assert len(classes) >= 5
    expect_none(coverage.problems(classes, chapters(), listed, coverage.left()))
