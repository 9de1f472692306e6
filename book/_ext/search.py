"""Search that knows the book's words: 学习率 is one word for it, and 余弦退火 too.

jieba cuts Chinese into words when the index is made, with the glossary's terms in its
dictionary; in the browser a question is cut along the words of that index.
"""

import logging
import re
from pathlib import Path

import jieba
import snowballstemmer
import yaml
from sphinx.search.zh import SearchChinese

OFTEN = 10**6  # so often that no other cut is likelier: 用高原来 is not 用高 and 原来 here
GLOSSARY = Path(__file__).parent.parent / "glossary.yml"

# Latin words as they are; Chinese by the longest known word first. What the index does
# not know is passed over, as the index itself does with single characters.
CUT_QUESTION = r"""
var splitQuery = (query) => {
  const words = query.match(/\p{Script=Han}+|[^\P{Letter}\p{Script=Han}]+[\p{Number}_]*|[\p{Number}_]+/gu) || [];
  const known = (word) => word in Search._index.terms || word in Search._index.titleterms;
  const cut = (text) => {
    const found = [];
    for (let start = 0; start < text.length; ) {
      let end = text.length;
      while (end > start + 1 && !known(text.slice(start, end))) end--;
      if (end > start + 1) found.push(text.slice(start, end));
      start = end;
    }
    return found.length ? found : [text];
  };
  return words.flatMap((word) => (/\p{Script=Han}/u.test(word) ? cut(word) : [word]));
};

// A formula stands in a page twice, drawn and for screen readers; an excerpt needs it once.
Search.wholeText = Search.htmlToText;
Search.htmlToText = (html, anchor) =>
  Search.wholeText(html.replace(/<span class="katex-mathml">.*?<\/math><\/span>/gs, ""), anchor);
"""


class BookSearch(SearchChinese):
    lang = "book"
    js_splitter_code = CUT_QUESTION

    def init(self, options):
        super().init(options)
        # The stemmer that the browser has: with another, "decay" is never found.
        self.stemmer = snowballstemmer.stemmer("porter")
        for word in chinese_words():
            jieba.add_word(word, OFTEN)


def chinese_words():
    for group in yaml.safe_load(GLOSSARY.read_text(encoding="utf8")):
        for term in group["terms"]:
            yield from re.findall(r"[\u4e00-\u9fff]{2,}", term["zh"])


def setup(app):
    jieba.setLogLevel(logging.WARNING)
    jieba.dt.tmp_dir = str(app.doctreedir)  # not the machine's shared folder
    app.add_search_language(BookSearch)
    app.connect("config-inited", use)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def use(app, config):
    config.html_search_language = BookSearch.lang
