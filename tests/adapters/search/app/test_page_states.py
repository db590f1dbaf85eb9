"""States of the page in a real browser: start, counts, slow lines, Back, drops, tables, weak matches, accessibility."""

import csv
import io
import re

import pytest
from PIL import Image

from tests.adapters.search.app.conftest import COLON, HOSTILE, png, shown
from tests.conftest import axe_faults

STATES = (
    "/",
    "/?q=tee&tag=colour:red",
    "/?photo=product:tee-1&q=in+red",
    "/?photo=product:tee-1&box=0,0,0.5,1",
    "/?photo=product:tee-1&photo=product:tee-2&minus=product:tee-3&sort=price",
    "/?tag=colour:purple",
    "/?between=price:5..20.5&tag=brand:Nike",
    "/?product=tee-1",
    "/nowhere",
    SAVED := "/?q=tee",
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
    page.set_viewport_size({"width": width, "height": 844})
    for state in STATES:
        page.goto(state)
        page.wait_for_load_state("networkidle")
        if state == SAVED:
            page.get_by_role("button", name="Saved searches").click()
        assert axe_faults(page) == [], state


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


def test_nothing_found_for_words_blames_no_filter(page):
    page.goto("/?q=price+under+-5")
    page.locator("#message", has_text="Nothing here fits “price under -5”.").wait_for()


def test_a_range_of_prices_by_keyboard(page):
    page.goto("/")
    shown(page)
    low, high = page.get_by_label("price from"), page.get_by_label("price to")
    assert (low.get_attribute("placeholder"), high.get_attribute("placeholder")) == ("0", "38")
    low.focus()
    page.keyboard.type("10,5")
    page.keyboard.press("Tab")  # on to the other field
    page.keyboard.type("2")
    page.wait_for_url(re.compile(r"between=price%3A10\.5\.\.$"))
    page.locator("#found", has_text="28 products").wait_for()
    page.keyboard.type("0")  # an answer that came meanwhile took nothing
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"between=price%3A10\.5\.\.20$"))
    page.locator("#found", has_text="10 products").wait_for()
    page.reload()
    shown(page)
    assert (low.input_value(), high.input_value()) == ("10.5", "20")
    page.locator("#chips button", has_text="price 10.5 to 20").wait_for()
    low.fill("cheap")
    high.focus()
    page.get_by_text("Write a number").wait_for()
    low.fill("50")
    high.focus()
    page.get_by_role("button", name="Any price: 40 products").click()
    page.wait_for_url(re.compile(r"/$"))
    shown(page)
    assert low.input_value() == "" and page.locator("#chips button").count() == 0


def test_what_was_understood_of_sizes_and_prices_is_told(page):
    page.goto("/?q=price+10+to+20")
    page.locator("#found", has_text=re.compile(r"^11 products; only price 10 to 20$")).wait_for()
    page.goto("/?photo=product:tee-2&q=in+red,+not+price+0")
    page.locator("#found", has_text="only not price 0").wait_for()
    assert page.locator(".steps div", has_text="Only").inner_text().split("\n")[-1] == "not price 0"


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
    for own in (True, False):
        drop(page, "text/plain", "a tee", own=own)
        assert page.locator("#drop").is_hidden() and not page.locator("#said").inner_text()
    drop(page, "text/uri-list", "https://shop.example/tee.jpg")
    page.locator("#said", has_text="Save the picture first").wait_for()
    page.set_input_files("#file", {"name": "IMG.HEIC", "mimeType": "image/heic", "buffer": b"\0\0\0\x18ftypheic"})
    page.locator("#said", has_text="HEIC").wait_for()
    assert "photo=" not in page.url


def test_the_hits_as_a_table(page, client):
    page.goto("/?tag=colour:red&q=tee")
    shown(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save table").click()
    header, *rows = csv.reader(io.StringIO(download.value.path().read_text("utf-8-sig"), newline=""))
    hits = client.get("/api/search", params={"tag": "colour:red", "q": "tee"}).json()["products"]
    assert header == ["product_id", "score", "caption", "brand", "colour", "price", COLON] and len(hits) == 11
    assert rows == [
        [hit["product_id"], f"{hit['score']:.4f}", hit["caption"], *(hit["tags"].get(name, "") for name in header[3:])]
        for hit in hits
    ]


def test_no_cell_of_the_table_is_a_formula(page):
    page.goto("/")
    cells = {text: f'"\'{text}"' for text in ("=1+1", "+1-1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "-")}
    cells |= {text: f'"{text}"' for text in ("-1", "-0.25", "12.5", "a = b", "tee-1", "")} | {'a "b"': '"a ""b"""'}
    made = page.evaluate("async (texts) => texts.map((await import('/assets/table.js')).cell)", list(cells))
    assert dict(zip(cells, made, strict=True)) == cells


def test_searches_are_saved_opened_and_deleted(page):
    page.goto("/?q=tee&tag=colour:red&between=price:10..20")
    found = shown(page)
    page.evaluate("localStorage.setItem('e2-saved-searches', '{\"no\": \"list\"}')")  # of whatever program
    opened, name = page.get_by_role("button", name="Saved searches"), page.get_by_label("Name")
    opened.click()
    page.get_by_text("None yet.").wait_for()
    assert name.input_value() == "tee, red, price 10 to 20"
    for called in ("mine", HOSTILE[:100], "mine"):  # the same name replaces
        name.fill(called)
        page.keyboard.press("Enter")
        page.get_by_text(f"“{called}” is saved").wait_for()
    assert page.locator("#saved li a").all_inner_texts() == ["mine", HOSTILE[:100]]
    page.evaluate("history.replaceState(null, '', '/')")
    page.get_by_role("link", name="mine").click()
    page.wait_for_url(re.compile(r"\?q=tee&tag=colour%3Ared&between=price%3A10..20$"))
    assert shown(page) == found
    opened.click()
    page.get_by_role("button", name="Delete mine").click()
    page.get_by_text("“mine” is deleted").wait_for()
    assert page.locator("#saved li").count() == 1 and page.title() != "owned"
    page.evaluate("Storage.prototype.setItem = () => { throw new Error('full') }; 0")
    page.get_by_role("button", name="Save this search").click()
    page.get_by_text("Copy the link instead").wait_for()


def test_confidence_is_told_in_words_and_a_photo_finds_its_garment(page):
    page.goto("/?photo=product:tee-1")
    page.locator("#query-photo .value").first.wait_for()
    own = page.locator("#query-photo .readings li", has_not_text=COLON)  # the only tag that it lacks
    assert set(own.locator(".count").all_inner_texts()) == {"from the catalogue"}
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


def test_a_long_description_has_a_title(page):
    title, rest = "A relaxed Dr. Martens tee in red.", "It is soft. " * 60

    def lengthen(route):
        answer = route.fetch().json()
        for product in answer.get("products", [answer]):
            product["caption"] = f"{title} {rest}"
        route.fulfill(json=answer)

    page.route(re.compile("/api/(search|product)[?]"), lengthen)
    page.goto("/?product=tee-1")
    sheet = page.locator("#product")
    assert sheet.locator("h2").inner_text() == title
    sheet.get_by_text(rest.strip()).wait_for()
    assert {image.get_attribute("alt") for image in sheet.locator("img").all()} == {title}
    sheet.get_by_role("button", name="Close").click()
    assert set(shown(page)) == {title}
    assert page.get_by_role("button", name=f"More like this: {title}").count() == 24  # read aloud, too


def test_a_title_breaks_no_letter(page):
    page.goto("/")
    title, rest = page.evaluate("async (text) => (await import('/assets/dom.js')).titled(text)", "a" + "👗" * 200)
    assert title == "a" + "👗" * 119 + "…" and rest == "a" + "👗" * 200


def test_the_next_product_is_read_from_its_title(page):
    page.goto("/?product=tee-1")
    similar = page.locator("#product .similar button").first
    similar.focus()
    page.keyboard.press("Enter")
    page.locator("#product h2:focus").wait_for()


def test_a_slow_search_says_that_it_goes_on_and_a_failed_one_can_be_tried_again(page):
    held = []
    page.route("**/api/search*", lambda route: held.append(route))
    page.goto("/?q=red")
    page.locator("#found", has_text="Searching").wait_for()
    held.pop().abort()
    page.get_by_role("button", name="Try again").click()
    page.locator("#found", has_text="Searching").wait_for()
    held.pop().continue_()
    shown(page)
    assert page.locator("#found").inner_text() == "40 products"


def test_what_the_searcher_asked_wrongly_is_not_tried_again(page):
    page.goto("/?photo=upload:gone&q=red")
    page.locator("#message", has_text="no longer kept").wait_for()
    assert page.get_by_role("button", name="Try again").count() == 0


def test_the_down_key_chooses_suggestions_while_one_types(page):
    page.goto("/?q=red")
    shown(page)
    page.locator("#words").focus()
    page.keyboard.type(" tee")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == "words"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"q=red\+tee"))
    shown(page)
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.className") == "card"


@pytest.mark.parametrize("width", [1280, 768, 375, 320])
@pytest.mark.parametrize("state", ["/", "/?photo=product:tee-1&photo=product:tee-2"])
def test_what_the_field_asks_for_is_seen_whole(page, width, state):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(state)
    shown(page)
    wanted, there = page.locator("#words").evaluate(
        """(field) => {
            const style = getComputedStyle(field), paint = document.createElement("canvas").getContext("2d");
            paint.font = style.font;
            const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
            return [paint.measureText(field.placeholder).width, field.clientWidth - padding];
        }"""
    )
    assert wanted <= there


def test_right_to_left_words_turn_nothing_else_around(page):
    words = "فستان أحمر"
    page.goto("/?photo=product:tee-1&q=" + words)
    shown(page)
    assert page.locator("#heading bdi").inner_text() == words
    assert page.locator("#words").evaluate("(field) => getComputedStyle(field).direction") == "rtl"


def test_forced_colours_show_the_focus_and_keep_a_products_colour(page):
    page.emulate_media(forced_colors="active")
    page.goto("/")
    shown(page)
    page.locator("#words").focus()
    style = "(node) => [getComputedStyle(node).outlineStyle, getComputedStyle(node).backgroundColor]"
    assert page.locator(".field").evaluate(style)[0] == "solid"
    own = page.locator(".card", has_text="A red tee").locator(".spot").first
    assert own.evaluate(style)[1] == "rgb(255, 0, 0)"


def test_the_sheet_stands_before_its_similar_products(page):
    held = []
    page.route("**/api/search?photo=*", lambda route: held.append(route))
    page.goto("/?product=tee-1")
    page.locator("#product h2:focus", has_text="tee number 1").wait_for()
    assert "closely=false" in held[0].request.url  # a re-ranker would make it wait
    held.pop().abort()
    assert page.locator("#product .actions").is_visible()


def test_a_message_is_seen_over_an_open_product_and_after_it(page):
    page.goto("/?product=tee-1")
    page.locator("#product .similar button").first.wait_for()
    page.evaluate("navigator.clipboard.writeText = async () => {}; 0")
    page.locator("#product").get_by_role("button", name="Copy link").click()
    page.locator("#product #said.shown", has_text="Link copied").wait_for()
    page.keyboard.press("Escape")
    page.locator("#product").wait_for(state="hidden")
    page.get_by_role("button", name="Copy link").click()
    page.locator("body > #said.shown", has_text="Link copied").wait_for()


def test_a_slow_upload_is_told_until_it_ends(page):
    page.clock.install()
    page.goto("/")
    shown(page)
    held = []
    page.route("**/api/photos", lambda route: held.append(route))
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png()})
    page.locator("#said.shown", has_text="Sending").wait_for()
    page.clock.run_for(30_000)
    assert page.locator("#said.shown").count() == 1
    held.pop().continue_()
    page.wait_for_url(re.compile("photo=upload"))
    page.locator("#said:not(.shown)").wait_for(state="attached")


def test_photos_of_other_kinds_are_taken_and_other_files_refused_in_plain_words(page):
    page.goto("/")
    shown(page)
    picture = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(picture, "GIF")
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"red"})
    page.locator("#said.shown", has_text="That was not a photo; choose or drop a JPEG").wait_for()
    page.set_input_files("#file", {"name": "a.gif", "mimeType": "image/gif", "buffer": picture.getvalue()})
    page.wait_for_url(re.compile("photo=upload"))


def test_what_had_the_focus_and_went_leaves_it_to_the_heading(page):
    page.goto("/?tag=colour:red&q=tee")
    shown(page)
    gone = {
        "chip": lambda: page.locator("#chips button").first,
        "example": lambda: page.locator("#start button").first,
        "card": lambda: page.locator(".card").first,
    }
    for name, node in gone.items():
        node().focus()
        if name == "card":
            page.evaluate("document.querySelector(\"[data-tag='colour:red']\").click()")
        else:
            page.keyboard.press("Enter")
        page.locator("#heading:focus").wait_for()
        if name == "chip":
            page.goto("/")
        shown(page)
    page.locator('[data-tag="brand:Nike"]').press("Space")  # one that stays keeps it
    page.wait_for_url(re.compile("tag=brand"))
    shown(page)
    assert page.locator('[data-tag="brand:Nike"]:focus').count() == 1


def test_filters_on_a_phone_are_all_there_is_until_they_close(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    shown(page)
    page.get_by_role("button", name="Filters").click()
    assert page.locator("main").evaluate("node => node.inert")
    page.locator('[data-tag="colour:red"]').check()
    page.get_by_role("button", name="Show 11 products").wait_for()
    page.set_viewport_size({"width": 1024, "height": 768})  # a tablet is turned
    page.get_by_role("button", name="Search", exact=True).click()
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Filters (1)").press("Enter")
    page.get_by_role("button", name="Show 11 products").press("Enter")
    assert page.locator("#open-filters:focus").count() == 1 and not page.locator("main").evaluate("node => node.inert")


def test_a_filter_of_the_api_in_the_address_counts_and_can_be_removed(page):
    page.goto("/?filter=price+%3E+10+and+price+%3C%3D+20")
    shown(page)
    assert page.locator("#found").inner_text() == "10 products"
    page.get_by_role("checkbox", name="red").check()
    page.wait_for_url(re.compile("tag=colour.*filter=price"))
    page.locator("#chips button", has_text="price > 10 and price <= 20").click()
    page.locator("#found", has_text="11 products").wait_for()


def test_links_of_products_are_neither_filters_nor_searches(page):
    def add(route):
        answer = route.fetch().json()
        answer["facets"][COLON] = {f"https://shop.example/{number}": 1 for number in range(30)} | {"sold out": 9}
        route.fulfill(json=answer)

    page.route(re.compile("/api/search"), add)
    page.goto("/")
    shown(page)
    assert page.locator("#filters legend:visible").all_inner_texts() == ["Brand", "Colour", "Price"]
    assert "shop.example" not in page.locator("#start").inner_text() + page.locator("#suggestions").inner_html()


def test_it_is_told_that_a_reranker_looked(page):
    steps = {"reranked": "18 of 20 hits by a judge"}
    page.route(re.compile("/api/search"), lambda route: route.fulfill(json=route.fetch().json() | {"steps": steps}))
    page.goto("/?q=tee")
    page.locator("#found", has_text="; looked at closely: 18 of 20 hits by a judge").wait_for()
