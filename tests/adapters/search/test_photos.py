"""Queries beyond one photo: several with weights, minus one, a box; what they start from is not a hit."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.keeping import agreed_tags, nearest_tags
from e2.adapters.search.photos import Look, QueryPhoto, cropped, joined, product_photos, read_box, weighted
from e2.adapters.search.queries import alike, search, tags_of_photos
from e2.errors import InputError
from tests.adapters.search.conftest import entry, manifest, unit


def test_photos_add_up_by_their_weights():
    vectors = unit(9).reshape(3, 3, -1)
    photos = [QueryPhoto(Look(v[0], v[1:]), w, product_id=n) for v, w, n in zip(vectors, (1, 0.5, -0.7), "ab ", strict=True)]
    found = joined(photos)
    naive = vectors[0] + 0.5 * vectors[1] - 0.7 * vectors[2]
    naive = naive / np.linalg.norm(naive, axis=1, keepdims=True)
    np.testing.assert_allclose(found.look.features, naive[0], atol=1e-6)
    np.testing.assert_allclose(found.look.regions, naive[1:], atol=1e-6)
    assert found.products == ("a", "b", " ") and found.image is None
    assert joined([QueryPhoto(Look(vectors[0, 0]), 3.0, "x.jpg")]).image == "x.jpg"
    assert joined([photos[0], QueryPhoto(Look(vectors[1, 0]))]).look.regions is None


def test_wrong_photos_are_one_line():
    vector = unit(1)[0]
    for photos, message in (
        ([QueryPhoto(Look(vector), -1.0)], "no photo to start from"),
        ([QueryPhoto(Look(vector)), QueryPhoto(Look(vector), -1.0)], "cancel each other out"),
    ):
        with pytest.raises(InputError, match=message):
            joined(photos)
    for text in ("shoe.jpg@0", "shoe.jpg@-1", "shoe.jpg@inf", "shoe.jpg@nan"):
        with pytest.raises(InputError, match="above 0"):
            weighted(text)
    assert weighted("me@home.jpg") == ("me@home.jpg", 1.0)


@pytest.mark.parametrize("box", ["", "0,0,1", "0.5,0,0.5,1", "0,0,1.1,1", "-0.1,0,1,1", "a,b,c,d", "0,0,nan,1"])
def test_a_wrong_box_is_one_line(box):
    with pytest.raises(InputError, match="LEFT,TOP,RIGHT,BOTTOM"):
        read_box(box)


def test_a_box_is_cut_out():
    photo = Image.new("RGB", (100, 50), "white")
    photo.paste("red", (20, 10, 60, 40))
    part = cropped(photo, read_box("0.2,0.2,0.6,0.8"))
    assert part.size == (40, 30) and part.getcolors() == [(1200, (255, 0, 0))]
    with pytest.raises(InputError, match="draw it larger"):
        cropped(photo, read_box("0,0,0.05,1"))


def test_products_that_a_query_starts_from_are_no_hits(tmp_path):
    store = create_store(str(tmp_path / "index"), manifest())
    vectors = unit(30)
    store.write([entry(number, vector) for number, vector in enumerate(vectors)])
    store.finish()
    index = ProductIndex(store)
    photos = joined(product_photos(index, ["id 1", "id 2"], ["id 3"]))
    query = vectors[1] + vectors[2] - vectors[3]
    naive = [f"id {n}" for n in np.argsort(-vectors @ query, kind="stable") if n not in (1, 2, 3)]
    assert [hit.product_id for hit in search(index, alike(photos), 27).hits] == naive
    own = joined(product_photos(index, ["id 5"]))
    assert tags_of_photos(index, own, []) == index.get(["id 5"])[0].tags
    upload = QueryPhoto(Look(vectors[9]))
    assert joined([*product_photos(index, ["id 5"]), replace(upload, weight=-1.0)]).whole == "id 5"
    part = QueryPhoto(Look(vectors[5]), product_id="id 5", part=True)
    for several in ([upload, *product_photos(index, [], ["id 5"])], [part], [upload, part]):  # a product's tags are not theirs
        nearest = nearest_tags(index, joined(several).look.features)
        assert tags_of_photos(index, joined(several), nearest) == agreed_tags(nearest)
    with pytest.raises(InputError, match="no product 'nope'"):
        product_photos(index, ["nope"])
    index.close()
