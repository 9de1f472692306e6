// What a question finds in the book: pages whose name it is, then sections by their words.
// MiniSearch ranks; the index is searchindex.js (book/_ext/search.py).
const bookSearch = (() => {
  const { pages, sections, terms } = bookSearchIndex;
  const WORD = /\p{Script=Han}+|(?:(?!\p{Script=Han})[\p{L}\p{M}\p{N}])+/gu;
  const HAN = /\p{Script=Han}/u;

  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const singular = (word) => (word.length < 4 ? word
    : word.replace(/ies$/, "y").replace(/(ch|sh|x|ss)es$/, "$1").replace(/([^s])s$/, "$1"));
  // "weight decay", "weight-decay" and "weight_decay" are one name.
  const key = (text) => (plain(text).match(WORD) || []).map(singular).join("");

  // Chinese has no spaces: two neighbouring characters are a word, and the last one alone.
  const pairs = (run) => [...run].map((character, place, all) => character + (all[place + 1] || ""));
  const capitals = (word) => word.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) || [];
  function wordsOfText(text) {
    return (text.normalize("NFKC").match(WORD) || []).flatMap((word) => {
      if (HAN.test(word)) return pairs(word);
      const parts = capitals(word);  // CosineAnnealingLR is found by annealing, too
      return [word, ...(parts.length > 1 ? parts.filter((part) => part.length > 1) : [])].map((part) => singular(part.toLowerCase()));
    });
  }

  const names = pages.map((page) => page.names.map(key));
  const termKeys = terms.map((both) => both.flat().map(key));
  const index = new MiniSearch({
    fields: ["names", "title", "also", "text", "code"],
    tokenize: wordsOfText,
    processTerm: (word) => word,
  });
  // In small portions, so that the field takes keys meanwhile.
  const ready = index.addAllAsync(sections.map((section, id) => {
    const page = pages[section.page];
    return {
      id,
      names: section.anchor ? page.title : page.names.join(", "),
      title: section.title || page.title,
      also: section.also.join(", "),
      text: section.text,
      code: section.code,
    };
  }), { chunkSize: 20 });

  // A run of Chinese is cut along the glossary's terms: 余弦退火学习率 is two of them.
  const chinese = terms.flatMap(([zh]) => zh).filter((term) => !/[^\p{Script=Han}]/u.test(term)).sort((a, b) => b.length - a.length);
  const alongTerms = new RegExp(`(${chinese.join("|")})`);
  const cut = (run) => run.split(alongTerms).filter((piece) => piece.length > 1 || piece === run);

  /** The words of a question, each with what it is looked up by. */
  function wordsOfQuestion(question) {
    const words = (plain(question).match(WORD) || []).flatMap((word) => (HAN.test(word) ? cut(word) : [word]));
    return words.map((text) => ({
      text,
      lookups: HAN.test(text) && text.length > 1 ? pairs(text).slice(0, -1) : [HAN.test(text) ? text : singular(text)],
    }));
  }

  function look(words, combineWith, fuzzy) {
    const last = words.at(-1);
    return index.search({
      combineWith,
      queries: words.map((word) => ({
        combineWith: "AND",
        queries: word.lookups,
        prefix: word === last || word.text.length === 1,  // it may be half typed
        fuzzy: !HAN.test(word.text) && word.text.length > 4 && fuzzy,
      })),
    }, {
      tokenize: (lookup) => [lookup],
      boost: { names: 6, title: 4, also: 2, text: 1, code: 0.5 },
      boostDocument: (id) => (pages[sections[id].page].minor ? 0.2 : 1),
    });
  }

  /** 2 if the question is a name of the page, 1 if it begins one, else 0. */
  function called(page, asked) {
    if (names[page].includes(asked)) return 2;
    const enough = HAN.test(asked) ? 1 : 2;
    return asked.length >= enough && names[page].some((name) => name.startsWith(asked)) ? 1 : 0;
  }

  /** The pages that a question finds, best first; each with its best sections. */
  function find(question) {
    question = question.trim().replace(/^(torch|optimbook)(\.optim)?(\.lr_scheduler|\.swa_utils)?\./, "");
    const words = wordsOfQuestion(question);
    if (!words.length) return [];
    let hits = look(words, "AND", false);
    if (!hits.length) hits = look(words, "AND", 0.2);
    if (!hits.length) hits = look(words, "OR", 0.2);
    const found = new Map();
    for (const { id, score, match } of hits) {
      const section = sections[id];
      // The title of its page helps a section, but is no reason to show it.
      if (section.anchor && Object.values(match).flat().every((field) => field === "names")) continue;
      if (!found.has(section.page)) found.set(section.page, { page: section.page, score, called: called(section.page, key(question)), sections: [] });
      found.get(section.page).sections.push(section);
    }
    const marks = marksOf(words);
    return [...found.values()]
      .sort((a, b) => b.called - a.called || b.score - a.score)
      .map((entry) => show(entry, marks));
  }

  function show({ page, called, sections: own }, marks) {
    // A page that is called so begins at its beginning.
    if (called) own = [...own].sort((a, b) => !!a.anchor - !!b.anchor);
    return {
      title: pages[page].title,
      path: pages[page].path,
      sections: own.map((section) => ({
        title: section.title,
        path: pages[page].path + (section.anchor && `#${section.anchor}`),
        excerpt: () => excerpt(section.text, marks),
      })),
    };
  }

  /** What to mark: the question's words, and their terms' names in the other language. */
  function marksOf(words) {
    const asked = key(words.map((word) => word.text).join(" "));
    const keys = new Set([asked, ...words.map((word) => key(word.text))]);
    const known = terms.filter((_, place) => termKeys[place].some((name) => keys.has(name)));
    const texts = [...words.map((word) => word.text), ...known.flat(2)].sort((a, b) => b.length - a.length);
    return new RegExp(texts.map((text) => (HAN.test(text) ? "" : "(?<![\\p{L}\\p{N}])") + text.replace(/[^\p{L}\p{N}]+/gu, "[\\s_-]+")).join("|"), "giu");
  }

  /** A line or two around the first word found, as [text, is it marked] pairs. */
  function excerpt(text, marks) {
    const first = Math.max(0, text.search(marks));
    const room = HAN.test(text.slice(first, first + 40)) ? 36 : 80;
    let start = Math.max(0, first - room);
    if (start) {
      const sentence = [...text.slice(start, first).matchAll(/[。！？；]|[.!?;] /g)].pop();
      start += sentence ? sentence.index + sentence[0].length : text.slice(start, first).indexOf(" ") + 1;
    }
    const part = text.slice(start, start + 2.5 * room);
    const pieces = [];
    let end = 0;
    for (const found of part.matchAll(marks)) {
      pieces.push([part.slice(end, found.index), false], [found[0], true]);
      end = found.index + found[0].length;
    }
    pieces.push([part.slice(end), false]);
    if (start) pieces.unshift(["… ", false]);
    if (start + part.length < text.length) pieces.push([" …", false]);
    return pieces.filter(([words]) => words);
  }

  return { find, ready };
})();
