"""The words of a rendered page, as search shows them."""

import pytest

readable = pytest.importorskip("readable", reason="the book's requirements are not installed")

BODY = """\
<section id="adamw"><h1>AdamW<a class="headerlink" href="#adamw">#</a></h1>
<div class="passage"><p>Decay <span class="math"><span class="katex"><span class="katex-mathml"><math><semantics><mrow><msub><mi>θ</mi><mi>t</mi></msub>
</mrow><annotation encoding="application/x-tex">\\theta_t</annotation></semantics></math></span><span class="katex-html">θt</span></span></span>,
<img src="x.png"> at once. <a href="https://colab.research.google.com/x">Open in Colab</a></p></div>
<div class="formula"><math><mi>x</mi></math></div>
<section id="the-rule"><h2>The rule</h2><div class="highlight"><pre>lr = <b>1e-3</b></pre></div><p>One branch.</p>
<div class="cell_output"><p>0.123</p></div></section>
<p>After it.</p></section>
<dl><dt class="sig py" id="optimbook.AdamW">class optimbook.AdamW(params)</dt><dd><p>As in torch.</p></dd></dl>"""


def test_a_section_has_its_own_words():
    chapter, rule, entry = readable.sections(BODY)
    assert (chapter.anchor, chapter.title, chapter.text) == ("adamw", "AdamW", "Decay θₜ, at once. After it.")
    assert (rule.anchor, rule.title, rule.text, rule.code) == ("the-rule", "The rule", "One branch.", "lr = 1e-3")
    assert (entry.anchor, entry.title, entry.text) == ("optimbook.AdamW", "AdamW", "As in torch.")


def test_a_page_opens_with_its_first_paragraph():
    assert readable.opening(BODY) == "Decay θₜ, at once."
    assert readable.opening("<h1>Nothing</h1>") == ""


@pytest.mark.parametrize(("mathml", "text"), [
    ("<msub><mi>β</mi><mn>1</mn></msub>", "β₁"),
    ("<msubsup><mi>β</mi><mn>1</mn><mi>t</mi></msubsup>", "β₁ᵗ"),
    ("<msub><mi>θ</mi><mrow><mi>t</mi><mo>−</mo><mn>1</mn></mrow></msub>", "θₜ₋₁"),
    ("<msup><mi>e</mi><mrow><mo>−</mo><mi>λ</mi></mrow></msup>", "e^(−λ)"),
    ("<mover><mi>m</mi><mo>^</mo></mover>", "m\u0302"),
    ("<mfrac><mi>λ</mi><msqrt><mi>v</mi></msqrt></mfrac>", "λ/√v"),
    ("<mfrac><mi>λ</mi><mrow><mn>1</mn><mo>+</mo><mi>v</mi></mrow></mfrac>", "λ/(1+v)"),
    ("<mi>s</mi><mo>=</mo><mn>1</mn>", "s = 1"),
])
def test_a_formula_in_a_line(mathml, text):
    assert readable.formula(f'<math xmlns="http://www.w3.org/1998/Math/MathML"><mrow>{mathml}</mrow></math>') == text


def test_whole_sentences_where_they_fit():
    assert readable.first_sentences("短。", 10) == "短。"
    assert readable.first_sentences("第一句话。第二句话。第三句", 11) == "第一句话。第二句话。"
    assert readable.first_sentences("One sentence. Two sentences. Three", 30) == "One sentence. Two sentences."
    assert readable.first_sentences("word " * 20, 20) == "word word word word…"
