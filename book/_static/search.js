// Searching the book: a dialog on every page, opened by its buttons, by "/" and by Ctrl-K or Cmd-K, and the search page.
// The index and what reads it (search/engine.js) are loaded when somebody first searches.
(() => {
  const root = document.documentElement.dataset.content_root;
  const chinese = document.documentElement.lang.startsWith("zh");
  const say = (zh, en) => (chinese ? zh : en);
  const SHOWN = 8;  // pages in the dialog
  const SECTIONS = 3;  // sections of a page

  const isComposing = (event) => event.isComposing || event.keyCode === 229;  // the key belongs to the input method

  let ready;
  const load = () => (ready ??= ["_static/search/minisearch.js", "searchindex.js", "_static/search/engine.js"].reduce(
    (before, path) => before.then(() => new Promise((resolve, reject) => {
      document.head.append(Object.assign(document.createElement("script"), { src: root + path, onload: resolve, onerror: reject }));
    })), Promise.resolve()).then(() => bookSearch.ready));

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  /** A field and its results below; `most` pages of them. The arrow keys walk through the results, and Enter opens one. */
  function search(most, changed = () => {}) {
    const label = say("搜索本书", "Search this book");
    const input = make("input", {
      type: "search", name: "q", placeholder: label, "aria-label": label, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      enterkeyhint: "search", role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "search-results",
    });
    const status = make("p", { class: "search-status", role: "status" });
    const list = make("div", { id: "search-results", role: "listbox", hidden: "", "aria-label": say("搜索结果", "Search results") });
    const form = make("form", { role: "search", action: `${root}search.html`, class: "search-form" }, input);
    const more = make("a", { class: "search-more", hidden: "" });
    let chosen = -1;

    const options = () => [...list.querySelectorAll("[role=option]")];
    function choose(place) {
      const all = options();
      all[chosen]?.setAttribute("aria-selected", "false");
      chosen = all.length ? (place + all.length) % all.length : -1;
      all[chosen]?.setAttribute("aria-selected", "true");
      all[chosen]?.scrollIntoView({ block: "nearest" });
      if (chosen < 0) input.removeAttribute("aria-activedescendant");
      else input.setAttribute("aria-activedescendant", all[chosen].id);
    }

    async function update() {
      const question = input.value;
      changed(question);
      const waits = setTimeout(() => (status.textContent = say("正在载入……", "Loading…")), 200);
      try {
        await load();
      } catch {
        status.textContent = say("索引无法载入。", "The index could not be loaded.");
        return;
      } finally {
        clearTimeout(waits);
      }
      if (question === input.value) draw(question.trim() ? bookSearch.find(question) : [], question.trim());
    }

    function draw(pages, question) {
      const shown = pages.slice(0, most);
      list.dataset.question = question;
      list.hidden = !shown.length;
      list.replaceChildren(...shown.flatMap((page) => page.sections.slice(0, SECTIONS).map((section, place) => option(page, section, place))));
      options().forEach((node, place) => (node.id = `search-result-${place}`));
      input.setAttribute("aria-expanded", String(!!shown.length));
      status.textContent = !question ? "" : pages.length ? say(`找到 ${pages.length} 页`, `${pages.length} page${pages.length > 1 ? "s" : ""} found`)
        : say(`没有找到“${question}”。试试别的词，或者用另一种语言。`, `Nothing found for “${question}”. Try other words, or the other language.`);
      more.hidden = pages.length <= shown.length;
      more.href = `${root}search.html?q=${encodeURIComponent(question)}`;
      more.textContent = say(`全部 ${pages.length} 页结果`, `All ${pages.length} pages`);
      list.scrollTop = 0;
      choose(0);
    }

    function option(page, section, place) {
      const title = make("span", { class: "search-title" }, place ? section.title : page.title);
      if (!place && section.title) title.append(make("span", { class: "search-section" }, section.title));
      const excerpt = make("span", { class: "search-excerpt" }, ...section.excerpt().map(([text, marked]) => (marked ? make("mark", {}, text) : text)));
      return make("a", { role: "option", "aria-selected": "false", tabindex: "-1", href: root + section.path, class: place ? "search-below" : "" }, title, excerpt);
    }

    input.addEventListener("keydown", (event) => {
      if (isComposing(event) || event.altKey || event.ctrlKey || event.metaKey) return;
      const steps = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (steps) choose(chosen + steps);
      else if (event.key === "Enter" && options()[chosen]) options()[chosen].click();
      else return;
      event.preventDefault();
    });
    input.addEventListener("input", update);
    list.addEventListener("pointermove", (event) => {
      const place = options().indexOf(event.target.closest("[role=option]"));
      if (place >= 0 && place !== chosen) choose(place);
    });
    return { input, form, parts: [form, status, list, more], update };
  }

  let dialog, field;
  function open() {
    if (field) return field.select();  // the search page has its own
    dialog ??= makeDialog();
    if (dialog.node.open) return;
    dialog.node.showModal();  // keeps the focus within, and gives it back on closing
    dialog.input.select();
    dialog.update();
  }

  function makeDialog() {
    const { input, form, parts, update } = search(SHOWN);
    const close = make("button", { type: "button", class: "search-close", "aria-label": say("关闭", "Close") }, "✕");
    form.append(close);
    const hint = make("p", { class: "search-hint", "aria-hidden": "true" }, make("kbd", {}, "↑"), make("kbd", {}, "↓"), say("选择", "choose"), make("kbd", {}, "Enter"), say("打开", "open"),
      make("kbd", {}, "Esc"), say("关闭", "close"));
    const node = make("dialog", { class: "book-search", "aria-label": say("搜索", "Search") }, ...parts, hint);
    close.addEventListener("click", () => node.close());
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || isComposing(event)) return;
      event.preventDefault();  // a search field would only empty itself
      node.close();
    });
    node.addEventListener("click", (event) => {
      if (event.target === node || event.target.closest("[role=option]")) node.close();  // outside of it, or a result on this very page
    });
    document.body.append(node);
    return { node, input, update };
  }

  function fillPage(place) {
    const { input, parts, update } = search(Infinity, (question) => {
      const query = question ? `?q=${encodeURIComponent(question)}` : "";
      history.replaceState(null, "", location.pathname + query);
    });
    place.append(...parts);
    field = input;
    input.value = new URLSearchParams(location.search).get("q") || "";
    input.focus();
    if (input.value) update();
  }

  const isTyping = (node) => node.isContentEditable || /^(input|textarea|select)$/i.test(node.tagName) && !/^(range|checkbox|radio|button)$/.test(node.type);

  // Before the theme's own listener, which opens its own field.
  window.addEventListener("keydown", (event) => {
    const combined = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    const slash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event.target);
    if (!combined && !slash) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    open();
  }, true);

  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-search]") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open();
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-search]").forEach((button) => {
      button.setAttribute("role", "button");
      button.setAttribute("aria-haspopup", "dialog");
    });
    const page = document.getElementById("search-page");
    if (page) fillPage(page);
  });
})();
