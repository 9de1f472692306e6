// The switch keeps the place on the page and the question of the search page,
// and remembers the choice for the front page.
(() => {
  // What every edition of a page has, in the same order: a passage is .passage in one language and .pair in both.
  const SHARED = ".bd-article :is(h1, h2, h3, h4, .passage, .pair, .cell)";
  const MARK = "#place=";  // in the address only while one page hands over to the other: from files, nothing else is shared
  const NEAR = 0.4;  // of the window: how far down the eye looks for the beginning of a block

  /** The blocks of a page as [place among the shared elements, which block of how many in it, node]. */
  function blocks(lang) {
    return [...document.querySelectorAll(SHARED)].flatMap((shared, place) => {
      const passage = shared.matches(".pair") ? shared.querySelector(`:scope > [lang=${lang}]`) : shared;
      const own = passage.matches(".cell") || !passage.children.length || /^H/.test(passage.tagName) ? [passage] : [...passage.children];
      return own.map((node, child) => ({ place, child, of: own.length, node }));
    });
  }

  // Below the bar that stays at the top.
  const line = () => document.querySelector(".bd-header-article")?.getBoundingClientRect().bottom || 0;

  /** Where the reader is: the block that begins nearest the top of the window, or the one that fills it. */
  function here(lang) {
    const top = Math.max(0, line());
    const seen = blocks(lang).map((block) => ({ ...block, box: block.node.getBoundingClientRect() }))
      .filter(({ box }) => box.height && box.bottom > top);
    const begins = seen.find(({ box }) => box.top >= top - 8);
    if (begins && begins.box.top < innerHeight * NEAR) return { ...begins, by: Math.round(begins.box.top - top), part: 0 };
    const fills = seen[0];
    return fills && { ...fills, by: 0, part: (top - fills.box.top) / fills.box.height };
  }

  function follow(event) {
    const link = event.target.closest?.(".edition-switch a");
    if (!link) return;
    link.search = location.search;
    const lang = link.dataset.edition === "both" ? document.documentElement.lang.slice(0, 2) : link.dataset.edition;
    const found = scrollY > 0 && here(document.querySelector(".pair") ? lang : document.documentElement.lang.slice(0, 2));
    link.hash = found ? MARK + [found.place, found.child, found.of, found.by, found.part.toFixed(3), lang, location.hash.slice(1)].join(",") : location.hash;
    try {
      localStorage.setItem("edition", link.dataset.edition);
    } catch {
      // A browser that stores nothing still switches.
    }
  }
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", follow);

  if (!location.hash.startsWith(MARK)) return;
  const [place, child, of, by, part, lang, hash] = location.hash.slice(MARK.length).split(",");
  history.replaceState(null, "", location.pathname + location.search + (hash && `#${hash}`));
  document.documentElement.style.visibility = "hidden";  // nobody sees the top of the page first

  function arrive() {
    const there = blocks(lang).filter((block) => block.place === Number(place));
    const block = there[there.length === Number(of) ? child : Math.round((child / of) * there.length)] || there.at(-1);
    if (!block) return;
    for (let fold = block.node.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    const box = block.node.getBoundingClientRect();
    scrollBy({ top: box.top + part * box.height - Math.max(0, line()) - by, behavior: "instant" });
  }
  document.addEventListener("DOMContentLoaded", () => {
    arrive();
    document.documentElement.style.visibility = "";
    // Fonts and pictures that come later may move the text, unless the reader has moved it.
    let touched = false;
    for (const move of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(move, () => (touched = true), { once: true });
    addEventListener("load", () => touched || arrive());
    document.fonts.ready.then(() => touched || arrive());
  });
})();
