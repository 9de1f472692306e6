"""Searching: every question leads to its chapter first, in either language, in every edition, from the keyboard alone."""

import re

import pytest
import yaml

from .conftest import EDITIONS, ROOT, SITE

HAN = re.compile(r"[\u4e00-\u9fff]")
LATEX = re.compile(r"\\[a-z]+|\$|[_^]\{")

CHAPTERS = {
    "schedulers/what_is_a_scheduler": ["学习率", "learning rate", "learning-rate", "lr", "LR", "调度器"],
    "schedulers/cosine_annealing_lr": ["余弦退火", "余弦", "余弦退", "cosine annealing", "Cosine Anneal", "CosineAnnealingLR", "cosineannealinglr", "余弦退火学习率", "anealing"],
    "schedulers/cosine_annealing_warm_restarts": ["warm restarts", "warm-restarts", "Warm Restart", "热重启", "SGDR", "CosineAnnealingWarmRestarts"],
    "schedulers/reduce_lr_on_plateau": ["ReduceLROnPlateau", "ReduceLROnPl", "reduce lr on plateau", "plateau"],
    "schedulers/warmup_lr": ["预热", "warmup", "learning-rate warmup"],
    "algorithms/adamw": ["权重衰减", "weight decay", "weight_decay", "weight dec", "AdamW", "adamw", "torch.optim.AdamW", "adam 权重衰减", "解耦权重衰减"],
    "algorithms/adam": ["Adam", "betas", "eps", "beta1", "自适应矩估计"],
    "algorithms/momentum": ["动量", "momentum"],
    "algorithms/nesterov": ["nesterov", "Nesterov 动量", "nestrov", "NAG"],
    "algorithms/lars": ["layer-wise", "layer wise", "大批量", "large-batch training"],
    "algorithms/sgd": ["SGD", "随机梯度下降"],
    "foundations/loss_landscapes": ["鞍点", "saddle point", "saddle points", "loss landscape"],
    "foundations/exponentially_weighted_averages": ["指数加权平均", "EMA"],
    "foundations/using_an_optimizer": ["梯度裁剪", "gradient clipping", "parameter groups"],
}


@pytest.fixture
def ask(visit):
    """``ask(edition, questions)``: the pages that each finds, best first, as the dialog has them."""

    def ask(edition, questions):
        page = visit(f"{edition}/intro.html")
        open_by(page, "/")
        type_in(page, "Adam")
        found = page.evaluate("questions => questions.map((question) => bookSearch.find(question).map((page) => page.path))", questions)
        assert page.problems == []
        return dict(zip(questions, found, strict=True))

    return ask


def open_by(page, key):
    page.keyboard.press(key)
    page.wait_for_selector("dialog.book-search[open]")


def type_in(page, question):
    page.locator("[role=combobox]").fill(question)
    page.wait_for_selector(f'#search-results[data-question="{question}"]', state="attached")


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_question_leads_to_its_chapter(ask, edition):
    wanted = {question: f"{path}.html" for path, questions in CHAPTERS.items() for question in questions}
    found = ask(edition, list(wanted))
    assert {question: pages[:3] for question, pages in found.items() if pages[:1] != [wanted[question]]} == {}


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_term_of_the_glossary_leads_to_its_chapter(ask, edition):
    groups = yaml.safe_load((ROOT / "book" / "glossary.yml").read_text(encoding="utf8"))
    terms = [term for group in groups for term in group["terms"]]
    wanted = {name: term.get("chapter") for term in terms for name in (term["zh"], term["en"], *term.get("also", []))}
    found = ask(edition, list(wanted))
    assert [name for name, pages in found.items() if not pages] == []
    assert {name: found[name][:2] for name, chapter in wanted.items() if chapter and found[name][0] != f"{chapter}.html"} == {}


def test_nothing_is_found_for_nonsense(visit):
    page = visit("zh/intro.html")
    open_by(page, "/")
    type_in(page, "量子色动力学")
    assert page.locator("#search-results a").count() == 0
    assert "没有找到" in page.locator(".search-status").inner_text()


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("question", ["bias correction", "权重衰减"])
def test_results_are_legible(visit, edition, question):
    page = visit(f"{edition}/search.html?q={question}")
    page.wait_for_selector("#search-results a")
    titles = page.locator("#search-results a:not(.search-below) .search-title").evaluate_all("all => all.map((title) => title.firstChild.data)")
    shown = page.locator(".bd-links a").all_inner_texts()
    assert len(titles) > 3 and set(titles) <= {title.strip() for title in shown} | {"优化之书", "OptimBook", "优化之书 · OptimBook"}
    texts = page.locator("#search-results a").all_inner_texts()
    assert not [text for text in texts if LATEX.search(text)]
    assert page.locator("#search-results mark").count() > 3
    assert page.locator("#search-results .search-section").count() > 0  # the section is named
    if edition == "en":
        assert not [text for text in texts if HAN.search(text) and "Glossary" not in text]
    assert page.problems == []


def test_the_keyboard_alone(visit, site):
    page = visit("en/algorithms/adamw.html")
    link = page.locator(".edition-switch a").first
    link.focus()
    open_by(page, "/")
    page.keyboard.type("warm/")  # a stroke in the field is a stroke
    assert page.locator("[role=combobox]").input_value() == "warm/"
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert link.evaluate("link => link === document.activeElement")  # the focus comes back
    open_by(page, "Control+k")
    page.keyboard.type("warm restarts")
    page.wait_for_selector('#search-results[data-question="warm restarts"] a')
    assert chosen(page) == 0
    page.keyboard.press("ArrowDown")
    assert chosen(page) == 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site}/en/schedulers/cosine_annealing_warm_restarts.html")
    assert page.problems == []


def chosen(page):
    """The place of the result that a screen reader is told of; it is the one that looks chosen."""
    told = page.locator("[role=combobox]").get_attribute("aria-activedescendant")
    return page.locator("#search-results [role=option]").evaluate_all(
        "(all, told) => all.findIndex((node) => node.id === told && node.getAttribute('aria-selected') === 'true')", told)


def test_the_dialog_is_announced_and_keeps_the_focus(visit):
    page = visit("zh/intro.html")
    button = page.locator("[data-search]:visible").first
    assert button.get_attribute("aria-haspopup") == "dialog" and "/" in button.get_attribute("aria-keyshortcuts")
    button.click()
    type_in(page, "动量")
    assert page.locator("dialog[aria-label=搜索] [role=status]").inner_text().startswith("找到")
    assert page.locator("[role=combobox]").get_attribute("aria-expanded") == "true"
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("!document.activeElement || document.activeElement === document.body || !!document.activeElement.closest('dialog')")


def test_a_key_in_a_field_of_the_page_is_no_command(visit):
    page = visit("zh/intro.html")
    page.evaluate("document.querySelector('.bd-article').prepend(document.createElement('textarea'))")
    page.locator("textarea").focus()
    page.keyboard.press("/")
    assert page.locator("textarea").input_value() == "/" and page.locator("dialog[open]").count() == 0


def test_the_index_is_loaded_when_somebody_searches(visit):
    page = visit("zh/intro.html")
    loaded = "performance.getEntriesByType('resource').filter((entry) => /searchindex|minisearch|engine/.test(entry.name)).length"
    assert page.evaluate(loaded) == 0
    open_by(page, "/")
    type_in(page, "动量")
    assert page.evaluate(loaded) == 3


def test_the_search_page_keeps_its_question(visit, site):
    page = visit("zh/search.html?q=动量")
    page.wait_for_selector('#search-results[data-question="动量"] a')
    type_in(page, "余弦")
    page.click(".edition-switch a[data-edition=en]")
    page.wait_for_url(f"{site}/en/search.html?q=*")
    page.wait_for_selector('#search-results[data-question="余弦"] a')
    assert page.locator("#search-results a").first.inner_text().startswith("CosineAnnealingLR")


def test_the_search_works_from_files(browser):
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")
    page = browser.new_page()
    page.goto(f"{(SITE / 'en' / 'algorithms' / 'adam.html').as_uri()}")
    open_by(page, "/")
    type_in(page, "权重衰减")
    page.keyboard.press("Enter")
    page.wait_for_url("**/en/algorithms/adamw.html")
    page.close()
