"""The report in a real browser: no complaint in its console, filters that filter, nothing wider than the screen."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness import make_config
from tests.stores import store_of

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install '.[browser]'")
BROWSER = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium chromium-driver"),
    pytest.mark.skipif(shutil.which("chromedriver") is None, reason="needs chromedriver"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WIDE = """
const limit = document.documentElement.clientWidth + 1;
return [...document.querySelectorAll("body *")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width && (box.right > limit || box.left < -1);
}).map((e) => `${e.tagName}.${e.className} ${e.id} ${e.textContent.slice(0, 40)}`).slice(0, 5);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of a report with a regression, a classification, and hill climbing beside gradients."""
    folder = tmp_path_factory.mktemp("browsed")
    entrants = (("optimizer=sgd",), ("optimizer=adam",), ("backend=random_search",))
    grid = [
        make_config(f"dataset={dataset}", *entrant, f"lr={lr}", f"seed={seed}", "epochs=20")
        for dataset in ("gaussian", "iris", "digits")
        for entrant in entrants
        for lr in ("0.1", "0.01")
        for seed in range(3)
    ]
    bad = make_config("dataset=gaussian", "optimizer=sgd", "lr=1e9", "epochs=20")
    uri = store_of(folder, [*grid, bad])
    words = [sys.executable, "-m", "reports.build", "--uri", uri, "--output", str(folder / "out")]
    subprocess.run(words, check=True, capture_output=True)
    return (folder / "out" / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


def _open(browser, page, width):
    """The page, drawn to the last plot; widths below what a window may have are emulated."""
    sizes = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sizes)
    browser.get(page)
    browser.execute_async_script("PLOTS.done.then(() => setTimeout(arguments[0], 500))")


@pytest.mark.parametrize("width", [1280, 390])
def test_no_complaint_and_nothing_too_wide(browser, page, width):
    _open(browser, page, width)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.execute_script(WIDE) == []


def test_every_plot_is_drawn(browser, page):
    _open(browser, page, 1280)
    plots = browser.execute_script("return JSON.parse(document.getElementById('plot-data').textContent).length")
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].filter((p) => p.firstElementChild?.shadowRoot).length"
    )
    assert drawn == plots > 8


def test_filters_and_order(browser, page):
    _open(browser, page, 1280)

    def counted(words, status=""):
        browser.execute_script(
            """for (const [id, value] of [["filter", arguments[0]], ["status", arguments[1]]]) {
                 const field = document.getElementById(id);
                 field.value = value;
                 field.dispatchEvent(new Event("input"));
               }""",
            words,
            status,
        )
        return int(browser.execute_script("return document.getElementById('count').textContent").split()[0])

    assert counted("") == 55
    assert counted("adam iris") == 6
    assert counted("", "diverged") == 1
    assert counted("adam", "diverged") == 0
    assert counted("") == 55
    losses = """
        const heads = [...document.querySelectorAll("#run-table th")];
        const j = heads.findIndex((th) => th.textContent.startsWith("training loss"));
        heads[j].click();
        return [...document.querySelectorAll("#run-table tbody tr")].map((tr) => Number(tr.cells[j].textContent));
    """
    losses_shown = browser.execute_script(losses)
    assert losses_shown == sorted(losses_shown)
    link = browser.execute_script("return document.querySelector('#run-table tbody a').href")
    assert link.startswith("http://127.0.0.1:5000/#/experiments/")


def test_the_legend_hides_an_entrant_and_the_menu_changes_the_axis(browser, page):
    _open(browser, page, 1280)
    state = """
        const parts = Bokeh.documents.flatMap((d) => d.roots()).flatMap((plot) => plot.renderers);
        return JSON.stringify({
          shown: parts.filter((part) => part.name === "adam" && part.visible).length,
          epochs: parts.filter((part) => part.glyph.x?.field === "epoch").length,
        });
    """
    before = json.loads(browser.execute_script(f"return (() => {{{state}}})()"))
    browser.execute_script("document.querySelector('#legend [data-entrant=adam]').click()")
    change = (
        "const menu = document.getElementById('axis'); menu.value = 'epoch'; menu.dispatchEvent(new Event('change'))"
    )
    browser.execute_script(change)
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    after = json.loads(browser.execute_script(f"return (() => {{{state}}})()"))
    assert before["shown"] > 0
    assert after["shown"] == 0
    assert after["epochs"] > before["epochs"]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
