"""A page as a slow phone gets it: gzipped, over 10 Mbit/s and 40 ms, with nothing in the cache.

``load`` says when the first screen stood: its words on the screen and its formulas in their fonts.
A machine that has other things to do is late for reasons that are not the page's. So the time
is told twice: as the clock has it, and as far as the page is to blame, as Lighthouse reckons it:
four times the processor's own count of what the page's main thread worked up to that moment,
and the time that all its bytes and their two round trips take on such a line.
"""

import gzip
import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

SLOWER, LATENCY, BANDWIDTH = 4, 40, 10e6 / 8  # times, ms, bytes a second
ROUND_TRIPS = 2  # for the page, then at once for all that its head names
ZIPPED = (".html", ".css", ".js", ".svg")
TRACED = ["toplevel", "blink.user_timing"]

WATCH = """
(() => {
  window.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  const fontsAreThere = (article) => {
    const fontOf = (node) => {
      const { fontStyle, fontWeight, fontFamily } = getComputedStyle(node);
      return [fontStyle, fontWeight, "1em", fontFamily].join(" ");
    };
    const letters = article.querySelectorAll(".katex-html span:not(:has(*))");
    const below = [...letters].findIndex((letter) => letter.getBoundingClientRect().top > innerHeight);
    const fonts = new Set([...letters].slice(0, below < 0 ? undefined : below).map(fontOf));
    return document.fonts.check(fontOf(article), "“") && [...fonts].every((font) => document.fonts.check(font));
  };
  const stands = () => {
    const article = document.querySelector("article.bd-article"), box = article?.getBoundingClientRect();
    if (!box || (box.bottom < innerHeight && document.readyState === "loading")) return false;
    return document.fonts.status === "loaded" || fontsAreThere(article);
  };
  // What stands when a frame begins has been drawn when the next one does.
  let stood = false;
  const look = (time) => {
    if (stood) return performance.mark("first-screen", { startTime: time });
    stood = stands();
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""


@cache
def zipped(path: Path) -> bytes:
    """A file as a server sends it: words gzipped, pictures and fonts as they are."""
    data = path.read_bytes()
    return gzip.compress(data, 6, mtime=0) if path.suffix in ZIPPED else data


class Zipping(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        body = zipped(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(body)))
        if path.suffix in ZIPPED:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def serve(site: Path):
    """The address of a server that zips."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Zipping, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass(frozen=True)
class Load:
    clock: float  # ms until the first screen stood
    blame: float  # the page's own part of it
    words: int  # bytes that came before any picture: the page, its style, scripts and fonts
    pictures: int  # bytes of pictures that came before the reader moved
    shift: float  # cumulative layout shift, through the load and a walk to the end


def load(browser, address: str, slower: float = 1, **options) -> Load:
    """Opens a page on the slow line, with a processor that many times slower, and walks to its end."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    page = context.new_page()
    slow_down(context.new_cdp_session(page), slower)
    page.add_init_script(WATCH)
    browser.start_tracing(page=page, categories=TRACED)
    page.goto(address, wait_until="load", timeout=120_000)
    page.wait_for_function("performance.getEntriesByName('first-screen').length", timeout=120_000)
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    own, rest = page.evaluate(WEIGH)
    words = own + sum(size for kind, size in rest if kind != "img")
    clock = page.evaluate(CLOCK)
    walk(page)
    shift = page.evaluate("shift")
    context.close()
    network = ROUND_TRIPS * LATENCY + 1000 * words / BANDWIDTH
    return Load(clock, busy(trace) * SLOWER / slower + network, words, sum(size for kind, size in rest if kind == "img"), shift)


CLOCK = "Math.max(...['first-screen', 'first-contentful-paint'].map((name) => performance.getEntriesByName(name)[0].startTime))"
WEIGH = """() => [
  performance.getEntriesByType("navigation")[0].encodedBodySize,
  performance.getEntriesByType("resource").map((entry) => [entry.initiatorType, entry.encodedBodySize]),
]"""


def slow_down(devtools, slower):
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    devtools.send("Network.emulateNetworkConditions", {
        "offline": False, "latency": LATENCY, "downloadThroughput": BANDWIDTH, "uploadThroughput": BANDWIDTH,
    })
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": slower})


def walk(page):
    """Down to the end, a screen at a time."""
    page.evaluate("""async () => {
      for (let seen = -1; scrollY > seen; ) {
        seen = scrollY;
        scrollBy({ top: innerHeight * 0.8, behavior: "instant" });
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)));
      }
    }""")


def busy(trace) -> float:
    """Processor time in ms, of the thread that draws the page, from the first request to the first screen."""
    stood = next(event for event in trace if event.get("name") == "first-screen")
    began = next(event for event in trace if event.get("name") == "navigationStart" and same_thread(event, stood) and event["ts"] < stood["ts"])
    tasks = [event for event in trace if event["ph"] == "X" and "tts" in event and same_thread(event, stood)]
    first = min((task for task in tasks if task["ts"] >= began["ts"]), key=lambda task: task["ts"])
    last = max((task for task in tasks if task["ts"] <= stood["ts"]), key=lambda task: task["ts"])
    return (last["tts"] + min(last.get("tdur", 0), stood["ts"] - last["ts"]) - first["tts"]) / 1000


def same_thread(event, other) -> bool:
    return (event["pid"], event["tid"]) == (other["pid"], other["tid"])
