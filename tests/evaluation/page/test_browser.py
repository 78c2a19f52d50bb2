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

import numpy as np
import pytest

from actrec_zoo.evaluation.curves import average_precisions, precision_recall_curves
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
    lone = some_predictions(("only",), videos=3)
    many = some_predictions(tuple(f"class {n:03}" for n in range(400)), videos=8000, failed=5)
    made = {
        "usual": (usual, whole_result(usual), some_history()),
        "odd": (odd, whole_result(odd), some_history()),
        "lone": (lone, whole_result(lone), some_history(1)),
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
        "return [...document.querySelectorAll('#matrix tbody th')].map((cell) => cell.title)"
    )
    return names


def points_of(browser: Any, line: str, *, x: tuple[float, float] = (0, 1), y: tuple[float, float] = (0, 1)) -> Any:
    """Corners of a line of a chart [P, 2], by the ends of its axes."""
    script = """
        const line = document.querySelector(arguments[0]);
        const axes = [...line.closest("svg").querySelectorAll(".axis")];
        const ends = (name) => axes.flatMap((axis) => [1, 2].map((end) => Number(axis.getAttribute(name + end))));
        return [line.getAttribute("points"), ends("x"), ends("y")];
    """
    text, across, up = browser.execute_script(script, line)
    places = np.array([pair.split(",") for pair in text.split()], dtype=float)
    right = (places[:, 0] - min(across)) / (max(across) - min(across))
    high = (max(up) - places[:, 1]) / (max(up) - min(up))
    return np.stack([x[0] + right * (x[1] - x[0]), y[0] + high * (y[1] - y[0])], axis=1)


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
    for chart in every(browser, "figure.chart svg"):
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


@pytest.mark.parametrize("name", ["usual", "long"])
def test_the_area_below_a_drawn_curve_is_the_average_precision(browser: Any, tmp_path: Path, name: str) -> None:
    predictions = some_predictions(("a", "b", "c"), videos=60 if name == "usual" else 3000, failed=5)
    result, path = whole_result(predictions), tmp_path / "report.html"
    write_page(path, result, predictions, precision_recall_curves(predictions))
    opened(browser, path.as_uri())
    for label, average in enumerate(average_precisions(predictions)):
        first(browser, f"#curve-class option[value='{label}']").click()
        points = points_of(browser, "#curve polyline:not(.faint)")
        area = np.diff(points[:, 0]) @ (points[1:, 1] + points[:-1, 1]) / 2
        assert average is not None and area == pytest.approx(average, abs=1e-3)
        assert f"average precision {100 * average:.1f} %" in first(browser, "#curve figcaption").text
        faint = points_of(browser, "#curve polyline.faint")
        assert (np.diff(faint, axis=0).min(axis=1) * np.diff(faint, axis=0).max(axis=1) == 0).all(), "steps, too"


def test_figures_are_those_of_the_evaluation(browser: Any, pages: dict[str, str]) -> None:
    predictions, history = some_predictions(failed=2), some_history()
    result = whole_result(predictions)
    opened(browser, pages["usual"])
    cells = [[cell.text for cell in every(row, "[role=gridcell]")] for row in every(browser, "#matrix tbody tr")]
    assert cells == [[str(n or "") for n in row] for row in result["confusion"]]
    bars = [float(bar.get_attribute("width")) for bar in every(browser, "#classes .good .bar rect")]
    assert bars == [round(100 * row["recall"], 1) for row in result["per_class"]]
    bins = [[row["confidence"], row["accuracy"]] for row in result["calibration"]["bins"] if row["n"]]
    assert points_of(browser, "#calibration-chart .line") == pytest.approx(np.array(bins), abs=1e-3)
    for name, line, high in (("loss", "train", 2.2), ("loss", "val", 2.2), ("top1", "train", 1), ("top1", "val", 1)):
        values = [[record.epoch, getattr(record, f"{line}_{name}")] for record in history]
        chosen = f"#history-{name} .line{'.second' if line == 'val' else ':not(.second)'}"
        points = points_of(browser, chosen, x=(1, 12), y=(0, high))
        assert points == pytest.approx(np.array(values), abs=0.02)


def test_a_validation_that_was_never_made_is_not_drawn(browser: Any, tmp_path: Path) -> None:
    predictions, history, path = some_predictions(), some_history(3), tmp_path / "report.html"
    for record in history:
        object.__setattr__(record, "val_loss", float("nan"))
    write_page(path, minimal_result(predictions), predictions, precision_recall_curves(predictions), history)
    opened(browser, path.as_uri())
    assert len(every(browser, "#history-loss .line")) == 1 and len(every(browser, "#history-top1 .line")) == 2
    assert "null" not in first(browser, "#history-loss svg").get_attribute("aria-label")


def test_one_class_alone_is_shown(browser: Any, pages: dict[str, str]) -> None:
    browser.get_log("browser")
    opened(browser, pages["lone"])
    assert browser.get_log("browser") == [] and row_names(browser) == ["only"]
    assert (
        "no curve" in first(browser, "#precision-recall").text and len(every(browser, "#calibration-chart .dot")) == 1
    )


def test_headings_of_names_that_begin_alike_differ(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["odd"])
    for part in ("thead", "tbody"):
        shown = [cell.get_attribute("textContent") for cell in every(browser, f"#matrix {part} th")]
        assert len(set(shown)) == len(shown) and max(map(len, shown)) < 30


def test_a_name_from_right_to_left_does_not_turn_its_sentence_around(browser: Any, pages: dict[str, str]) -> None:
    opened(browser, pages["odd"])
    cell = first(browser, "#matrix td.right[data-true='8']")
    assert cell.get_attribute("aria-label").startswith("true \u2068مصافحة\u2069, predicted \u2068مصافحة\u2069: ")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_counts_can_be_read_on_every_shade(browser: Any, pages: dict[str, str], dark: bool) -> None:
    opened(browser, pages["usual"], dark=dark)
    script = """
        const whole = (color) => (color.startsWith("rgb") ? 255 : 1);
        const numbers = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / whole(color));
        return ["right", "wrong"].flatMap((kind) => [12, 40, 60, 70, 80, 90, 100].map((share) => {
          const cell = document.querySelector("#matrix td." + kind);
          cell.style.setProperty("--share", share + "%");
          const style = getComputedStyle(cell);
          return [numbers(style.color), numbers(style.backgroundColor)];
        }));
    """
    colors = np.array(browser.execute_script(script))
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    assert len({tuple(color) for color in colors[:, 1].round(3)}) == 14, "shades differ"
    assert (light.max(axis=1) / light.min(axis=1)).min() >= 4.5


def test_a_cell_with_the_focus_is_not_below_the_names(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, pages["many"], PHONE)
    browser.execute_script("document.querySelector('#matrix [role=gridcell]').focus()")
    press(browser, Keys.END, *[Keys.ARROW_LEFT] * 30)
    left, name = browser.execute_script(
        "return [document.activeElement, matrix.querySelector('tbody th')].map((cell) => cell.getBoundingClientRect())"
    )
    assert left["left"] >= name["right"]


def test_the_focus_stays_at_the_last_page(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, pages["many"])
    browser.execute_script("document.getElementById('matrix-on').focus()")
    for _ in range(9):
        press(browser, Keys.ENTER)
    assert "361 to 400" in first(browser, "#matrix-range").text
    assert browser.switch_to.active_element == first(browser, "#matrix-back")


@pytest.mark.parametrize("name", ["usual", "odd", "many"])
def test_nothing_is_cut_off_on_paper(browser: Any, pages: dict[str, str], name: str) -> None:
    opened(browser, pages[name], (718, 1000), media="print")
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 718
    assert browser.execute_script(
        "return [...matrix.querySelectorAll('td')].every((cell) => cell.scrollWidth <= cell.clientWidth)"
    )


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


def test_films_say_what_they_are_and_can_be_stopped(browser: Any, tmp_path: Path) -> None:
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
    assert all(image.get_attribute("alt").startswith("Frames of") for image in every(browser, "img"))
    assert style_of(browser, ".film img", "animation-name") == "film"
    first(browser, "#still").click()
    assert style_of(browser, ".film img", "animation-name") == "none"
    first(browser, "#matrix td.wrong").click()
    assert every(browser, "#videos .film img")
