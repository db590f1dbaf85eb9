"""Photos of a search in a real browser: several, less of one, a part by mouse, finger and keys; sort; colours on cards."""

import re

from tests.adapters.search.app.conftest import png, products, shown


def choose(page, button: str, colour) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button, exact=True).click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": png(colour=colour)})


def test_several_photos_and_less_of_one(page):
    page.goto("/")
    shown(page)
    page.locator(".card").first.hover()
    page.locator(".like").first.click()
    page.locator("#query-photo .own").wait_for()
    choose(page, "Add a photo", (30, 40, 200))
    page.get_by_role("heading", name="Like the photos").wait_for()
    assert len(re.findall("photo=", page.url)) == 2 and "photo=upload" in page.url
    page.fill("#words", "in green")
    shown(page)
    page.locator("#results li", has_text="tee number").nth(2).get_by_role(
        "button", name=re.compile("^Less like")
    ).dispatch_event("click")
    page.wait_for_url(re.compile(r"q=in\+green.*minus=product"))  # what was typed is part of it
    tiles = page.get_by_role("list", name="Photos of the search").locator(".tile")
    assert tiles.count() == 3 and page.get_by_alt_text("a photo to move away from").count() == 1
    page.get_by_role("button", name="More of it").click()
    page.wait_for_url(lambda url: "minus" not in url and url.count("photo=") == 3)
    page.get_by_role("button", name="Remove a photo you search with").first.click()
    page.get_by_role("button", name="Less of it").first.click()
    page.locator("#query-photo .own").wait_for()  # one is left, and one to move away from
    page.get_by_role("button", name="Remove the photos").click()
    page.get_by_role("heading", name="“in green”", exact=True).wait_for()


def box_of(page) -> list[float]:
    found = re.search(r"box=([\d.%C]+)", page.url)
    return [] if found is None else [float(side) for side in found[1].split("%2C")]


def test_a_part_by_mouse_and_by_keys(page):
    page.goto("/?photo=product:tee-1")
    shown(page)
    area = page.locator(".own .picture").bounding_box()
    x, y, width, height = (area[name] for name in ("x", "y", "width", "height"))
    page.mouse.move(x + 0.1 * width, y + 0.2 * height)
    page.mouse.down()
    page.mouse.move(x + 0.3 * width, y + 0.5 * height)
    page.mouse.move(x + 0.6 * width, y + 0.9 * height)
    page.mouse.up()
    page.wait_for_url(re.compile("box="))
    assert all(abs(a - b) < 0.02 for a, b in zip(box_of(page), (0.1, 0.2, 0.6, 0.9), strict=True))
    page.get_by_text("Read off this part").wait_for()
    page.get_by_role("button", name="Whole photo").click()
    page.wait_for_url(lambda url: "box" not in url)
    page.get_by_role("button", name="Choose a part").press("Enter")
    frame = page.get_by_role("button", name=re.compile("^Part to search with: from 20 to 80 percent of the width"))
    assert frame.evaluate("node => node === document.activeElement")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("box="))
    assert box_of(page) == [0.18, 0.18, 0.76, 0.8]
    assert page.evaluate("document.activeElement.textContent") == "Whole photo"  # where the keyboard was
    page.go_back()
    page.wait_for_url(lambda url: "box" not in url)


def test_parts_are_proposed_where_tokens_looked(page):
    """By mouse and by key; on a product's own page, too."""
    proposed = {"parts": [{"entities": ["sub_category", "colour"], "box": [0.1, 0.2, 0.6, 0.9]}]}
    read = lambda route: route.fulfill(json=route.fetch().json() | proposed)  # noqa: E731 - tokens of a toy encoder look anywhere
    page.route(re.compile("/api/read.*photo=product%3Atee-1$"), read)
    for address, focused in (("/?photo=product:tee-1", "hover"), ("/?photo=product:tee-2&product=tee-1", "focus")):
        page.goto(address)
        chip = page.get_by_role("button", name="sub category, colour")
        getattr(chip, focused)()
        sides = "node => [node, node.parentElement].map(each => each.getBoundingClientRect().toJSON())"
        frame, area = page.locator(".proposed").evaluate(sides)  # at one moment: the photo may still be loading
        assert abs(frame["x"] - area["x"] - 0.1 * area["width"]) < 3 and abs(frame["height"] - 0.7 * area["height"]) < 3
        chip.press("Enter")
        page.wait_for_url(lambda url: "photo=product%3Atee-1&box=0.1%2C0.2%2C0.6%2C0.9" in url and "product=" not in url)
        page.get_by_text("Read off this part").wait_for()
        assert not page.locator(".proposed, dialog[open]").count()


def test_a_finger_scrolls_until_a_part_is_chosen(browser, address):
    context = browser.new_context(base_url=address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto("/?photo=product:tee-1")
    shown(page)
    action = "document.querySelector('.own .picture').computedStyleMap().get('touch-action').toString()"
    assert page.evaluate(action) == "auto"
    page.get_by_role("button", name="Choose a part").tap()
    assert page.evaluate(action) == "none"
    page.get_by_role("button", name="Search with this part").tap()
    page.wait_for_url(re.compile("box=0.2%2C0.2%2C0.8%2C0.8"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_an_order_and_colours_on_cards(page):
    page.goto("/")
    shown(page)
    page.get_by_label("Sort").select_option("Price, lowest first")
    page.wait_for_url(re.compile("sort=price"))
    prices = {one.captions[0]: int(one.tags.get("price", 99)) for one in products()}
    page.locator("#results .caption", has_text="tee number 0").first.wait_for()
    assert [prices[text] for text in shown(page)] == list(range(24))
    spots = page.locator("#results .spot").evaluate_all("nodes => nodes.map((node) => getComputedStyle(node).backgroundColor)")
    assert len(spots) == 24 and set(spots) == {"rgb(255, 0, 0)", "rgb(0, 128, 0)", "rgb(0, 0, 255)", "rgb(128, 128, 128)"}
