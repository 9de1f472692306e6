"""What each edition keeps of a cell."""

import json

import pytest

languages = pytest.importorskip("languages")

PASSAGE = """\
## 推导 · Derivation

<div lang="zh">

动量 $m_t$。

```python
# 注释 · comment
## 也不是标题 · not a heading
```

</div>

<div lang="en">

Momentum $m_t$.

</div>

$$
m_t = 1
$$
"""


def test_chinese_keeps_chinese_and_the_code_as_it_is():
    kept = languages.keep(PASSAGE, "zh")
    assert kept.startswith("## 推导\n")
    assert "动量 $m_t$。" in kept and "Momentum" not in kept
    assert kept.count("<div") == kept.count('<div class="passage">') == kept.count("</div>") == 1
    assert "# 注释 · comment\n## 也不是标题 · not a heading" in kept
    assert "m_t = 1" in kept


def test_english_keeps_english_without_the_code_of_the_other():
    kept = languages.keep(PASSAGE, "en")
    assert kept.startswith("## Derivation\n")
    assert "Momentum $m_t$." in kept and "动量" not in kept and "```" not in kept
    assert "m_t = 1" in kept


def test_both_pairs_the_passages():
    kept = languages.keep(PASSAGE, "both")
    assert kept.startswith("## 推导 · Derivation\n")
    pair = kept[kept.index('<div class="pair">'):kept.index("$$")]
    assert pair.index('<div lang="zh">') < pair.index('<div lang="en">')
    assert pair.count("<div") == pair.count("</div>") == 3
    assert "注释 · comment" in pair


def test_two_passages_in_one_cell_are_two_pairs():
    kept = languages.keep(f"{PASSAGE}\n{PASSAGE}", "both")
    assert kept.count('<div class="pair">') == 2


@pytest.mark.parametrize(("edition", "shown"), [("zh", "解答"), ("en", "Solution"), ("both", '解答 · <span lang="en">Solution</span>')])
def test_summaries_and_words_of_tables(edition, shown):
    assert f"<summary>{shown}</summary>" in languages.keep("<summary>解答 · Solution</summary>", edition)
    row = '| <span lang="zh">步</span> <span lang="en">step</span> |'
    words = {"zh": {"步"}, "en": {"step"}, "both": {"步", "step"}}[edition]
    assert {word for word in ("步", "step") if word in languages.keep(row, edition)} == words


def test_a_heading_in_one_language_shows_everywhere():
    assert {languages.keep("# AdamW", edition) for edition in languages.EDITIONS} == {"# AdamW"}


def test_a_section_has_one_anchor():
    assert languages.slug("推导 · The derivation, again") == "the-derivation-again"
    assert languages.slug("AdamW") == "adamw"
    assert languages.headings(PASSAGE) == ["推导 · Derivation"]


def test_alternative_text_reaches_the_image():
    cell = {"cell_type": "code", "source": "", "metadata": {"alt": {"zh": "图", "en": "picture"}}}
    source = json.dumps({"cells": [cell]})
    alts = {
        edition: json.loads(languages.keep_notebook(source, edition))["cells"][0]["metadata"]["mystnb"]["image"]["alt"]
        for edition in languages.EDITIONS
    }
    assert alts == {"zh": "图", "en": "picture", "both": "图 picture"}
