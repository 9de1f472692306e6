"""The playground in a real browser: its arithmetic is Python's, and a reader reaches all of it, by whatever means."""

import re
import statistics

import numpy
import pytest

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")

from optimbook.lab.playground.optimizers import OPTIMIZERS, knobs
from optimbook.lab.playground.rates import RATES
from optimbook.lab.playground.schedules import SCHEDULES
from optimbook.lab.playground.setting import MOST, Setting, read
from optimbook.lab.playground.surfaces import SURFACES

from .conftest import ROOT
from .test_pages import HAN, markdown

PAGE = "guide/playground"
LINKS = list(dict.fromkeys(re.findall(r'href="(#playground\?[^"]+)"', markdown(PAGE))))
CHAPTERS = {"algorithms/momentum": "rosenbrock", "foundations/loss_landscapes": "saddle"}


@pytest.fixture
def widget(visit):
    """``widget("en", link)`` opens the page with everything at rest, since the reader wants no motion."""

    def open_(edition="en", link="", path=PAGE, **options):
        page = visit(f"{edition}/{path}.html{link}", **{"reduced_motion": "reduce", **options})
        page.set_default_timeout(90_000)  # of a machine that is busy with other tests
        page.wait_for_function("document.querySelector('.ob-play').playground")
        return page

    return open_


def inside(page, what):
    return page.evaluate(f"document.querySelector('.ob-play').playground.{what}")


def set_by_link(page, link):
    """As when a reader follows a link on the page."""
    change(page, lambda: page.evaluate("link => { location.hash = link; }", link))


def change(page, act):
    """Do what changes the address, and wait until the page has heard of it."""
    page.evaluate("() => { window.changed = new Promise((done) => addEventListener('hashchange', done, {once: true})); }")
    act()
    page.evaluate("() => window.changed.then(() => true)")


def still(page):
    """The pixels of both pictures once they stand still."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("[...document.querySelectorAll('.ob-play canvas')].map(canvas => canvas.toDataURL()).join()")


# --- arithmetic -----------------------------------------------------------------------------------


def sensitive(setting, points):
    """Whether a path turns a rounding error into something else, so that no two machines agree on it: we nudge its start."""
    start = tuple(x * (1 + 1e-14) + 1e-14 for x in points[0])
    (nudged,) = Setting(setting.runs, setting.surface, start, setting.steps, setting.schedule, setting.noise, setting.seed).paths()
    return not numpy.allclose(nudged, points, rtol=1e-10, atol=1e-10)


def converging(name, surface):
    """A setting whose path converges: at the rate that the playground begins with, or at a smaller one."""
    for lr in (RATES[surface][name] / k for k in (1, 2, 5, 10, 20, 50)):
        if lr < knobs(name)["lr"].low:
            break
        setting = Setting([(name, {"lr": lr})], surface, steps=200)
        (points,) = setting.paths()
        if numpy.isfinite(points).all() and not sensitive(setting, points):
            return setting, points
    raise AssertionError(f"no rate was found at which {name} converges on {surface}")


def test_every_path_is_pythons(widget):
    """Every optimizer on every surface, six at a time."""
    page = widget()
    for surface in SURFACES:
        walks = [(name, *converging(name, surface)) for name in OPTIMIZERS]
        for first in range(0, len(walks), MOST):
            some = walks[first : first + MOST]
            runs = "&".join(f"run={name},lr:{setting.runs[0][1]['lr']!r}" for name, setting, _ in some)
            set_by_link(page, f"#playground?surface={surface}&steps=200&{runs}")
            found = inside(page, "tracks.map(track => track.points)")
            assert len(found) == len(some)
            for (name, _, points), track in zip(some, found):
                assert len(track) == 201
                assert numpy.allclose(track, points, rtol=1e-9, atol=1e-9), (name, surface)
    assert page.problems == []


def test_every_schedule_and_the_noise_are_pythons(widget):
    page = widget()
    for schedule in SCHEDULES:
        knobs = "".join(f",{name}:{(knob.low + 2 * knob.high) / 3:.0f}" if knob.high > 1 else f",{name}:{knob.high / 3:.3f}"
                        for name, knob in SCHEDULES[schedule].knobs.items() if name != "gamma")  # fmt: skip
        link = f"#playground?surface=valley&steps=150&noise=0.7&seed=5&schedule={schedule}{knobs}&run=Momentum,lr:0.005&run=Adam,lr:0.05"
        set_by_link(page, link)
        for track, points in zip(inside(page, "tracks.map(track => track.points)"), read(link).paths(), strict=True):
            assert numpy.allclose(track, points, rtol=1e-9, atol=1e-9), schedule


def test_every_knob_does_what_it_does_in_python(widget):
    """Each knob is moved by the keyboard; the path is then that of `lab.path` with the number that the knob shows."""
    page = widget()
    for name in OPTIMIZERS:
        set_by_link(page, f"#playground?surface=ravine&steps=40&schedule=LinearDecayLR&run={name},lr:0.02")
        for index, key in enumerate(knobs(name)):
            page.locator(f".ob-p-own input[data-name={key}]").focus()
            for _ in range(3):
                page.keyboard.press("ArrowLeft" if index % 2 else "ArrowRight")
        numbers = inside(page, "setting.runs[0].numbers")
        assert sum(numbers[key] != knob.value for key, knob in knobs(name).items()) >= len(numbers) / 2, numbers
        (points,) = Setting([(name, numbers)], "ravine", steps=40, schedule=("LinearDecayLR", {})).paths()
        assert numpy.allclose(inside(page, "tracks[0].points"), points, rtol=1e-9, atol=1e-9), name


def test_the_table_and_the_rows_show_the_numbers(widget):
    page = widget()
    page.locator(".ob-play summary").click()
    page.locator("[data-pick='3']").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.ob-p-table td:last-child')?.textContent === '0.5'")  # Adam's rate, a moment later
    assert page.locator(".ob-p-table tbody tr").count() == 201
    row = [text.replace("−", "-") for text in page.locator(".ob-p-table tbody tr").nth(7).locator("th,td").all_inner_texts()]
    (points,), ravine = Setting([("Adam", {})]).paths(), SURFACES["ravine"].surface
    expected = [7, *points[7], ravine.value(*points[7]), numpy.hypot(*ravine.gradient(*points[7])), RATES["ravine"]["Adam"]]
    assert numpy.allclose([float(text) for text in row], expected, rtol=1e-4)
    page.locator("[data-time]").fill("7")
    still(page)  # the rows are written with the next frame
    assert float(page.locator(".ob-p-loss").nth(3).inner_text()) == pytest.approx(expected[3], rel=5e-3)


# --- links ----------------------------------------------------------------------------------------


def test_the_page_suggests_experiments():
    assert len(LINKS) >= 5
    cells = (ROOT / "book" / f"{PAGE}.ipynb").read_text(encoding="utf8")
    assert all(cells.count(link) == 3 for link in LINKS)  # in either language, and in the cell that asserts what is said of it


def test_a_suggestion_sets_the_widget(widget):
    page = widget("zh")
    for link in LINKS:
        change(page, page.locator(f'a[href="{link}"]').click)
        expected = read(link)
        assert [run["name"] for run in inside(page, "setting.runs")] == [name for name, _ in expected.runs]
        for track, points in zip(inside(page, "tracks"), expected.paths(), strict=True):
            assert numpy.allclose(track["points"][:25], points[:25], rtol=1e-9, atol=1e-9)  # some diverge, some jitter later on
        assert page.locator(".ob-p-plane").evaluate("plane => plane.getBoundingClientRect().bottom > 100")


def test_a_copied_link_restores_the_setting_in_another_edition(widget, site):
    conditions = "steps=77&noise=0.25&seed=9&schedule=OneCycleLR,pct_start:0.4"
    page = widget(link=f"#playground?surface=himmelblau&start=1,-2.5&{conditions}&run=Lion,beta1:0.5")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("[data-do=copy]").click()
    page.wait_for_function("document.querySelector('.ob-p-copied').textContent")
    assert page.locator(".ob-p-copied").inner_text().strip() == "Link copied"
    address = page.evaluate("navigator.clipboard.readText()")
    assert address.startswith(f"{site}/en/{PAGE}.html#playground?")
    other = widget("zh", address.removeprefix(f"{site}/en/{PAGE}.html"))
    for page_ in (page, other):
        assert inside(page_, "setting") == {
            "surface": "himmelblau", "start": [1, -2.5], "steps": 77, "noise": 0.25, "seed": 9,
            "schedule": {"name": "OneCycleLR", "numbers": {"pct_start": 0.4, "div_factor": 25}},
            "runs": [{"name": "Lion", "numbers": {"lr": 0.05, "beta1": 0.5, "beta2": 0.99, "weight_decay": 0}}],
        }  # fmt: skip
    assert inside(page, "tracks") == inside(other, "tracks")


def test_where_copying_is_refused_the_link_stands_there(widget):
    page = widget()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    page.locator("[data-do=copy]").click()
    page.wait_for_selector(".ob-p-link:visible")
    assert "#playground?surface=ravine" in page.locator(".ob-p-link").input_value()
    assert page.evaluate("document.activeElement.className") == "ob-p-link"


MALFORMED = [
    "?", "?%", "?%E0%A4%A", "?&&&", "?surface=constructor", "?surface=<b>", "?run=__proto__", "?run=SGD,lr", "?start=1", "?start=a,b",
    "?start=,", "?steps=", "?steps=many", "?noise=-", "?seed=NaN", "?schedule=toString", "?surface", "?=", "?surface=ravine=ravine",
]  # fmt: skip


def test_malformed_links_give_the_default(widget):
    page = widget()
    usual = inside(page, "link")
    for link in MALFORMED:
        set_by_link(page, "#playground?surface=beale&run=Adam")
        assert inside(page, "link") != usual
        set_by_link(page, f"#playground{link}")
        expected = usual if "run=SGD" not in link else re.sub(r"&run=(?!SGD).*?(?=&|$)", "", usual)
        assert inside(page, "link") == expected, link
    assert page.problems == []


def test_a_malformed_link_is_no_problem_at_the_start(widget):
    assert inside(widget(link="#playground?surface=%"), "setting.surface") == "ravine"


def test_numbers_out_of_range_are_brought_in(widget):
    page = widget(link="#playground?steps=1e9&noise=-3&seed=0&start=1e99,0&run=Adam,lr:99,beta1:7")
    setting = inside(page, "setting")
    assert [setting[key] for key in ("steps", "noise", "seed")] == [400, 0, 1]
    assert setting["start"] == [1000, 0]
    assert setting["runs"][0]["numbers"]["lr"] == 10 and setting["runs"][0]["numbers"]["beta1"] == 0.999


def test_sections_keep_their_anchors(widget):
    page = widget(link="#things-to-try")
    assert page.locator("#things-to-try h2").evaluate("title => Math.abs(title.getBoundingClientRect().top) < 300")
    assert inside(page, "setting.surface") == "ravine"


def test_two_widgets_do_not_disturb_each_other(widget):
    """A second one, with another name and preset, in the same page."""
    from optimbook import lab

    page = widget()
    second = lab.playground(["Adam"], "saddle", name="second").html
    page.evaluate(
        """html => {
          const box = document.querySelector(".bd-article").appendChild(document.createElement("div"));
          box.innerHTML = html;
          const script = document.createElement("script");
          script.textContent = box.querySelector("script").textContent;
          box.append(script);
        }""",
        second,
    )
    links = "[...document.querySelectorAll('.ob-play')].map(root => root.playground.link)"
    first, other = page.evaluate(links)
    assert "surface=saddle" in other and "surface=ravine" in first
    set_by_link(page, "#second?surface=beale&run=SGD")
    assert page.evaluate(links)[0] == first and "surface=beale" in page.evaluate(links)[1]
    set_by_link(page, "#playground?surface=plateau")
    assert "surface=plateau" in page.evaluate(links)[0] and "surface=beale" in page.evaluate(links)[1]
    page.locator(".ob-play").nth(1).locator("[data-do=forward]").click()
    assert page.evaluate("[...document.querySelectorAll('.ob-play')].map(root => root.playground.state.step)") == [0, 1]


@pytest.mark.parametrize("path", CHAPTERS)
def test_chapters_have_it_with_a_preset(widget, path):
    page = widget("en", path=path)
    assert inside(page, "setting.surface") == CHAPTERS[path]
    assert len(inside(page, "setting.runs")) == 2 and page.problems == []


# --- by keyboard, by mouse, by touch --------------------------------------------------------------


def test_the_keyboard_moves_the_start_steps_and_scrubs(widget):
    page = widget()
    page.locator(".ob-p-start").focus()
    before = inside(page, "setting.start")
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    width = 4.4  # of the ravine's box
    assert inside(page, "setting.start") == pytest.approx([before[0] + width / 40 - width / 400, before[1] + width / 40], abs=2e-3)
    assert inside(page, "tracks[0].points[0]") == inside(page, "setting.start")
    assert "arrow keys" in page.locator(".ob-p-start").get_attribute("aria-label")

    for act, step in (("forward", 1), ("forward", 2), ("back", 1)):
        page.locator(f"[data-do={act}]").focus()
        page.keyboard.press("Enter")
        assert inside(page, "state.step") == step
    time = page.locator("[data-time]")
    time.focus()
    for key, step in (("End", 200), ("ArrowLeft", 199), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        assert inside(page, "state.step") == step
        still(page)  # the bar's own number follows with the picture
        assert time.get_attribute("aria-valuetext") == f"Step {step}"


def test_tab_reaches_every_control(widget):
    page = widget()
    wanted = page.locator(".ob-play :is(button, input:not([hidden]), select, summary):enabled").evaluate_all("""all => {
      all.forEach((node, i) => { node.dataset.order = i; });
      return all.filter((node) => node.type !== "radio" || node.checked).map((node) => node.dataset.order);
    }""")
    page.locator("[data-set=surface]").focus()
    seen = [page.evaluate("document.activeElement.dataset.order")]
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.dataset.order ?? ''"))
    assert [order for order in seen if order] == wanted


def test_every_knob_changes_the_picture_while_it_stands_still(widget):
    page = widget(link="#playground?surface=valley&schedule=WarmupLR&run=Momentum&run=SGD")
    page.locator("[data-time]").fill("60")
    for index in range(page.locator(".ob-p-settings input[type=range]").count()):
        slider = page.locator(".ob-p-settings input[type=range]").nth(index)
        slider.focus()
        seen = {still(page)}
        for key in ("End", "Home"):
            page.keyboard.press(key)
            seen.add(still(page))
        assert len(seen) >= 2, slider.evaluate("node => node.outerHTML")


def test_the_mouse_drags_the_start(widget):
    page = widget()
    page.locator(".ob-p-plane").scroll_into_view_if_needed()
    box = page.locator(".ob-p-plane canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    assert inside(page, "setting.start") == pytest.approx([0, 0], abs=0.02)  # the middle of the ravine's box
    page.mouse.move(x + box["width"] / 4, y, steps=4)
    page.mouse.up()
    moved = inside(page, "setting.start")
    assert moved[0] > 1 and moved[1] == pytest.approx(0, abs=0.02)
    page.mouse.move(x, y)
    assert inside(page, "setting.start") == moved
    assert inside(page, "tracks[0].points[0]") == moved


def test_a_finger_drags_the_start_and_scrolls_elsewhere(widget):
    page = widget(has_touch=True, viewport={"width": 390, "height": 800})
    page.locator(".ob-p-plane").scroll_into_view_if_needed()
    session = page.context.new_cdp_session(page)

    def swipe(x, y, dx, dy):
        for kind, k in (("touchStart", 0), *(("touchMove", k / 4) for k in range(1, 5))):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x + k * dx, "y": y + k * dy}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_timeout(100)

    box = page.locator(".ob-p-start").bounding_box()
    before, top = inside(page, "setting.start"), page.evaluate("scrollY")
    swipe(box["x"] + 22, box["y"] + 22, 60, 30)
    moved = inside(page, "setting.start")
    assert moved[0] > before[0] + 0.3 and moved[1] < before[1] - 0.1 and page.evaluate("scrollY") == top
    plane = page.locator(".ob-p-plane").bounding_box()
    swipe(plane["x"] + plane["width"] - 40, plane["y"] + plane["height"] - 30, 0, -120)
    assert inside(page, "setting.start") == moved  # and what it does to the page is the browser's affair
    page.locator(".ob-p-plane canvas").tap(position={"x": plane["width"] / 2, "y": 60})
    assert inside(page, "setting.start")[0] == pytest.approx(0, abs=0.05)


def test_optimizers_are_added_changed_and_removed(widget):
    page = widget()
    while page.locator("[data-do=add]").is_enabled():
        page.locator("[data-do=add]").click()
    names = [run["name"] for run in inside(page, "setting.runs")]
    assert len(names) == MOST == len(set(names))
    page.locator("[data-run='0']").select_option("Lion")
    assert inside(page, "setting.runs[0].numbers.lr") == RATES["ravine"]["Lion"]
    assert page.locator(".ob-p-own legend").inner_text() == "Lion: hyperparameters"
    for _ in range(MOST - 1):
        page.locator("[data-do=remove]").first.click()
    assert page.locator("[data-do=remove]").is_disabled() and len(inside(page, "tracks")) == 1
    page.locator("[data-set=surface]").select_option("beale")
    assert inside(page, "setting.start") == [1, 1.4]
    page.locator("[data-do=reset]").click()
    assert len(inside(page, "setting.runs")) == 4 and inside(page, "setting.surface") == "ravine"


# --- languages, themes, screen readers ------------------------------------------------------------

WORDS = """root => [...root.querySelectorAll("*")].flatMap((node) => [
  ...["aria-label", "title", "aria-valuetext"].map((name) => node.getAttribute(name)),
  node.checkVisibility() || node.tagName === "OPTION" || node.className === "ob-p-live"
    ? [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.textContent) : [],
].flat()).filter((text) => text?.trim())"""
NAMES = {*OPTIMIZERS, "RMSprop", "Rosenbrock", "Beale", "Himmelblau", "max", "min"} - {"Momentum", "RMSprop-centered"}
NAMED = re.compile("|".join(sorted(NAMES, key=len, reverse=True)))  # these are the same in both languages


@pytest.mark.parametrize("edition", ["zh", "en", "both"])
def test_each_edition_speaks_its_language(widget, edition):
    page = widget(edition)
    said = []
    for name in OPTIMIZERS:
        for schedule in SCHEDULES if name == "SGD" else ["constant"]:
            set_by_link(page, f"#playground?surface=valley&schedule={schedule}&run={name}&run=Momentum")
            said += page.locator(".ob-play").evaluate(WORDS)
    page.locator(".ob-play summary").click()
    page.locator("[data-do=copy]").click()
    page.locator("[data-do=forward]").click()
    page.wait_for_timeout(700)  # what is announced
    said += page.locator(".ob-play").evaluate(WORDS)
    words = [NAMED.sub("", text) for text in said]
    chinese, english = ([text for text in words if re.search(pattern, text)] for pattern in (HAN, "[A-Za-z]{2,}"))
    if edition == "zh":
        assert chinese and not english
    elif edition == "en":
        assert english and not chinese
    else:
        options = page.locator(".ob-play option[value=ravine]").inner_text()
        assert options == "峡谷 · Ravine" and chinese and english
    assert page.problems == []


def test_every_control_has_a_name(widget):
    page = widget("en")
    page.locator(".ob-play summary").click()
    nameless = page.evaluate("""() => [...document.querySelectorAll(".ob-play :is(button, input, select, canvas, [role], ul)")]
      .filter((node) => !node.getAttribute("aria-label") && ![...(node.labels ?? [])].some((label) => label.innerText.trim())
        && !node.innerText?.trim() && node.getAttribute("role") !== "status")
      .map((node) => node.outerHTML)""")
    assert nameless == []
    session = page.context.new_cdp_session(page)
    names = {node["name"]["value"] for node in session.send("Accessibility.getFullAXTree")["nodes"] if node.get("name", {}).get("value")}
    assert {"Play", "One step forward", "Step", "Tune Adam", "Optimizer 1", "Optimizer playground", "Seed of the noise"} <= names


def test_the_live_region_does_not_chatter(widget):
    page = widget(reduced_motion="no-preference")
    page.evaluate("""() => {
      window.said = [];
      new MutationObserver(() => said.push(document.querySelector(".ob-p-live").textContent))
        .observe(document.querySelector(".ob-p-live"), {childList: true, characterData: true, subtree: true});
    }""")
    set_by_link(page, "#playground?surface=ravine&run=SGD")  # plays
    page.wait_for_function("document.querySelector('.ob-play').playground.state.step > 40", timeout=60_000)
    assert page.evaluate("said") == ["Setting restored"]
    page.locator("[data-do=play]").click()
    page.locator(".ob-p-start").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(900)
    assert len(page.evaluate("said")) <= 3 and page.evaluate("said.at(-1)").startswith("Start (")


def test_light_and_dark_draw_differently_and_legibly(widget):
    contrast = """() => {
      const luminance = (color) => {
        const brush = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});
        brush.fillStyle = color;
        brush.fillRect(0, 0, 1, 1);
        const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const paper = luminance(getComputedStyle(document.body).backgroundColor);
      return [...document.querySelectorAll(".ob-p-runs svg")].map((svg) => {
        const [a, b] = [paper, luminance(getComputedStyle(svg).color)].sort((a, b) => b - a);
        return (a + 0.05) / (b + 0.05);
      });
    }"""
    seen = {}
    for scheme in ("light", "dark"):
        page = widget(color_scheme=scheme)
        seen[scheme] = still(page)
        for name in ("SGD,Nesterov,Adagrad,RMSprop,Adadelta,Adam", "AMSGrad,AdamW,Adamax,NAdam,RAdam,Lion"):
            set_by_link(page, "#playground?" + "&".join(f"run={one}" for one in name.split(",")))
            assert min(page.evaluate(contrast)) >= 3, scheme
        assert page.problems == []
    assert seen["light"] != seen["dark"]
    page = widget()
    before = still(page)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")  # as the button does
    for _ in range(20):
        page.wait_for_timeout(100)
        if still(page) != before:
            break
    assert still(page) != before


# --- motion ---------------------------------------------------------------------------------------

FRAMES = """(() => {  // how long each frame's scripts take
  window.frames_ = [];
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (act) => ask((now) => {
    const from = performance.now();
    act(now);
    frames_.push(performance.now() - from);
  });
})()"""


def test_four_paths_run_at_sixty_frames_a_second(widget):
    page = widget(viewport={"width": 1280, "height": 900})
    page.evaluate(FRAMES)
    page.locator("[data-do=play]").click()
    page.wait_for_function("document.querySelector('.ob-play').playground.state.step > 150", timeout=60_000)
    frames = page.evaluate("frames_")
    assert len(inside(page, "setting.runs")) == 4 and len(frames) > 20
    assert statistics.median(frames) < 8, frames  # of the 16 that there are


def test_a_reader_who_wants_no_motion_sees_none(widget):
    page = widget()
    page.locator(".ob-p-plane").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert inside(page, "state") == {"step": 0, "playing": False, "active": 0}
    set_by_link(page, "#playground?surface=beale")
    page.wait_for_timeout(200)
    assert inside(page, "state.playing") is False
    page.locator("[data-do=play]").click()  # unless it is asked for
    assert inside(page, "state.playing") is True


def test_it_plays_when_it_is_seen_and_rests_when_it_is_not(widget):
    page = widget(reduced_motion="no-preference", viewport={"width": 1280, "height": 500})
    page.locator(".ob-p-plane").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.ob-play').playground.state.step > 1", timeout=30_000)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(400)
    page.evaluate(FRAMES)
    there = inside(page, "state.step")
    page.wait_for_timeout(400)
    assert inside(page, "state") == {"step": there, "playing": True, "active": 0} and page.evaluate("frames_.length") == 0
    page.locator(".ob-p-plane").scroll_into_view_if_needed()
    page.wait_for_function(f"document.querySelector('.ob-play').playground.state.step > {there}", timeout=30_000)


def test_it_fits_a_narrow_window(widget):
    page = widget("both", viewport={"width": 360, "height": 800})
    page.locator(".ob-play summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    picture, settings = (page.locator(name).bounding_box() for name in (".ob-p-plane", ".ob-p-settings"))
    assert settings["y"] > picture["y"] + picture["height"]
