"""The service's page in a real browser: what a person gives is asked, and any answer is shown as what it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route as Path_

from components.ingestion import png
from components.tasks.task import EndpointSchema
from serving import page as pages
from serving.app import ModelApp
from serving.worker import Worker
from tests import accessibility, registry_page, small_package
from tests.serving import packages
from tests.serving.service import listening
from tests.serving.test_other_tasks import bundle

PROGRAM = registry_page.browser()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")]
NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    assert PROGRAM
    with registry_page.opened(PROGRAM) as page:
        page.set_default_timeout(10_000)
        expect.set_options(timeout=10_000)
        yield page


def of_worker(folder: Path) -> Starlette:
    app = ModelApp()
    app.serve(Worker(folder, None, threads=1))
    return app.asgi


def test_a_picture_is_classified_and_a_text_file_refused(page: Page, tmp_path: Path) -> None:
    small_package.bundle(tmp_path / "bundle", "7")
    (tmp_path / "a.png").write_bytes(small_package.image(0))
    (tmp_path / "a.txt").write_text("hello")
    with listening(of_worker(tmp_path / "bundle")) as url:
        page.goto(url)
        page.locator("input[type=file]").set_input_files(tmp_path / "a.png")
        expect(page.locator("#answer tr")).to_have_count(3)
        shown = page.locator("#answer tr").all_inner_texts()
        assert {text.split()[0] for text in shown} == set(small_package.CLASSES)
        expect(page.locator("#answer h2")).to_have_text(shown[0].split()[0])
        page.locator("input[type=file]").set_input_files(tmp_path / "a.txt")
        expect(page.locator(".refused")).to_have_text("not an image")


def test_a_text_and_parameters(page: Page, tmp_path: Path) -> None:
    bundle(tmp_path, "1")
    with listening(of_worker(tmp_path)) as url:
        page.goto(url)
        page.locator("textarea").fill(NASTY)
        expect(page.locator("#parameters input[name=times]")).to_have_value("2")  # its example
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer blockquote")).to_have_text(NASTY * 2)
        assert page.locator("#answer img").count() == 0
        page.locator("#parameters input[name=times]").fill("20")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator(".refused")).to_contain_text("times")


PIXELS = base64.b64encode(png.encode(np.zeros((8, 8), np.uint8))).decode()
ANSWERS: list[tuple[Literal["image", "text", "sound", "json"], dict[str, Any], dict[str, int]]] = [
    (
        "text",
        {"spans": [{"start": 2, "end": 7, "label": NASTY, "score": 0.5, "text": "Paris"}]},
        {"blockquote > mark": 1, "img": 0},
    ),
    (
        "image",
        {"boxes": [{"label": NASTY, "score": 0.9, "xmin": 1.0, "ymin": 1.0, "xmax": 6.0, "ymax": 5.0}]},
        {".picture svg rect": 1, ".picture svg text": 1},
    ),
    ("json", {"image": PIXELS, "label": "7", "seed": 3}, {"img.made": 1, "h2": 1, "pre": 1}),
    (
        "json",
        {"values": [[1.0, 2.0], [3.0, 1.0]], "quantiles": {"0.1": [[0.0, 1.0], [2.0, 0.0]]}, "channels": ["a", "b"]},
        {"svg.chart polyline": 4, "p small": 3},
    ),
    ("sound", {"label": NASTY, "probabilities": {NASTY: 0.75, "b": 0.25}}, {"tr": 2, "img": 0}),
    ("json", {"strange": {"deep": [1, 2]}}, {"pre": 1}),
]


@pytest.mark.parametrize(("form", "prediction", "expected"), ANSWERS)
def test_every_kind_of_answer_is_shown_as_what_it_is(
    form: Literal["image", "text", "sound", "json"],
    prediction: dict[str, Any],
    expected: dict[str, int],
    page: Page,
    tmp_path: Path,
) -> None:
    wire = EndpointSchema("thing", "things", ("a/b",), {"type": "number"}, {}, form, "Do it")
    content = pages.render({"name": NASTY, "version": "1", "package": "c"}, wire)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def answer(route: Route) -> None:
        body = {"predictions": [prediction], "model": {}}
        route.fulfill(status=200, body=json.dumps(body), headers={"content-type": "application/json"})

    with listening(Starlette(routes=[Path_("/", lambda _: HTMLResponse(content))])) as url:
        page.route("**/predict", answer)
        page.goto(url)
        if form in ("image", "sound"):
            (tmp_path / "a.png").write_bytes(base64.b64decode(PIXELS))
            page.locator("input[type=file]").set_input_files(tmp_path / "a.png")
        else:
            page.locator("textarea").fill("a Paris" if form == "text" else "[1]")
            page.get_by_role("button", name="Ask").click()
        for selector, count in expected.items():
            expect(page.locator(f"#answer {selector}")).to_have_count(count)
        page.unroute("**/predict")
    assert not wrong


def test_examples_are_tried_and_a_label_is_explained(page: Page, tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "7")
    with listening(of_worker(tmp_path)) as url:
        page.goto(url)
        expect(page.locator("#examples button img").first).to_be_visible()
        page.locator("#examples button").first.click()
        expect(page.locator("#given img")).to_be_visible()
        expect(page.locator("#answer tr")).to_have_count(3)
        other = page.locator("#answer tr").nth(1)
        label = other.locator("td").first.inner_text()
        other.get_by_role("button", name=f"why {label}?").click()
        expect(page.locator("#why h3")).to_contain_text(f"What “{label}” (")
        expect(page.locator("#why rect")).to_have_count(64)
        assert page.locator("#why canvas").evaluate("canvas => [canvas.width, canvas.height]") == [8, 8]
        assert page.locator("#why rect title").first.text_content() not in ("", "NaN")
        assert "NaN" not in page.locator("#why").inner_text()
        (tmp_path / "a.txt").write_text("hello")
        page.locator("input[type=file]").set_input_files(tmp_path / "a.txt")
        expect(page.locator(".refused")).to_have_text("not an image")
        expect(page.locator("#why")).to_be_empty()


def test_a_file_is_dropped(page: Page, tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "7")
    content = base64.b64encode(small_package.image(1)).decode()
    drop = """content => {
        const dropped = new DataTransfer();
        const levels = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
        dropped.items.add(new File([levels], "a.png", {type: "image/png"}));
        const event = new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true});
        document.querySelector("form").dispatchEvent(event);
    }"""
    with listening(of_worker(tmp_path)) as url:
        page.goto(url)
        page.evaluate(drop, content)
        expect(page.locator("#answer tr")).to_have_count(3)


def test_a_row_and_a_sound_are_explained(page: Page, tmp_path: Path) -> None:
    packages.table(tmp_path / "table")
    with listening(of_worker(tmp_path / "table")) as url:
        page.goto(url)
        page.locator("#examples button").first.click()
        page.locator("#answer").get_by_role("button", name="why").first.click()
        expect(page.locator("#why tr")).to_have_count(3)
        assert json.loads(page.locator("textarea").input_value()) == packages.ROWS[0]
    packages.sound(tmp_path / "sound")
    with listening(of_worker(tmp_path / "sound")) as url:
        page.goto(url)
        page.locator("#examples button").first.click()
        expect(page.locator("#given audio")).to_be_visible()
        expect(page.locator("#given canvas")).to_be_visible()
        page.locator("#answer").get_by_role("button", name="why").first.click()
        expect(page.locator("#why canvas")).to_be_visible()
        assert page.locator("#why rect").count() == 8 * min(32, page.locator("#why canvas").evaluate("c => c.width"))


@pytest.mark.skipif(not accessibility.AXE.is_file(), reason="no axe-core here")
def test_it_can_be_read_by_all(page: Page, tmp_path: Path) -> None:
    """axe-core finds nothing serious, before an answer and after an explanation."""
    small_package.bundle(tmp_path, "7")
    with listening(of_worker(tmp_path)) as url:
        page.goto(url)
        expect(page.locator("#examples button").first).to_be_visible()
        assert accessibility.serious(page) == []
        page.locator("#examples button").first.click()
        page.locator("#answer").get_by_role("button", name="why").first.click()
        expect(page.locator("#why canvas")).to_be_visible()
        assert accessibility.serious(page) == []
