"""The table of pages: what they move, when they stand, whether they jump, what axe finds.

    python -m benchmarks.pages [--loads N] [PAGE ...]

A page is named with its edition, ``zh/algorithms/adam``. The two times are those of
``tests/browser/slow.py``: by the clock at a quarter of the processor, and the page's own part.
"""

import argparse
import shutil

from tests.browser import axe, slow
from tests.browser.conftest import BROWSERS, QUIET, SITE

PAGES = ["zh/intro", "zh/algorithms/adam", "en/algorithms/nesterov", "both/algorithms/adamw", "both/scale/zero"]
HEAD = f"{'page':28}{'kB':>6}{'pictures kB':>13}{'ms':>7}{'own ms':>8}{'shift':>8}{'axe':>5}"


def main():
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", default=PAGES)
    parser.add_argument("--loads", type=int, default=5, help="of which the best counts")
    options = parser.parse_args()
    path = next(filter(None, map(shutil.which, BROWSERS)))
    print(HEAD)
    with sync_playwright() as driver, slow.serve(SITE) as address:
        browser = driver.chromium.launch(executable_path=path, args=QUIET)
        for name in options.pages:
            print(row(browser, f"{address}/{name}.html", name, options.loads), flush=True)


def row(browser, address, name, loads):
    slowed = [slow.load(browser, address, slow.SLOWER) for _ in range(loads)]
    own = min(slow.load(browser, address).blame for _ in range(loads))
    page = browser.new_page()
    page.goto(address)
    broken = len(axe.violations(page))
    pictures = page.evaluate(PICTURES) / 1000
    page.close()
    clock, shift = min(load.clock for load in slowed), max(load.shift for load in slowed)
    return f"{name:28}{slowed[0].words / 1000:6.0f}{pictures:13.0f}{clock:7.0f}{own:8.0f}{shift:8.3f}{broken:5}"


PICTURES = """async () => {
  const all = [...document.querySelectorAll("img")].map((image) => image.src);
  const sizes = await Promise.all(all.map(async (address) => (await (await fetch(address)).blob()).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}"""

if __name__ == "__main__":
    main()
