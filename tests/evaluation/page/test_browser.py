"""report.html in headless Chromium: nothing goes wrong, and all that is said to work does.

With ACTREC_ZOO_BROWSER_TESTS, as in `.ci/run`, a missing browser is a failure; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actrec_zoo.evaluation.curves import precision_recall_curves
from actrec_zoo.evaluation.page.render import write_page
from tests.evaluation.page.examples import ODD, minimal_result, some_history, some_predictions, whole_result

WIDE, PHONE = (1280, 900), (375, 812)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of this file."""
    paths = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None  # type: ignore[assignment]
    if None in (*paths, webdriver):
        complaint = "these tests need Debian's chromium and chromium-driver, and selenium (the extra `dev`)"
        (pytest.fail if os.environ.get("ACTREC_ZOO_BROWSER_TESTS") else pytest.skip)(complaint)
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a page with everything, one with odd names, one with little, and one of 400 classes."""
    folder = tmp_path_factory.mktemp("pages")
    usual, odd = (
        some_predictions(failed=2),
        some_predictions(ODD, failed=1, names=[f"{n}</script>.avi" for n in range(60)]),
    )
    many = some_predictions(tuple(f"class {n:03}" for n in range(400)), videos=8000, failed=5)
    made = {
        "usual": (usual, whole_result(usual), some_history()),
        "odd": (odd, whole_result(odd), some_history()),
        "plain": (usual, minimal_result(usual), []),
        "many": (many, whole_result(many), some_history()),
    }
    for name, (predictions, result, history) in made.items():
        write_page(folder / f"{name}.html", result, predictions, precision_recall_curves(predictions), history)
    return {name: (folder / f"{name}.html").as_uri() for name in made}


def opened(browser: Any, address: str, size: tuple[int, int] = WIDE, *, dark: bool = False, media: str = "") -> Any:
    """The browser with the page of an address in it."""
    shape = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": scheme})
    browser.get(address)
    return browser


def first(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def every(browser: Any, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def style_of(browser: Any, selector: str, name: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    return str(browser.execute_script(script, selector, name))


def row_names(browser: Any) -> list[str]:
    names: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#matrix tbody th')].map((cell) => cell.textContent)"
    )
    return names


def test_a_single_class_and_a_single_epoch_are_no_error(browser: Any, tmp_path: Path) -> None:
    alone = some_predictions(("שלום 👋 \u202ewow\n" * 9,), videos=4, failed=1)
    curves = precision_recall_curves(alone)
    assert curves == [None]
    write_page(tmp_path / "alone.html", whole_result(alone), alone, curves, some_history(1))
    browser.get_log("browser")
    opened(browser, (tmp_path / "alone.html").as_uri(), PHONE)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    assert len(every(browser, "#matrix [role=gridcell]")) == 2
    places = browser.execute_script("return [...document.querySelectorAll('figure svg *')].map((e) => e.outerHTML)")
    assert places and not [place for place in places if "NaN" in place]


@pytest.mark.parametrize("name", ["usual", "odd", "plain", "many"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_error_no_request_and_no_sideways_scrolling(
    browser: Any, pages: dict[str, str], name: str, size: tuple[int, int]
) -> None:
    browser.get_log("browser"), browser.get_log("performance")
    opened(browser, pages[name], size)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked and all(address == pages[name] or address.startswith("data:") for address in asked)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= size[0], f"{width} pixels wide"
    assert every(browser, "#matrix [role=gridcell]") and every(browser, "#curve svg polyline")


def test_every_figure_has_a_text_alternative(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["usual"])
    assert len(every(browser, "figure.chart")) == 4
    charts = every(browser, "figure.chart svg")
    assert len(charts) == 4
    for chart in charts:
        assert chart.get_attribute("role") == "img" and len(chart.get_attribute("aria-label")) > 20
    for section in ("precision-recall", "calibration", "training"):
        details = first(browser, f"#{section} details")
        details.find_element("css selector", "summary").click()
        assert len(details.find_elements("css selector", "tbody tr")) > 3


def test_odd_names_are_shown_as_they_are(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["odd"])
    assert "<script>alert(1)</script>" in row_names(browser) and "日本語" in row_names(browser)
    first(browser, "#matrix td.wrong").click()
    assert "</script>.avi" in first(browser, "#videos .path").text


def test_hover_shows_counts(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver import ActionChains

    opened(browser, pages["usual"])
    assert not first(browser, "#tip").is_displayed()
    cell = first(browser, "#matrix td.right")
    ActionChains(browser).move_to_element(cell).perform()
    tip = first(browser, "#tip").text
    assert f": {cell.text} videos, " in tip and tip.startswith("true handshaking, predicted handshaking")
    ActionChains(browser).move_to_element(first(browser, "#calibration-chart .reach")).perform()
    assert "videos: confidence" in first(browser, "#tip").text
    ActionChains(browser).move_to_element(first(browser, "h1")).perform()
    assert not first(browser, "#tip").is_displayed()


def test_a_click_lists_the_videos_of_a_cell(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["usual"])
    cell = max(every(browser, "#matrix td.wrong"), key=lambda cell: int(cell.text))
    cell.click()
    assert first(browser, "#videos").is_displayed()
    items = every(browser, "#videos li")
    assert len(items) == int(cell.text)
    true, predicted = first(browser, "#videos-title").text.split(", predicted ")
    assert all(item.text.startswith(f"{true}/clip") and f"{predicted} " in item.text for item in items)
    first(browser, "#videos form button").click()
    assert not first(browser, "#videos").is_displayed()
    first(browser, ".pairs button").click()
    assert len(every(browser, "#videos li")) > 0


def test_keys_do_what_the_mouse_does(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, pages["usual"])
    browser.execute_script("document.getElementById('matrix-order').focus()")
    press(browser, Keys.TAB)
    active = browser.switch_to.active_element
    assert active.get_attribute("role") == "gridcell" and active == every(browser, "#matrix [role=gridcell]")[0]
    assert style_of(browser, ":focus", "outline-style") == "solid"
    assert first(browser, "#tip").is_displayed()
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    active = browser.switch_to.active_element
    assert active.get_attribute("aria-label").startswith("true hugging, predicted hugging")
    press(browser, Keys.ENTER)
    assert first(browser, "#videos").is_displayed() and "hugging" in first(browser, "#videos-title").text
    press(browser, Keys.ESCAPE)
    assert not first(browser, "#videos").is_displayed()
    assert browser.switch_to.active_element == active
    press(browser, Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("role") != "gridcell"


def test_the_matrix_and_the_table_sort(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["usual"])
    assert row_names(browser) == ["handshaking", "hugging", "kicking", "pointing"]
    first(browser, "#matrix-order option[value=accuracy]").click()
    accuracies = [float(cell.text.split()[0]) for cell in every(browser, "#matrix td.accuracy")]
    assert accuracies == sorted(accuracies) and len(set(accuracies)) > 2
    columns = [cell.get_attribute("title") for cell in every(browser, "#matrix thead th")][1:5]
    assert columns == row_names(browser)
    heading = every(browser, "#classes thead th")[1]
    for order in ("ascending", "descending"):
        heading.find_element("css selector", "button").click()
        assert heading.get_attribute("aria-sort") == order
        values = [int(cell.text) for cell in every(browser, "#classes tbody td:nth-child(2)")]
        assert values == sorted(values, reverse=order == "descending") and len(set(values)) > 1


def test_many_classes_are_shown_a_page_at_a_time(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["many"])
    assert len(row_names(browser)) == 40
    row = [cell.text for cell in every(browser, "#matrix tbody tr:first-child [role=gridcell]")]
    assert len(row) == 42
    before = row_names(browser)
    first(browser, "#matrix-on").click()
    assert not set(before) & set(row_names(browser))
    others = every(browser, "#matrix tbody tr:first-child [role=gridcell]")[40]
    assert "predicted other classes" in others.get_attribute("aria-label")
    others.click()
    listed = first(browser, "#videos-note").text
    assert listed.split(" video")[0].split(" of ")[-1] == others.text


def test_another_class_gives_another_curve(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["usual"])
    label = first(browser, "#curve svg").get_attribute("aria-label")
    first(browser, "#curve-class option[value='2']").click()
    other = first(browser, "#curve svg").get_attribute("aria-label")
    assert "handshaking" in label and "kicking" in other


def points_of(browser: Any, selector: str) -> Any:
    """Where the corners of a line are in its chart, as shares of the ranges of the axes, both of which go from 0."""
    import numpy as np

    names = "['x1', 'x2', 'y1', 'y2'].map((name) => Number(line.getAttribute(name)))"
    ends = f"return [...document.querySelectorAll(arguments[0] + ' line.axis')].map((line) => {names})"
    axes = np.array(browser.execute_script(ends, selector.split()[0]))
    (left, right), (top, bottom) = [(axes[:, i].min(), axes[:, j].max()) for i, j in ((0, 1), (2, 3))]
    corners = first(browser, selector).get_attribute("points").split()
    pixels = np.array([[float(value) for value in corner.split(",")] for corner in corners])
    return np.stack([(pixels[:, 0] - left) / (right - left), (bottom - pixels[:, 1]) / (bottom - top)], axis=1)


def test_charts_draw_what_they_are_given(browser: Any, pages: dict[str, str]) -> None:
    import numpy as np

    opened(browser, pages["usual"])
    average = browser.execute_script("return data.averagePrecision")
    given = browser.execute_script("return data.curves")
    for label in range(4):
        first(browser, f"#curve-class option[value='{label}']").click()
        x, y = points_of(browser, "#curve polyline:not(.faint)").T
        area = np.trapezoid(y, x)
        recall, precision = map(np.array, given[label])
        assert abs(area - np.dot(np.diff(recall), precision[1:])) < 5e-3
        assert 0.2 < area < 1 and average[label] is not None
    bins = np.array(browser.execute_script("return data.calibration"))
    assert np.abs(points_of(browser, "#calibration-chart polyline") - bins[:, :2]).max() < 2e-3
    history = [record.val_top1 for record in some_history()]
    assert np.abs(points_of(browser, "#history-top1 polyline.second")[:, 1] - history).max() < 2e-3


def test_dark_light_and_print(browser: Any, pages: dict[str, str]) -> None:
    grounds = {}
    for name, options in {"light": {}, "dark": {"dark": True}, "paper": {"dark": True, "media": "print"}}.items():
        opened(browser, pages["usual"], **options)  # type: ignore[arg-type]
        grounds[name] = style_of(browser, "body", "background-color")
        shown = first(browser, ".controls").is_displayed()
        assert shown == (name != "paper")
    assert grounds["light"] == grounds["paper"] == "rgb(255, 255, 255)" != grounds["dark"]


def test_paper_holds_all_of_it(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["usual"])
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert every(browser, "details:not([open])") == []
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert every(browser, "details[open]") == []
    assert len(browser.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 20_000


def test_motion_can_be_stopped(browser: Any, tmp_path: Path) -> None:
    import numpy as np

    from actrec_zoo.data.manifest import Entry, Manifest
    from actrec_zoo.data.probe import probe
    from actrec_zoo.evaluation.page.gallery import Footage
    from tests.conftest import moving_square, write_video

    entries = [Entry(f"{n}.mp4", "ab"[n % 2]) for n in range(6)]
    for n in range(6):
        write_video(tmp_path / f"{n}.mp4", moving_square(12, step=2))
    predictions = some_predictions(("a", "b"), videos=6, seed=4)
    predictions.probabilities[:] = predictions.probabilities[:, ::-1]
    manifest = probe(Manifest.from_entries(tmp_path, entries), cache=tmp_path)
    path = tmp_path / "report.html"
    curves, footage = precision_recall_curves(predictions), Footage(manifest, np.arange(6))
    write_page(path, minimal_result(predictions), predictions, curves, footage=footage)
    opened(browser, path.as_uri())
    film = first(browser, ".film img")
    assert browser.execute_script("return arguments[0].naturalWidth", film) == 8 * 192
    assert all(image.get_attribute("alt") for image in every(browser, "img"))
    assert style_of(browser, ".film img", "animation-name") == "film"
    first(browser, "#still").click()
    assert style_of(browser, ".film img", "animation-name") == "none"
    first(browser, "#matrix td.wrong").click()
    assert every(browser, "#videos .film img")
