"""The colours of figures hold for readers who see fewer of them."""

from itertools import combinations

import numpy as np
import pytest

style = pytest.importorskip("optimbook.lab.style", reason="the lab's extra is not installed")

# What who lacks one kind of cones sees, as matrices on linear RGB (Machado, Oliveira and Fernandes 2009,
# doi:10.1109/TVCG.2009.113, at severity 1).
EYES = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
# Oklab (Ottosson 2020, https://bottosson.github.io/posts/oklab/), in which distances are about as large as they look.
LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]])
OKLAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]])
APART = 0.05  # two and a half times what one just notices


def seen(color, eyes):
    """Where a colour lies in Oklab for these eyes."""
    srgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return OKLAB @ np.cbrt(LMS @ np.clip(EYES[eyes] @ linear, 0, 1))


def test_the_measure():
    assert seen("#ffffff", "all cones") == pytest.approx([1, 0, 0], abs=1e-3)
    for eyes in ("protanopia", "deuteranopia"):  # a red and a green that these confuse
        near, far = (np.linalg.norm(seen("#b35900", view) - seen("#6f7d00", view)) for view in (eyes, "all cones"))
        assert near < 0.7 * far


@pytest.mark.parametrize("eyes", EYES)
def test_colours_are_told_apart(eyes):
    for one, other in combinations((*style.PALETTE, style.GREY), 2):
        assert np.linalg.norm(seen(one, eyes) - seen(other, eyes)) > APART, (one, other)


@pytest.mark.parametrize("group", ["OPTIMIZERS", "SCHEDULES", "SERIES"])
def test_no_two_lines_look_the_same(group):
    """A family shares a colour; then the dashes differ, which everybody sees."""
    lines = list(getattr(style, group).values())
    assert len(set(lines)) == len(lines)
    assert {color for color, _ in lines} <= {*style.PALETTE, style.GREY}
