"""A table whose heads sort it: by mouse and by keyboard, numbers as numbers, and what is missing last."""

import pytest

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")

from optimbook.lab.results import sortable

ROWS = [("b", "110 ± 4", "beta2 0.95"), ("a", "– (0/5)", "alpha 0.9"), ("c", "20 ± 0", "rho 0.9"), ("d", "1.5e3", "momentum 0.8")]


def test_heads_sort(browser):
    page = browser.new_page()
    page.set_content(sortable(("name", "steps", "knob"), ROWS).html)
    names = lambda: "".join(page.locator("tbody th").all_inner_texts())  # noqa: E731
    heads = page.locator("thead button")
    assert names() == "bacd"
    heads.nth(1).click()
    assert names() == "cbda" and page.locator("thead th").nth(1).get_attribute("aria-sort") == "ascending"
    heads.nth(1).press("Enter")
    assert names() == "dbca" and page.locator("thead th").nth(1).get_attribute("aria-sort") == "descending"
    heads.nth(2).press("Space")
    assert names() == "abdc" and page.locator("thead [aria-sort]").count() == 1
    page.close()
