"""The report in headless Chromium, with mouse, keyboard and printer."""

import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from cellferry.report import page as report_page
from playwright.sync_api import sync_playwright
from report_world import FAMILY, LABELS, World

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium (Debian: apt-get install chromium)"),
    pytest.mark.slow,
]
MANY = [f"label number {n}" for n in range(200)]
WORLDS = {
    "scored": {
        "queries": ["q1", "q2"],
        "scored": ["test", "q1"],
        "labels": LABELS,
        "levels": FAMILY,
        "explained": ["q1"],
    },
    "nothing scored": {"queries": ["q1"], "scored": [], "labels": LABELS},
    "one label": {"queries": ["q1"], "scored": ["test", "q1"], "labels": LABELS[:1]},
    "200 labels": {"queries": ["q1"], "scored": ["test"], "labels": MANY, "cells": 3000, "explained": ["q1"]},
    "40 batches": {"queries": ["q1"], "scored": ["test"], "labels": LABELS, "cells": 400, "batches": 40},
}
SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"
"""Folder for screenshots, used if it exists."""


@pytest.fixture(scope="module", params=WORLDS, ids=lambda name: name.replace(" ", "_"))
def world(request, tmp_path_factory):
    """A kind of report, and the file."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report_page, "embed", lambda latents, seed: latents[:, :2])
        World(folder, **WORLDS[request.param]).draw()
    return request.param, folder / "report.html"


@contextmanager
def opened(file, *, width):
    """The page in its own window; errors in it fail the test."""
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if "://" in request.url[5:] else None)
        page.route(re.compile("^https?:"), lambda route: route.abort())
        page.goto(file.as_uri())
        yield page
        browser.close()
    assert wrong == []


def drawn(page):
    """The map's own description of its content, after drawing."""
    page.wait_for_function("document.getElementById('map-canvas').dataset.drawn")
    return page.get_attribute("#map-canvas", "data-drawn")


def colors_on_map(page):
    """Colors of the map's pixels, and how many of each."""
    return page.evaluate(
        """async () => {
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const canvas = document.getElementById("map-canvas"), found = {};
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            for (let n = 0; n < pixels.length; n += 4)
                if (pixels[n + 3] === 255) {
                    const color = [pixels[n], pixels[n + 1], pixels[n + 2]].join();
                    found[color] = (found[color] || 0) + 1;
                }
            return found;
        }"""
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_every_kind_of_report_opens_whole(world, width):
    name, file = world
    with opened(file, width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert drawn(page).startswith("label ")
        assert len(colors_on_map(page)) >= 1
        n_scored = len(WORLDS[name]["scored"])
        assert page.locator("main svg").count() == (1 + n_scored if n_scored else 0) + 1
        for svg in page.locator("main svg").all():
            box = svg.bounding_box()
            assert box["width"] > 100
            assert box["width"] <= width
        if SCREENSHOTS.is_dir():
            page.screenshot(path=SCREENSHOTS / f"{name.replace(' ', '_')}_{width}.png", full_page=True)


def test_readers_with_other_eyes_and_hands_find_everything(world):
    with opened(world[1], width=1280) as page:
        response = Axe().run(page).response
    assert {"color-contrast", "button-name"} <= {entry["id"] for entry in response["passes"]}
    found = response["violations"]
    serious = [entry for entry in found if entry["impact"] in ("serious", "critical")]
    assert [(entry["id"], entry["nodes"][0]["html"]) for entry in serious] == []


def test_printed_page_has_the_pictures_and_what_was_folded(world, tmp_path):
    with opened(world[1], width=1280) as page:
        page.pdf(path=tmp_path / "report.pdf")
        page.emulate_media(media="print")
        assert not page.locator("#map-canvas").is_visible()
        assert [image.is_visible() for image in page.locator(".still img").all()] == [True] * 4
        assert page.locator("details:not([open])").count() == 0
    assert (tmp_path / "report.pdf").stat().st_size > 20_000


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A report of 40 batches and several labels, all of them scored."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report_page, "embed", lambda latents, seed: latents[:, :2])
        World(folder, queries=["q1"], scored=["test"], labels=LABELS, cells=400, batches=40).draw()
    return folder / "report.html"


def column(table, position):
    return [row.locator("td").nth(position).inner_text() for row in table.locator("tbody tr").all()]


def test_a_table_sorts_by_mouse_and_by_keyboard(file):
    with opened(file, width=1280) as page:
        table = page.locator("#answer ~ .scroll table.data").first
        cells = [int(text) for text in column(table, 1)]
        assert cells == sorted(cells, reverse=True)
        head = table.get_by_role("button", name="cells")
        head.click()  # numbers: the largest first
        assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
        head.focus()
        page.keyboard.press("Enter")
        assert [int(text) for text in column(table, 1)] == sorted(cells)
        assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
        table.get_by_role("button", name="label").click()
        names = column(table, 0)
        assert names == sorted(names, key=str.casefold) or names[0] == "_hidden"
        assert table.locator("th[aria-sort]").count() == 1


def test_heads_that_span_columns_sort_the_column_below(file):
    with opened(file, width=1280) as page:
        table = page.locator("table.data", has_text="forced").filter(has_text="baseline").first
        buttons = [button.inner_text() for button in table.get_by_role("button").all()]
        assert "forced" not in buttons  # it is above several columns
        assert buttons.count("accuracy") == 0  # one row: nothing to sort
        labels = page.locator("details table.data", has_text="F1 of").first
        labels.evaluate("table => table.closest('details').open = true")
        labels.get_by_role("button", name="precision").click()
        values = [float(text) for text in column(labels, 2) if text != "–"]
        assert values == sorted(values, reverse=True)


def test_a_long_table_is_filtered(file):
    with opened(file, width=1280) as page:
        details = page.locator("details", has_text="40 batches")
        details.locator("summary").click()
        details.get_by_role("searchbox").fill("b17")
        assert details.locator("tbody tr:visible").count() == 1
        assert "1 of 40 rows" in details.locator(".filter").inner_text()
        details.get_by_role("searchbox").fill("")
        assert details.locator("tbody tr:visible").count() == 40


def test_the_map_says_what_a_cell_is_and_shows_what_is_asked(file):
    with opened(file, width=1280) as page:
        assert drawn(page) == "label 800"
        by_label = colors_on_map(page)
        assert max(by_label.values()) > 50
        for way in ("dataset", "batch", "probability"):
            page.select_option("#map-by", way)
            colors_on_map(page)
            assert page.get_attribute("#map-canvas", "data-drawn") == f"{way} 800"
        page.select_option("#map-by", "dataset")
        keys = [button.inner_text() for button in page.locator("#map-key button").all()]
        assert keys == ["reference", "q1"]
        before = colors_on_map(page)
        page.locator("#map-key button").nth(1).click()
        alone = colors_on_map(page)
        assert alone.get("181,181,181", 0) < before["181,181,181"] / 2  # the reference's gray
        page.locator("#map-key button").nth(1).click()
        assert colors_on_map(page) == before
        # Somewhere near the middle is a cell.
        page.locator("#map-canvas").scroll_into_view_if_needed()
        box = page.locator("#map-canvas").bounding_box()
        for step in range(100):
            page.mouse.move(box["x"] + box["width"] * (0.3 + 0.004 * step), box["y"] + box["height"] / 2)
            if page.locator("#map-hint").is_visible():
                break
        said = page.locator("#map-hint").inner_text()
        assert re.search(r"\ndataset (reference|q1)\nbatch (reference|q1)/b\d+$", said)


def test_the_map_zooms_by_buttons_and_keys(file):
    with opened(file, width=1280) as page:
        drawn(page)
        whole = colors_on_map(page)
        page.locator("#map-in").click()
        page.locator("#map-in").click()
        near = colors_on_map(page)
        assert near != whole
        page.locator("#map-canvas").focus()
        page.keyboard.press("ArrowLeft")
        assert colors_on_map(page) != near
        page.keyboard.press("0")
        assert colors_on_map(page) == whole
        scrolled = page.evaluate("scrollY")
        box = page.locator("#map-canvas").bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 200)
        page.mouse.wheel(0, 300)  # without Ctrl the page scrolls
        page.wait_for_function(f"scrollY !== {scrolled}")
        assert colors_on_map(page) == whole


def test_without_scripts_the_pictures_stand_there(file):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(file.as_uri())
        assert [image.is_visible() for image in page.locator(".still img").all()] == [True] * 4
        assert not page.locator("#map-canvas").is_visible()
        browser.close()
