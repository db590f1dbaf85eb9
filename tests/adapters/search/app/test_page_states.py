"""States of the page in a real browser: start, counts, slow lines, Back, drops, tables, weak matches, accessibility."""

import re

import pytest

from tests.adapters.search.app.conftest import png, shown

STATES = (
    "/",
    "/?q=tee&tag=colour:red",
    "/?photo=product:tee-1&q=in+red",
    "/?photo=product:tee-1&box=0,0,0.5,1",
    "/?photo=product:tee-1&photo=product:tee-2&minus=product:tee-3&sort=price",
    "/?tag=colour:purple",
    "/?product=tee-1",
    "/nowhere",
)


def drop(page, kind: str, text: str, *, own: bool = False) -> None:
    """Drags something over the page and lets it go."""
    page.evaluate(
        """([kind, text, own]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.setData(kind, text);
            const fire = (name) => document.querySelector(".card").dispatchEvent(
                new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true }));
            if (own) fire("dragstart");
            fire("dragover");
            fire("drop");
            if (own) fire("dragend");
        }""",
        [kind, text, own],
    )


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_axe_finds_no_fault(page, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 844})
    for state in STATES:
        page.goto(state)
        page.wait_for_load_state("networkidle")
        found = axe.run(page).response["violations"]
        assert not found, (state, [(fault["id"], [node["html"] for node in fault["nodes"]][:3]) for fault in found])


def test_the_start_invites_and_its_examples_search(page):
    page.goto("/")
    shown(page)
    assert page.locator("#found").inner_text() == "40 products"
    example = page.locator("#start button").first
    words = example.inner_text()
    example.click()
    page.get_by_role("heading", name=f"“{words}”").wait_for()
    assert page.locator("#start").is_hidden()
    assert page.locator(f'#suggestions option[value="{words}"]').count() == 1


def test_ticks_before_the_answer_all_count(page):
    page.goto("/")
    shown(page)
    page.evaluate("for (const name of ['colour:red', 'colour:blue']) document.querySelector(`[data-tag='${name}']`).click()")
    page.wait_for_url(re.compile("tag=colour%3Ared&tag=colour%3Ablue"))


def test_nothing_found_says_which_filter_to_drop(page):
    page.goto("/?tag=colour:purple&tag=brand:Nike")
    page.get_by_role("button", name="Any colour: 20 products").click()
    page.wait_for_url(re.compile(r"\?tag=brand%3ANike$"))
    shown(page)


def test_back_returns_to_the_same_products_and_place(page):
    page.goto("/")
    shown(page)
    page.get_by_role("button", name="Show more").click()
    page.locator(".card").nth(39).scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    page.evaluate("document.querySelector(\"[data-tag='colour:red']\").click()")
    page.get_by_role("heading", name="Filtered products").wait_for()
    page.locator("#found", has_text="11 products").wait_for()
    page.go_back()
    page.locator("#found", has_text="40 products").wait_for()
    assert page.locator(".card").count() == 40 and abs(page.evaluate("scrollY") - place) < 5


def test_only_photos_are_taken_from_a_drop(page):
    page.goto("/")
    shown(page)
    drop(page, "text/plain", "a tee", own=True)
    assert page.locator("#drop").is_hidden() and not page.locator("#said").inner_text()
    drop(page, "text/uri-list", "https://shop.example/tee.jpg")
    page.locator("#said", has_text="Save the picture first").wait_for()
    page.set_input_files("#file", {"name": "IMG.HEIC", "mimeType": "image/heic", "buffer": b"\0\0\0\x18ftypheic"})
    page.locator("#said", has_text="HEIC").wait_for()
    assert "photo=" not in page.url


def test_the_hits_as_a_table(page):
    page.goto("/?tag=colour:red")
    shown(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save table").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0] == '"product_id","caption","brand","colour","price"' and len(lines) == 12
    assert any(line.startswith('"tee-0","A red tee number 0"') for line in lines)


def test_confidence_is_told_in_words_and_a_photo_finds_its_garment(page):
    page.goto("/?photo=product:tee-1")
    page.locator("#query-photo .value").first.wait_for()
    assert set(page.locator("#query-photo .readings .count").all_inner_texts()) == {"from the catalogue"}
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png()})
    page.wait_for_url(re.compile("photo=upload"))
    page.locator("#query-photo .value").first.wait_for()
    assert set(page.locator("#query-photo .readings .count").all_inner_texts()) <= {"likely", "a guess"}


def test_more_like_this_is_there_without_a_mouse(browser, address):
    context = browser.new_context(base_url=address, viewport={"width": 768, "height": 1024}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto("/")
    shown(page)
    assert page.locator(".like").first.evaluate("node => getComputedStyle(node).opacity") == "1"
    context.close()
