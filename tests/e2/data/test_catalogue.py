import pickle

import pytest
from torch.utils.data import DataLoader

from e2.data import Subset, load_image, open_catalogue
from tests.e2.data.conftest import rows, write_parquet
from tests.shared import shared_path


@pytest.fixture
def catalogue(tmp_path):
    records = rows(200)
    records[5]["caption"] = None
    file = write_parquet(tmp_path / "a.parquet", records)
    return open_catalogue(str(file), tags=["brand", "season"], on_bad_row="skip", progress=False)


def test_is_a_sequence(catalogue):
    assert len(catalogue) == 199 == len(list(catalogue))
    assert catalogue[5].product_id == "p6" and catalogue[-1].product_id == "p199"
    for index in (199, -200):
        with pytest.raises(IndexError):
            catalogue[index]


def test_tags_as_a_command_line_names_them(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", rows(20))
    plain = open_catalogue(str(file), tags=["brand", "season"], progress=False)
    assert [p.tags for p in open_catalogue(str(file), tags="brand, season", progress=False)] == [p.tags for p in plain]
    renamed = open_catalogue(str(file), tags="maker=brand", progress=False)
    assert [p.tags["maker"] for p in renamed] == [p.tags["brand"] for p in plain]


def test_text_only_leaves_images_unread(catalogue):
    product, view = catalogue[7], catalogue.text_only()[7]
    assert view.images == (b"",) and (view.captions, view.tags) == (product.captions, product.tags)
    assert catalogue[7].images == product.images  # the catalogue itself is as before


def test_pickles_without_its_images(catalogue):
    data = pickle.dumps(catalogue)
    assert len(data) < 4000 < 200 * len(catalogue[0].images[0])
    again = pickle.loads(data)
    assert list(again) == list(catalogue) and again.bad_rows == {"no text": 1}


def test_subset(catalogue):
    subset = Subset(catalogue, [10, 3, 3])
    assert [product.product_id for product in subset] == ["p11", "p3", "p3"]
    assert (subset.tags, subset.split, subset.name) == (catalogue.tags, catalogue.split, catalogue.name)
    assert [product.product_id for product in Subset(subset, range(1, 3))] == ["p3", "p3"]
    assert list(pickle.loads(pickle.dumps(subset))) == list(subset)
    assert subset.text_only()[0].images == (b"",)
    with pytest.raises(IndexError):
        subset[3]


def test_spawned_workers_read_the_same_products(catalogue):
    loader = DataLoader(Subset(catalogue, range(8)), 4, num_workers=1, collate_fn=list, multiprocessing_context="spawn")
    assert [product for batch in loader for product in batch] == list(Subset(catalogue, range(8)))


def test_fashion_products():
    folder = str(shared_path("data/fashion-products"))
    catalogue = open_catalogue(folder, "val", tags=["brand", "season", "sub_category", "colour"], progress=False)
    assert len(catalogue) == 1000 and catalogue.bad_rows == {}
    assert all(len(product.tags) == 4 for product in catalogue)
    assert load_image(catalogue[0].images[0]).mode == "RGB"
