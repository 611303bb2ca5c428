"""The page of a report in a real browser: it draws, answers to mouse and keys, asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from injector.campaigns.report import load
from injector.faces.plain import plain
from injector.faces.report.page import page
from tests.unit.sweeps import FINDINGS, OPEN_STACK, POINTS, RUNS, ARun, database

from .browser import DOWN, ENTER, ESCAPE, LEFT, RIGHT, Browser

HOSTILE = (
    "</script><script>document.title='x'</script><img src=x onerror=alert(1)>\x1b[31m\u202e&lt;"
)
CELLS = "return [...document.querySelectorAll('td[data-cell]')].map((one) => one.title)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    made = Browser()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def shop(browser: Browser, tmp_path: Path) -> Browser:
    """The browser with the page of `sweeps`."""
    write(tmp_path / "shop.html", database(tmp_path / "s.db"))
    browser.open(tmp_path / "shop.html")
    return browser


def write(target: Path, source: Path) -> None:
    """Write the page of a database."""
    target.write_text(page(load([source])), encoding="utf-8")


def cell(title: str) -> str:
    """Return the selector of a cell of the matrix by the beginning of its title."""
    return f'td[title^="{title}"]'


def test_it_loads_without_an_error_and_asks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    target = tmp_path / "shop.html"
    write(target, database(tmp_path / "s.db"))
    browser.open(target)
    assert browser.log("browser") == []
    asked = browser.requests(target)
    assert [url for url in asked if not url.startswith("data:")] == [target.as_uri()]
    assert browser.text("h1") == "shop 'order 1'"
    assert browser.texts(".card") == [
        "C2crash",
        "S1silent",
        "+2handled",
        "·1unaffected",
        "–1not reached",
    ]
    assert browser.texts(".finding b") == [
        "SIGSEGV in shop when openat fails with ENOMEM",
        "half an order is written, status 0",
    ]
    assert browser.run(CELLS) == [
        "openat in openStore, EIO: once handled, persistent handled",
        "openat in openStore, ENOMEM: once crash, persistent crash",
        "write in store::commit(int), EINTR: once unaffected",
        "write in store::commit(int), short 1: once silent",
        "close, EIO: once not reached",
    ]


def test_the_policy_is_in_force(shop: Browser) -> None:
    script = """
        const added = document.createElement("script");
        added.textContent = "window.broken = true";
        document.body.append(added);
        return [window.broken === true, document.body.innerHTML.includes("window.broken")];
    """
    assert shop.run(script) == [False, True]
    assert any("Content Security Policy" in one["message"] for one in shop.log("browser"))


def test_the_worst_finding_is_shown_first(shop: Browser) -> None:
    assert shop.text("aside h2") == "openat: ENOMEM"
    assert shop.text("aside .reason") == "shop was killed by SIGSEGV"


def test_a_click_on_a_cell_shows_its_run(shop: Browser) -> None:
    shop.click(cell("write in store::commit(int), short 1"))
    assert shop.text("aside h2") == "write: short 1"
    assert shop.text("aside .command") == FINDINGS[0].command
    details = shop.text("aside")
    for part in ("silent", "stdout differs", '"order 1\\n"', "/var/lib/shop/data", "0/write#1"):
        assert part in details
    assert shop.texts("aside .stack b") == ["write", "0xa99c7", "store::commit(int)", "main"]
    assert shop.texts("td[aria-selected=true]") == ["S"]
    assert shop.texts(".finding[aria-current=true] b") == ["half an order is written, status 0"]


def test_a_click_on_a_finding_shows_its_run_and_output(shop: Browser) -> None:
    shop.click(".finding[data-finding='0']")
    assert shop.text("aside .output.stderr") == "opening\nSegmentation fault"
    assert shop.texts("aside .runs button") == ["Conce crash", "Cpersistent crash"]
    shop.click("aside .runs button:nth-child(2)")
    assert "site=0/openat#3+:error=ENOMEM" in shop.text("aside .command")


def test_the_keyboard_walks_the_matrix(shop: Browser) -> None:
    shop.click(cell("openat in openStore, EIO"))
    shop.press(RIGHT, ENTER)
    assert shop.text("aside h2") == "openat: ENOMEM"
    shop.press(LEFT, DOWN)
    assert shop.run("return document.activeElement.title") == "close, EIO: once not reached"
    assert shop.text("aside h2") == "openat: ENOMEM"
    focusable = "return document.querySelectorAll('td[tabindex=\"0\"]').length"
    assert shop.run(focusable) == 1


def test_outcomes_are_filtered(shop: Browser) -> None:
    shop.click(".card[data-verdict=silent]")
    assert shop.run(CELLS) == ["write in store::commit(int), short 1: once silent"]
    assert shop.texts(".finding b") == ["half an order is written, status 0"]
    assert shop.text("#shown") == "1 run of 7"
    shop.click(".card[data-verdict=crash]")
    assert len(shop.run(CELLS)) == 2
    shop.click("#clear")
    assert len(shop.run(CELLS)) == 5


def test_search(shop: Browser) -> None:
    shop.type("#search", "SEGMENTATION fault")
    assert shop.run(CELLS) == ["openat in openStore, ENOMEM: once crash, persistent crash"]
    shop.type("#search", "x")
    assert shop.text("#matrix-none") == "No run fits."
    assert shop.text("#findings-none") == "No finding fits."


def test_a_link_to_a_run(shop: Browser, tmp_path: Path) -> None:
    shop.click(cell("write in store::commit(int), EINTR"))
    address = shop.run("return location.href")
    assert address.endswith("#once%200%2Fwrite%231%20error%3DEINTR")
    shop.run("location.hash = ''; location.reload()")
    shop.run("location.hash = arguments[0]", address.partition("#")[2])
    assert shop.text("aside h2") == "write: EINTR"


def test_the_command_is_copied(shop: Browser) -> None:
    shop.click("aside h3 button")
    copied = """
        return new Promise((done) => {
            const button = document.querySelector("aside h3 button");
            const look = () => (button.textContent === "Copied" ? done(true) : setTimeout(look, 5));
            look();
        });
    """
    assert shop.run(copied) is True


def test_hostile_texts_are_shown_as_texts(browser: Browser, tmp_path: Path) -> None:
    point = replace(POINTS[0], args=HOSTILE, path=HOSTILE, stack=(f"{HOSTILE}+0x1 ({HOSTILE})",))
    run = replace(RUNS[2], detail=HOSTILE, result={"stderr": {"tail": HOSTILE}})
    finding = replace(FINDINGS[1], title=HOSTILE)
    source = database(tmp_path / "h.db", [run], [finding], [point], command=["a", HOSTILE])
    write(tmp_path / "h.html", source)
    browser.open(tmp_path / "h.html")
    assert browser.log("browser") == []
    asked = browser.requests(tmp_path / "h.html")
    assert len([url for url in asked if not url.startswith("data:")]) == 1
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.run("return document.title").startswith("inject: a ")
    assert browser.text(".finding b") == plain(HOSTILE)
    assert browser.text("aside .reason") == plain(HOSTILE)
    assert browser.text("aside .output") == plain(HOSTILE)
    assert browser.texts("aside .stack b") == [plain(HOSTILE)]


def test_a_narrow_page_shows_details_above_it(shop: Browser) -> None:
    shop.resize(700, 900)
    try:
        look = "return getComputedStyle(document.querySelector('aside')).display"
        assert shop.run(look) == "none"
        shop.click(cell("write in store::commit(int), short 1"))
        assert shop.run(look) == "block"
        assert shop.run("return document.activeElement.textContent") == "Close"
        shop.press(ESCAPE)
        assert shop.run(look) == "none"
        assert shop.run("return document.activeElement.title").startswith("write in ")
    finally:
        shop.resize(1400, 1000)


def test_a_sweep_without_runs_and_one_that_is_unfinished(browser: Browser, tmp_path: Path) -> None:
    write(tmp_path / "empty.html", database(tmp_path / "empty.db", [], [], []))
    browser.log("browser")
    browser.open(tmp_path / "empty.html")
    assert browser.log("browser") == []
    assert browser.text("#findings-none") == "None: no fault made the program fail."
    planned = [RUNS[0], replace(RUNS[1], verdict=None)]
    write(tmp_path / "half.html", database(tmp_path / "half.db", planned, []))
    browser.open(tmp_path / "half.html")
    assert browser.log("browser") == []
    assert browser.text("#unfinished").startswith("Unfinished: 1 of 2 runs is not made yet; ")
    assert browser.texts("td .tile") == ["+_"]


def test_ten_thousand_cells(browser: Browser, tmp_path: Path) -> None:
    faults = [f"error=E{number}" for number in range(10)]
    points = [
        replace(POINTS[0], site=f"0/openat#{number}", stack=(f"f{number} (/bin/x)", *OPEN_STACK))
        for number in range(1000)
    ]
    runs = [ARun(point.site, fault, "handled") for point in points for fault in faults]
    runs[5005] = replace(runs[5005], verdict="hang")
    write(tmp_path / "big.html", database(tmp_path / "big.db", runs, [], points))
    browser.open(tmp_path / "big.html")
    count = "return document.querySelectorAll('td[data-cell]').length"
    assert browser.run(count) == 10_000
    assert browser.text("aside h2") == "openat: E5"
    browser.click(".card[data-verdict=hang]")
    assert browser.run(count) == 1
    browser.click(cell("openat in f500, E5"))
    assert browser.text("aside .in") == "in f500 ‹ openStore ‹ main"
