"""The page in a real browser: type, filter, upload, compose, look, describe, open, go back; hostile texts stay texts."""

import re

from tests.adapters.search.app.conftest import COLON, HOSTILE, png, shown


def test_type_filter_and_reopen(page, browser, address):
    page.goto("/")
    shown(page)
    page.keyboard.press("/")
    page.keyboard.type("a green tee")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="“a green tee”").wait_for()
    page.get_by_role("checkbox", name="grey").check()
    page.get_by_role("button", name="Clear all").wait_for()
    page.locator("#results:not([aria-busy])").wait_for()
    found = shown(page)
    assert found and all("grey" in text for text in found)
    assert re.search(r"q=a\+green\+tee&tag=colour%3Agrey", page.url)
    other = browser.new_page()
    other.goto(page.url)
    assert shown(other) == found and other.locator("#words").input_value() == "a green tee"
    other.close()
    page.go_back()
    page.get_by_role("button", name="Clear all").wait_for(state="detached")
    page.go_back()
    page.get_by_role("heading", name="All products").wait_for()


def test_upload_compose_and_look(page):
    page.goto("/")
    shown(page)
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png((1500, 900))})
    page.locator("#query-photo .value").first.wait_for()
    assert re.search(r"photo=upload%3A[0-9a-f]{32}", page.url)
    page.locator("#query-photo .eye").first.click()
    patches = page.locator("#query-photo svg.look rect.shade").count()
    assert patches >= 16 and 0 < page.locator("#query-photo svg.look rect.frame").count() < patches
    page.get_by_role("button", name="Describe this photo").click()
    page.locator(".described", has_text="tee").wait_for()
    page.fill("#words", "in green")
    page.keyboard.press("Enter")
    page.get_by_role("radio", name="Blend").wait_for(state="attached")
    page.locator("#query-photo .steps", has_text="green").wait_for()
    page.locator("label", has_text="Blend").click()
    page.get_by_label("weight of the words").wait_for()
    assert "method=slerp" in page.url and "Like the photo, but" in page.inner_text("#heading")
    page.get_by_role("button", name="Remove the photo").click()
    page.get_by_role("heading", name="“in green”", exact=True).wait_for()


def test_a_product_and_its_like(page):
    page.goto("/")
    shown(page)
    page.locator("#words").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#product .similar button").first.wait_for()
    assert page.locator("#product .similar button").count() == 8
    page.keyboard.press("Escape")
    page.locator("#product").wait_for(state="hidden")
    page.wait_for_url(re.compile(r"/$"))
    page.go_forward()  # the dialog again
    page.locator("#product h2").wait_for()
    page.get_by_role("button", name="Search with this photo").click()
    page.locator("#photo-chip img").wait_for()
    assert "photo=product" in page.url and page.evaluate("document.activeElement.id") == "words"


def test_a_failed_search_is_tried_again_and_a_failed_page_keeps_the_products(page, context):
    page.goto("/")
    shown(page)
    context.set_offline(True)
    for words in ("red", "green"):
        page.fill("#words", words)
        page.keyboard.press("Enter")
        page.locator("#message", has_text="cannot be reached").wait_for()
    context.set_offline(False)
    page.keyboard.press("Enter")  # the same words
    assert len(shown(page)) == 24
    context.set_offline(True)
    page.get_by_role("button", name="Show more").click()
    page.locator("#said", has_text="cannot be reached").wait_for()
    context.set_offline(False)
    assert page.locator(".card").count() == 24
    page.get_by_role("button", name="Show more").click()
    page.locator(".card").nth(39).wait_for()


def test_typed_words_survive_whatever_is_chosen(page):
    choices = {
        "photo": lambda: page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png()}),
        "filter": lambda: page.get_by_role("checkbox", name="grey").check(),
        "like": lambda: page.locator(".like").first.dispatch_event("click"),
    }
    for name, choose in choices.items():
        page.goto("/")
        shown(page)
        page.fill("#words", "in blue")
        choose()
        page.wait_for_url(re.compile(r"q=in\+blue"))
        shown(page)
        assert page.input_value("#words") == "in blue", name
    page.goto("/")
    shown(page)
    page.fill("#words", "in blue")
    page.locator(".card").first.click()  # looks at a product, chooses nothing
    page.locator("#product h2").wait_for()
    page.keyboard.press("Escape")
    page.locator("#product").wait_for(state="hidden")
    assert page.input_value("#words") == "in blue" and "q=" not in page.url


def test_back_never_opens_a_product_that_was_closed(page):
    leave = {
        "Escape": lambda: page.keyboard.press("Escape"),
        "button": lambda: page.locator("#product .close").click(),
        "another": lambda: (page.locator("#product .similar button").first.click(), page.keyboard.press("Escape")),
        "filter": lambda: page.locator("#product dd .value", has_text="Nike").click(),
    }
    for name, away in leave.items():
        page.goto("/")
        page.goto("/?q=tee")
        shown(page)
        page.locator(".card", has_text="Nike").first.click()
        page.locator("#product .similar button").first.wait_for()
        away()
        page.locator("#product").wait_for(state="hidden")
        if name != "filter":
            page.wait_for_url(re.compile(r"\?q=tee$"))
        page.go_back()
        shown(page)
        assert not page.evaluate("document.querySelector('#product').open") and "product=" not in page.url, name


def test_hostile_texts_stay_texts(page):
    page.goto("/")
    shown(page)
    page.get_by_role("button", name="Show more").click()
    page.locator("#results .caption", has_text="onerror").wait_for()
    page.locator("#results .card", has_text="onerror").click()
    page.locator("#product h2", has_text="onerror").wait_for()
    assert page.locator("#product h2").inner_text() == HOSTILE and page.locator("#product h2 img").count() == 0
    page.locator("#product .tag-list .value", has_text="onerror").click()
    page.locator("#chips", has_text="onerror").wait_for()
    page.get_by_role("checkbox", name=re.compile("onerror")).wait_for()
    assert page.title() != "owned"
    page.goto("/?q=%3Cimg+src%3Dx+onerror%3Ddocument.title%3D1%3E&tag=%3Cscript%3E:x")
    page.locator("#message").wait_for()
    assert page.title() != "owned"


def test_a_tag_whose_name_holds_a_colon_is_ticked(page):
    page.goto("/")
    shown(page)
    page.locator(f'[data-tag="{COLON}:cold: 30"]').check()
    page.locator("#chips", has_text="cold: 30").wait_for()
    page.locator("#found", has_text=re.compile("^1 product$")).wait_for()
    page.locator(f'[data-tag="{COLON}:cold: 30"]').uncheck()
    page.locator("#found", has_text="40 products").wait_for()


def test_empty_and_error_states_lead_on(page):
    page.goto("/?tag=colour:purple")
    page.get_by_text("Nothing here passes these filters.").wait_for()
    page.get_by_role("button", name="Clear the filters").click()
    shown(page)
    page.goto("/?photo=upload:gone&q=in+red")
    page.get_by_role("button", name="Search without the photo").click()
    page.get_by_role("heading", name="“in red”", exact=True).wait_for()
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no photo"})
    page.locator("#said", has_text="not a photo").wait_for()
    page.goto("/?product=gone")
    page.locator("#product", has_text="no such product").wait_for()


def test_on_a_phone_nothing_is_wider_than_the_screen(page):
    page.set_viewport_size({"width": 360, "height": 740})
    for url in ("/?q=tee&tag=colour:red", "/?photo=product:tee-1&q=in+red", "/?product=tee-1"):
        page.goto(url)
        shown(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto("/")
    shown(page)
    page.get_by_role("button", name="Filters").click()
    page.locator('[data-tag="colour:red"]').check()
    page.get_by_role("button", name="Show 11 products").click()
    page.get_by_role("button", name="Filters (1)").wait_for()
