"""What axe-core finds wrong with a page.

A chapter holds thousands of elements that are alike, the letters of formulas and the words of
code. Axe takes seconds for them, so that one of each kind stays.
"""

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]

# Solutions and hidden code are opened; a tooltip where the mouse was left is no part of the page.
# Of formulas two stay; of the words of code, one of each kind in each kind of block.
SIMPLIFY = """() => {
  document.querySelectorAll("details").forEach((node) => { node.open = true; });
  [...document.querySelectorAll(".katex")].slice(2).forEach((formula) => formula.replaceChildren("x"));
  const seen = new Set();
  document.querySelectorAll("pre span[class]").forEach((word) => {
    const kind = word.className + word.closest("pre").parentElement.className + !!word.closest(".cell_output");
    seen.has(kind) ? word.replaceWith(...word.childNodes) : seen.add(kind);
  });
  const still = document.createElement("style");
  still.textContent = "*, ::before, ::after { transition: none !important; animation: none !important; content-visibility: visible !important; } body > .tooltip { display: none; }";
  document.head.append(still);
}"""

# The theme's script lets the keyboard reach what has to be scrolled, some time after the window has changed.
SETTLE = """async (theme) => {
  document.documentElement.dataset.theme = theme;
  const soon = (time) => new Promise((done) => requestAnimationFrame(() => setTimeout(done, time)));
  const late = () => [...document.querySelectorAll("pre[tabindex='-1']")].some((node) => node.scrollWidth > node.clientWidth);
  await soon(400);
  for (let tries = 0; late() && tries < 50; tries++) await soon(100);
}"""

RUN = """(only) => axe.run(document, { runOnly: only, resultTypes: ["violations"] }).then((found) =>
  found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} (${node.failureSummary})`)))"""


EVERY, COLOUR = {"type": "tag", "values": TAGS}, {"type": "rule", "values": COLOURS}
WAYS = ((1440, "light", EVERY), (1440, "dark", COLOUR), (390, "light", EVERY))  # how a page is looked at


def violations(page, ways=WAYS) -> list:
    """Rules that the page breaks: wide in light and (colours only) in dark, and narrow."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(SIMPLIFY)
    page.evaluate(Axe().axe_script)
    found = []
    for width, theme, rules in ways:
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(SETTLE, theme)
        found += [f"{width} {theme} {line}" for line in page.evaluate(RUN, rules)]
    return found
