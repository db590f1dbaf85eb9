"""The JSON API: answers as the index and the encoder give them, and what strangers may not do."""

import asyncio
import html
import io
import struct
import zlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.requests import Request

from e2.adapters.search.app import photos
from e2.adapters.search.app.api import create_app
from e2.adapters.search.app.protection import bounded_body
from e2.adapters.search.app.schemas import LONGEST_TEXT, Search
from e2.adapters.search.app.service import bounded
from e2.adapters.search.reranking.base import HitScores
from e2.adapters.search.store import IndexTrouble
from tests.adapters.search.app.conftest import COLON, COLOURS, HOSTILE, HOSTILE_ID, png, products
from tests.conftest import jpeg


def upload(client, body: bytes, kind: str = "image/png"):
    return client.post("/api/photos", content=body, headers={"Content-Type": kind})


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [product["product_id"] for product in answer.json()["products"]]


NEW = "zzyzx qqqq"  # words of no product: found by the vector alone


def test_words_find_what_exact_search_finds(client, service):
    encoder = service.models.encoder
    vectors = encoder.encode_images([product.images[0] for product in products()], progress=False)
    # thumbnails aside, the index holds the photos' own vectors: the naive order is that of the products themselves
    order = np.argsort(-(vectors @ encoder.encode_texts([NEW], progress=False)[0]), kind="stable")
    assert ids(client.get("/api/search", params={"q": NEW, "k": 7})) == [products()[i].product_id for i in order[:7]]


def test_typed_words_are_found_in_ids_and_descriptions_and_spelling_is_told(client):
    assert ids(client.get("/api/search", params={"q": "TEE-7", "k": 3}))[0] == "tee-7"
    answer = client.get("/api/search", params={"q": "grene", "k": 3}).json()
    assert answer["steps"] == {"spelling": {"grene": "green"}}
    assert all("green" in str(product) for product in answer["products"])


def test_pages_join_to_the_whole(client):
    whole = ids(client.get("/api/search", params={"q": "tee", "k": 100}))
    assert len(set(whole)) == 40
    for k in (15, 20):  # the last page is full, too
        parts, pages, offset = [], 0, 0
        while offset is not None:
            answer = client.get("/api/search", params={"q": "tee", "k": k, "offset": offset})
            parts, pages = parts + ids(answer), pages + 1
            offset = answer.json()["next_offset"]
        assert parts == whole and pages == -(-40 // k)


def test_filters_and_their_counts(client):
    brand = 'Levi\'s "501" \\ co'
    both = client.get("/api/search", params={"tag": [f"brand:{brand}", "colour:red", "colour:blue"], "k": 100})
    expected = {p.product_id for p in products() if p.tags["brand"] == brand and p.tags["colour"] in ("red", "blue")}
    assert set(ids(both)) == expected
    facets = both.json()["facets"]  # those of an entity leave its own choice aside
    assert facets["colour"] == {
        colour: sum((p.tags["brand"], p.tags["colour"]) == (brand, colour) for p in products()) for colour in COLOURS
    }
    assert facets["brand"]["Nike"] == sum(
        p.tags["brand"] == "Nike" and p.tags["colour"] in ("red", "blue") for p in products()
    )
    assert both.json()["more"] == {}
    values = client.get("/api/values", params={"tag": [f"brand:{brand}", "colour:red"], "entity": "colour", "letters": "E"})
    assert values.json() == {"values": {c: n for c, n in facets["colour"].items() if "e" in c}, "more": 0}
    assert client.get("/api/values", params={"entity": "fit"}).status_code == 404
    words = client.get("/api/search", params={"filter": 'colour == "red" or colour == "blue"', "tag": "brand:Nike", "k": 100})
    assert set(ids(words)) == {
        p.product_id for p in products() if p.tags["brand"] == "Nike" and p.tags["colour"] in ("red", "blue")
    }
    assert ids(client.get("/api/search", params={"tag": "brand:no such"})) == []


def test_a_tag_whose_name_holds_a_colon(client):
    found = client.get("/api/search", params={"tag": f"{COLON}:cold: 30"}).json()
    assert [product["product_id"] for product in found["products"]] == ["tee-7"]
    assert found["facets"][COLON] == {"cold: 30": 1}
    assert client.get("/api/search", params={"between": f"{COLON}:1..2"}).json()["found"] == 0


def test_ranges_of_numbers_and_their_counts(client):
    price = {p.product_id: float(p.tags["price"]) for p in products() if "price" in p.tags}
    found = lambda **asked: client.get("/api/search", params={"k": 100, **asked})  # noqa: E731
    within = {name for name, own in price.items() if 10 <= own <= 20.5}
    answer = found(between="price:10..20.5", tag="brand:Nike")
    nike = {p.product_id for p in products() if p.tags["brand"] == "Nike"}
    assert set(ids(answer)) == within & nike and answer.json()["found"] == len(within & nike)
    assert set(ids(answer)) == set(ids(found(filter="price >= 10 and price <= 20.5", tag="brand:Nike")))
    facets = answer.json()["facets"]  # those of an entity leave its own range aside
    assert sum(facets["price"].values()) == len(nike & set(price)) and sum(facets["brand"].values()) == len(within)
    assert set(ids(found(between="price:30..", q="tee"))) == {name for name, own in price.items() if own >= 30}
    nothing = found(between="price:..-0.5", tag=["brand:Nike", "colour:purple"]).json()
    assert nothing["found"] == 0 and nothing["unfiltered"] == {"brand": 0, "colour": 0, "price": 0}
    nothing = found(between="price:..-0.5", tag="brand:Nike").json()
    assert nothing["unfiltered"] == {"brand": 0, "price": len(nike)}
    assert found(between="price:..-0.5").json()["unfiltered"] == {"price": 40}  # with the one that has no price
    assert answer.json()["unfiltered"] == {}
    for wrong, message in {
        "price": "entity:from..to",
        "price:1-2": "entity:from..to",
        "price:x..2": "entity:from..to",
        "size:1..2": "no tag 'size'",
    }.items():
        refused = found(between=wrong)
        assert refused.status_code == 400 and message in refused.json()["error"], wrong
    assert "two ranges" in found(between=["price:1..", "price:..2"]).json()["error"]


def test_numbers_in_words_filter_with_and_without_a_photo(client, service):
    price = {p.product_id: float(p.tags["price"]) for p in products() if "price" in p.tags}
    cheap = {name for name, own in price.items() if own < 10}
    for q, method in [("price under 10", None), *(("in blue, price under 10", name) for name in service.models.methods)]:
        asked = {"q": q, "k": 100} | ({"photo": "product:tee-2", "method": method} if method else {})
        answer = client.get("/api/search", params=asked).json()
        assert {product["product_id"] for product in answer["products"]} == cheap - ({"tee-2"} if method else set()), q
        assert answer["found"] == len(cheap) and sum(answer["facets"]["price"].values()) == len(cheap)
        assert answer["steps"]["only"] == "price under 10" and "price" not in str(answer["steps"].get("rewritten", ""))
    sorted_ = client.get("/api/search", params={"q": "price under 10", "k": 100, "sort": "price"})
    assert [price[name] for name in ids(sorted_)] == sorted(price[name] for name in cheap)
    alone = ids(client.get("/api/search", params={"photo": "product:tee-2", "q": "not price 0", "k": 100}))
    like = ids(client.get("/api/search", params={"photo": "product:tee-2", "k": 100}))
    assert alone == [name for name in like if price.get(name) != 0]
    nothing = client.get("/api/search", params={"q": "price under 10", "tag": "colour:purple"}).json()
    assert nothing["found"] == 0 and nothing["unfiltered"] == {"colour": len(cheap)}


@pytest.mark.parametrize(
    ("words", "tag"),
    [
        ('brand == "Nike") or (brand == "Puma"', "colour:red"),
        ('brand == "Nike" or', "colour:red"),
        ('brand == "Nike" or not (colour == \'x', "colour:red"),
        ("", 'colour" in ["red"] or "brand:x'),
        ("", "colour"),
    ],
)
def test_neither_filter_nor_tag_ends_the_other(client, words, tag):
    answer = client.get("/api/search", params={"filter": words, "tag": tag})
    assert answer.status_code == 400 and "\n" not in answer.json()["error"]


def test_a_photo_finds_its_like_and_a_product_leaves_itself_out(client):
    found = upload(client, products()[2].images[0], "image/jpeg")
    assert found.status_code == 201 and (found.json()["width"], found.json()["height"]) == (40, 40)
    photo = found.json()["photo"]
    assert ids(client.get("/api/search", params={"photo": photo, "k": 1})) == ["tee-2"]
    assert "tee-2" not in ids(client.get("/api/search", params={"photo": "product:tee-2", "k": 100}))
    assert client.get("/api/photo", params={"photo": photo}).headers["content-type"] == "image/jpeg"


def test_every_method_composes(client, service):
    for method in service.models.methods:
        answer = client.get("/api/search", params={"photo": "product:tee-2", "q": "in red", "method": method, "k": 3})
        assert answer.json()["method"] == method and len(ids(answer)) >= 2
        assert "price" not in {**answer.json()["steps"].get("tags", {}), **answer.json()["steps"].get("changed", {})}
    asked = {"photo": "product:tee-2", "q": "from Nike", "method": "cirevl"}  # a word of the index's brands only
    assert "Nike tee" in client.get("/api/search", params=asked).json()["steps"]["rewritten"]


def test_no_method_finds_what_is_not_wanted_and_what_is_not_understood_is_told(client, service):
    for method in service.models.methods:
        asked = {"photo": "product:tee-0", "q": "anything but red, cheaper", "method": method, "k": 40}
        answer = client.get("/api/search", params=asked).json()
        assert len(answer["products"]) >= 20 and "red" not in {product["tags"]["colour"] for product in answer["products"]}
        assert answer["steps"]["unwanted"] == ["red"]
        if method in ("slots", "cirevl"):
            assert answer["steps"]["not understood"] == "cheaper"
    assert (
        client.get("/api/search", params={"photo": "product:tee-2", "q": "in red"}).json()["steps"]["changed"]["colour"]
        == "red"
    )
    ends = [
        ids(client.get("/api/search", params={"photo": "product:tee-2", "q": NEW, "method": "slerp", "weight": w, "k": 40}))
        for w in (0, 1)
    ]
    assert ends[0] == ids(client.get("/api/search", params={"photo": "product:tee-2", "k": 40}))
    assert ends[1] == [name for name in ids(client.get("/api/search", params={"q": NEW, "k": 40})) if name != "tee-2"]
    assert (
        "no method" in client.get("/api/search", params={"photo": "product:tee-2", "q": "x", "method": "nope"}).json()["error"]
    )


def test_several_photos_less_of_one_and_a_box(client, service):
    found = lambda **asked: ids(client.get("/api/search", params={"k": 40, **asked}))  # noqa: E731
    looks = [service.models.look(service.photo(f"product:tee-{n}")).features for n in (2, 3, 4)]
    vectors = service.index.vectors(names := [f"tee-{n}" for n in range(39)])
    order = np.argsort(-(vectors @ (looks[0] + looks[1] - looks[2])), kind="stable")
    expected = [names[n] for n in order if n not in (2, 3, 4)]
    asked = {"photo": ["product:tee-2", "product:tee-3"], "minus": "product:tee-4"}
    assert [name for name in found(**asked) if name in names] == expected
    for method in service.models.methods:
        assert len(found(**asked, q="in red", method=method)) == 37
    part = service.photo("product:tee-2").part((0, 0, 0.5, 0.5))
    assert part.size == (20, 20)
    order = np.argsort(-(vectors @ service.models.look(part).features), kind="stable")
    boxed = found(photo="product:tee-2", box="0,0,0.5,0.5")
    assert [name for name in boxed if name in names] == [names[n] for n in order if n != 2]
    for wrong in ({"box": "0,0,1,1"}, {"box": "x"}, {"box": "0,0,0.01,1"}):
        photos = ["product:tee-2"] * (2 if wrong["box"] == "0,0,1,1" else 1)
        assert client.get("/api/search", params={"photo": photos, **wrong}).status_code == 400
    assert client.get("/api/search", params={"minus": "product:tee-2"}).status_code == 400


def test_a_part_of_a_photo_is_read_and_described(client, service):
    box = "0,0.5,0.5,1"
    whole, part = (client.get("/api/read", params={"photo": "product:tee-2", **asked}).json() for asked in ({}, {"box": box}))
    assert {values[0]["sure"] for values in part["tags"].values()} <= {
        "likely",
        "guess",
    }  # the product's tags are of all of it
    x0, y0, x1, y1 = whole["seen"]
    assert part["parts"] == [] and {name for each in whole["parts"] for name in each["entities"]} <= set(whole["looks"])
    for each in whole["parts"]:
        asked = {"photo": "product:tee-2", "box": ",".join(map(str, each["box"]))}
        assert client.get("/api/search", params=asked).status_code == 200
    assert part["seen"] == pytest.approx([x0 / 2, 0.5 + y0 / 2, x1 / 2, 0.5 + y1 / 2])
    photo = service.photo("product:tee-2").part((0, 0.5, 0.5, 1))
    said = client.get("/api/caption", params={"photo": "product:tee-2", "box": box}).json()["caption"]
    assert said == service.models.caption(photo)
    for path in ("read", "caption"):
        assert client.get(f"/api/{path}", params={"photo": "product:tee-2", "box": "1,0,0,1"}).status_code == 400


def test_an_order_by_price(client):
    assert client.get("/api/about").json()["numbers"] == ["price"] and client.get("/api/about").json()["colour"] == "colour"
    prices = {p.product_id: int(p.tags.get("price", 99)) for p in products()}
    for asked in ({}, {"q": "tee"}, {"tag": "colour:red"}):
        answer = client.get("/api/search", params={**asked, "sort": "price", "k": 30})
        assert ids(answer) == sorted(ids(answer), key=prices.__getitem__) and prices[ids(answer)[0]] < 3
        assert answer.json()["sorted"] == (40 if asked.get("q") else None)
    answer = client.get("/api/search", params={"sort": "size"})
    assert answer.status_code == 400 and "no tag 'size'" in answer.json()["error"]


def test_of_many_values_a_page_gets_the_frequent_the_chosen_and_the_ends(client, service, monkeypatch):
    counts = {str(number): 2 for number in range(10, 40)} | {"7": 1, "99": 1, "x": 1}
    monkeypatch.setattr("e2.adapters.search.app.service.MOST_COUNTED", 3)
    assert bounded(counts, ["x", "gone"]) == {"10": 2, "11": 2, "12": 2, "7": 1, "99": 1, "x": 1}
    whole = service.index.facets()["price"]
    page = client.get("/api/search").json()
    ends = {min(whole, key=int), max(whole, key=int)}
    assert set(page["facets"]["price"]) == {*list(whole)[:3], *ends}
    assert page["more"]["price"] == len(whole) - len(page["facets"]["price"]) > 0
    found = client.get("/api/values", params={"entity": "price", "letters": "1"}).json()
    fitting = [price for price in whole if "1" in price]
    assert list(found["values"]) == fitting[:3] and found["more"] == len(fitting[3:])


def test_the_service_takes_a_reranker(service, monkeypatch):
    class Backwards:
        name, top = "backwards", 5

        def scores(self, question, candidates):
            assert question.words == NEW and all(candidate.photo for candidate in candidates)
            return HitScores(list(range(len(candidates))))

    plain = [product.product_id for product in service.search(Search(q=NEW, k=8)).products]
    monkeypatch.setattr(service, "reranker", Backwards())
    page = service.search(Search(q=NEW, k=8))
    assert [product.product_id for product in page.products] == plain[4::-1] + plain[5:]
    assert page.steps["reranked"] == "5 of 5 hits by backwards"
    assert "reranked" not in service.search(Search()).steps  # nobody asked for anything
    assert "reranked" not in service.search(Search(q="tee", closely=False)).steps


def test_why_a_reranker_did_not_judge_is_for_the_servers_log(service, monkeypatch, server_log):
    class Down:
        name, top = "judge", 2

        def scores(self, question, candidates):
            return HitScores([None] * len(candidates), Counter({"HTTP 500: no memory on gpu-7": 2}))

    monkeypatch.setattr(service, "reranker", Down())
    page = service.search(Search(q=NEW, k=2))
    assert page.steps == {"reranked": "0 of 2 hits by judge"} and "2: HTTP 500: no memory on gpu-7" in server_log.text


def test_reading_a_photo(client, service):
    found = client.get("/api/read", params={"photo": "product:tee-2"}).json()
    photo = service.photo("product:tee-2")
    both = service.models.encoder.encode_images_and_regions([photo.jpeg], progress=False)
    read = service.models.reader.read(*both)[0]
    own = client.get("/api/product", params={"id": "tee-2"}).json()["tags"]
    assert set(found["tags"]) == {"brand", "colour", COLON}  # no photo tells a price
    assert {"brand", "colour"} < set(own)
    for entity, values in found["tags"].items():  # its own tags win, and take part in searches
        if entity in own:
            assert (values[0]["value"], values[0]["sure"]) == (own[entity], "known")
        assert read[entity] in [value["value"] for value in values]
    chosen = service.models.encoder.selections([photo.jpeg])
    for entity, layers in found["looks"].items():
        for layer in layers:
            np.testing.assert_allclose(layer["weights"], chosen[entity][layer["layer"]][0].sum(axis=0), atol=1e-3)
    assert client.get("/api/caption", params={"photo": "product:tee-2"}).json()["caption"].startswith("A ")


def test_a_photo_that_the_nearest_products_do_not_agree_on_is_no_more_than_guessed(client):
    photo = upload(client, png()).json()["photo"]
    tags = client.get("/api/read", params={"photo": photo}).json()["tags"]
    changed = client.get("/api/search", params={"photo": photo, "q": "from Nike", "method": "slots"}).json()["steps"]
    likely = {entity: values[0]["value"] for entity, values in tags.items() if values[0]["sure"] == "likely"}
    assert changed["tags"] == likely and {values[0]["sure"] for values in tags.values()} <= {"likely", "guess"}


def test_the_products_that_pass_are_counted(client):
    for tags, count in (([], 40), (["colour:red"], 11), (["colour:no such"], 0)):
        assert client.get("/api/search", params={"tag": tags, "k": 1}).json()["found"] == count


def test_a_missing_page_leads_on(client):
    page = client.get("/nowhere", headers={"Accept": "text/html"})
    assert page.status_code == 404 and '<a href="/">' in page.text
    assert client.get("/nowhere").json() == {"error": "Not Found"}


def test_ids_are_names_in_the_index_and_never_paths(client):
    assert client.get("/api/product", params={"id": HOSTILE_ID}).json()["caption"] == HOSTILE
    assert client.get("/api/thumbnail", params={"id": HOSTILE_ID}).headers["content-type"] == "image/jpeg"
    for path in (
        "/api/thumbnail?id=../../../../etc/passwd", "/api/thumbnail?id=/etc/passwd", "/api/photo?photo=/etc/passwd",
        "/api/photo?photo=upload:../../etc/passwd", "/api/photo?photo=product:../index", "/assets/../api.py",
        "/assets/..%2fapi.py", "/assets/%2e%2e/api.py", "/assets//etc/passwd", "/../../etc/passwd", "/assets/index.html",
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 404 and "root:" not in answer.text and "def " not in answer.text, path


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "image/png", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/png", 415),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "image/jpeg", 415),
        (png(), "image/svg+xml", 415),
        (png(), "multipart/form-data; boundary=x", 415),
        (png()[:60], "image/png", 400),
        (jpeg((9, 9, 9), 0)[:-200], "image/jpeg", 400),
    ],
)
def test_what_is_no_photo_is_refused(client, body, kind, status):
    answer = upload(client, body, kind)
    assert answer.status_code == status and list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]


def test_bombs_are_refused_before_they_are_decoded(client, monkeypatch):
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000_000))) + chunk(b"IEND", b"")
    )
    monkeypatch.setattr(photos, "load_image", lambda *_, **__: pytest.fail("decoded"))
    assert len(bomb) < 20_000 and upload(client, bomb).status_code == 413
    flat = io.BytesIO()
    Image.new("1", (5000, 4000)).save(flat, "PNG")  # below Pillow's own limit
    assert upload(client, flat.getvalue()).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "https://shop.example", "Sec-Fetch-Site": "same-origin"}, 201),  # behind a proxy
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:9998"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_sites_send_nothing(client, headers, status):
    answer = client.post("/api/photos", content=png(), headers={"Content-Type": "image/png", **headers})
    assert answer.status_code == status and answer.headers["connection"] == "close"
    assert client.get("/api/search", params={"q": "tee"}, headers=headers).status_code == 200


def test_a_photo_is_asked_for_again_only_when_it_changed(client):
    first = client.get("/api/thumbnail?id=tee-1")
    again = client.get("/api/thumbnail?id=tee-1", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"") and "no-cache" in first.headers["cache-control"]
    assert client.get("/api/thumbnail?id=tee-2", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_endless_bodies_are_cut_off(client):
    assert upload(client, bytes(photos.MAX_BYTES + 1)).status_code == 413

    read = []

    async def endless():
        read.append(1)
        return {"type": "http.request", "body": bytes(2**20), "more_body": True}

    request = Request({"type": "http", "headers": []}, endless)  # no length announced
    with pytest.raises(photos.TooLarge):
        asyncio.run(bounded_body(request))
    assert len(read) <= photos.MAX_BYTES / 2**20 + 1


def test_uploads_lose_their_metadata_and_the_oldest_are_forgotten():
    exif = Image.Exif()
    exif[0x010E] = "at home in Secret Street"
    file = io.BytesIO()
    Image.new("RGB", (2000, 1000), "red").save(file, "JPEG", exif=exif)
    photo = photos.read_upload(file.getvalue())
    assert b"Secret" in file.getvalue() and b"Secret" not in photo.jpeg and photo.size == (768, 384)
    shelf = photos.PhotoShelf(kept=2)
    kept = [photos.SentPhoto(f"upload:{i}", b"") for i in range(3)]
    shelf.put(kept[0]), shelf.put(kept[1])
    shelf.get("upload:0")
    shelf.put(kept[2])
    assert [shelf.get(photo.id) is not None for photo in kept] == [True, False, True]


@pytest.mark.parametrize(
    "query",
    ["q=" + "x" * 501, "filters=colour+%3D%3D+%22red%22", "box=0,0,1,1", "between=price:1_0..20",
     "k=0", "k=101", "offset=-1", "offset=100000", "weight=2", "weight=nan", "tag=nocolon", "tag=nope:x",
     "tag=" + "x" * 2001,
     "filter=brand+%3D%3D",
     "filter=" + "(" * 1000, "photo=upload:gone", "photo=product:gone", "photo=%00", "k=x"],
)  # fmt: skip
def test_wrong_questions_get_one_line(client, query):
    answer = client.get("/api/search?" + query)
    assert answer.status_code in (400, 404, 422) and "\n" not in answer.json()["error"], answer.text


def test_odd_texts_are_searched_with(client):
    for text in ("\x00", "🧥", " . ", "'; DROP TABLE products; --", '"', "a" * 500, "\u202e", "%"):
        assert len(ids(client.get("/api/search", params={"q": text, "k": 2}))) == 2


def test_headers_and_hosts(client, service):
    for path in ("/", "/docs", "/api/about", "/assets/app.js", "/nothing"):
        headers = client.get(path).headers
        assert (
            "default-src 'none'" in headers["content-security-policy"] and "unsafe" not in headers["content-security-policy"]
        )
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400  # DNS rebinding
    assert TestClient(create_app(service, hosts=["*"]), base_url="http://shop.example").get("/").status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/search?q=tee", "/assets/app.js", "/api/thumbnail?id=tee-1", "/nothing"])
def test_whatever_is_read_has_a_head(client, path):
    asked, read = client.head(path), client.get(path)
    assert asked.status_code == read.status_code and asked.headers["content-length"] == read.headers["content-length"]


def test_faults_tell_nothing(service, monkeypatch):
    monkeypatch.setattr(service.index, "get", lambda _: 1 / 0)
    answer = TestClient(create_app(service), base_url="http://localhost", raise_server_exceptions=False).get(
        "/api/product?id=x"
    )
    assert answer.status_code == 500 and "Zero" not in answer.text and "content-security-policy" in answer.headers


def test_trouble_with_the_index_names_no_folder_of_the_server(service, monkeypatch, server_log):
    def damaged(product_ids):
        raise IndexTrouble("/srv/secret/index is cut")

    monkeypatch.setattr(service.index, "get", damaged)
    answer = TestClient(create_app(service), base_url="http://localhost").get("/api/product?id=x")
    assert answer.status_code == 503 and "secret" not in answer.text and "/srv/secret" in server_log.text


def test_a_name_that_is_no_utf8_ends_no_page(client, service, monkeypatch):
    odd = replace(service.index.store.manifest, data="caf\udce9.csv")
    monkeypatch.setattr(service.index.store, "manifest", odd)
    assert client.get("/api/about").json()["data"] == "caf\\xe9.csv" and "xe9" in client.get("/").text


def test_pages_escape_what_the_catalogue_says(client):
    page = client.get("/").text
    assert f'maxlength="{LONGEST_TEXT}"' in page
    assert "<i>shelf" not in page and page.count("<script") == 1
    assert not [
        line for line in page.splitlines() if "http://" in line or "https://" in line or "style=" in line or "onclick" in line
    ]


def test_openapi_describes_the_api(client):
    api = client.get("/openapi.json").json()
    page = html.unescape(client.get("/docs").text)
    for path, verbs in api["paths"].items():
        assert path in page and all(call["summary"] in page for call in verbs.values())
    assert "cdn" not in page and set(api["paths"]) == {
        "/api/about", "/api/search", "/api/product", "/api/thumbnail",
        "/api/photos", "/api/photo", "/api/read", "/api/caption", "/api/values",
    }  # fmt: skip


def test_products_with_the_words_are_never_weak_and_what_is_far_is(client, service):
    found = client.get("/api/search", params={"q": "green", "k": 40}).json()["products"]
    assert not any(product["weak"] for product in found if product["tags"]["colour"] == "green")
    far = {product["product_id"]: product["score"] for product in found if product["weak"]}
    best = max(product["score"] for product in found)
    assert far and all(score < best for score in far.values())
    for asked in ({}, {"photo": "product:tee-1"}, {"q": "green", "sort": "price"}):  # no words alone, or another order
        assert not any(product["weak"] for product in client.get("/api/search", params=asked).json()["products"])
