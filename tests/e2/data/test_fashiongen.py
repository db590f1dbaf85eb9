import pickle
import sys

import numpy as np
import pytest
from torch.utils.data import DataLoader

from e2.data import Columns, Subset, fashiongen, load_image, open_catalogue, splits_of
from e2.data.export import import_catalogue
from e2.errors import InputError

h5py = pytest.importorskip("h5py")

TEXTS = ("description", "name", "brand", "season", "subcategory", "category", "composition", "gender", "productID", "pose")
SIZE = (16, 16)


def pixels(row: int) -> np.ndarray:
    return np.random.default_rng(row).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def photo_rows(products: int, photos: int = 3, first: int = 0) -> list[dict[str, str]]:
    """The photos of a product one after the other, as the published files have them."""
    return [
        {
            "description": f"Café jacket {product}, «wool»",
            "name": f"Jacket {product}",
            "brand": f"Brand {product % 4}",
            "season": "FW2016",
            "subcategory": "BOMBERS",
            "category": "JACKETS",
            "composition": "100% wool.",
            "gender": "Men",
            "productID": str(1000 + product),
            "pose": f"id_gridfs_{photo + 1}",
        }
        for product in range(first, first + products)
        for photo in range(photos)
    ]


def write_h5(file, rows, without=(), **options):
    """A file in the published layout: pixels N x H x W x 3 and fixed-length byte strings N x 1."""
    fashiongen._opened.cache_clear()  # HDF5 writes no file that is open
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as h5:
        stacked = np.stack([pixels(row) for row in range(len(rows))]) if rows else np.zeros((0, *SIZE, 3), np.uint8)
        h5.create_dataset("input_image", data=stacked, **options)
        for name in TEXTS:
            if name not in without:
                cells = [[row[name].encode("latin-1")] for row in rows]
                h5.create_dataset(f"input_{name}", data=np.array(cells, dtype="S100").reshape(-1, 1))
        h5.create_dataset("index", data=np.arange(len(rows)))
    return file


@pytest.fixture
def folder(tmp_path):
    write_h5(tmp_path / fashiongen.FILES["train"], photo_rows(100))
    write_h5(tmp_path / fashiongen.FILES["test"], photo_rows(5, first=500))
    return tmp_path


def test_products_of_several_photos(folder):
    catalogue = open_catalogue(f"fashiongen:{folder}", "test", progress=False)
    assert len(catalogue) == 5 and catalogue.tags == fashiongen.FashionGenSource.entities
    product = catalogue[1]
    assert product.product_id == "1501" and product.captions == ("Café jacket 501, «wool»",)
    assert product.tags == {
        "composition": "100% wool.",
        "season": "FW2016",
        "brand": "Brand 1",
        "sub_category": "BOMBERS",
        "category": "JACKETS",
        "gender": "Men",
    }
    assert [np.array_equal(np.asarray(load_image(image)), pixels(3 + i)) for i, image in enumerate(product.images)] == [
        True
    ] * 3


def test_val_is_cut_out_of_train_by_product_and_test_is_the_validation_file(folder):
    spec = f"fashiongen:{folder}"
    assert splits_of(spec) == ("train", "val", "test")
    ids = {split: {p.product_id for p in open_catalogue(spec, split, progress=False).text_only()} for split in splits_of(spec)}
    assert len(ids["train"]) == 98 and len(ids["val"]) == 2 and not ids["train"] & ids["val"]
    assert ids["train"] | ids["val"] == {str(1000 + product) for product in range(100)}
    assert ids["test"] == {str(1500 + product) for product in range(5)}
    again = {p.product_id for p in open_catalogue(spec, "val", progress=False).text_only()}
    assert again == ids["val"]


def test_held_out_share_is_bounded():
    assert [len(fashiongen._held_out(count)) for count in (1, 2, 100, 60_000, 1_000_000)] == [0, 1, 2, 1200, 2000]


def test_scattered_photos_other_descriptions_and_missing_values(tmp_path):
    rows = photo_rows(2, photos=2)
    rows = [rows[0], rows[2], rows[1], rows[3], photo_rows(1)[0] | {"productID": ""}]
    rows[0] |= {"brand": ""}
    rows[2] |= {"description": "Seen from behind", "brand": "Late"}
    write_h5(tmp_path / fashiongen.FILES["test"], rows)
    catalogue = open_catalogue(f"fashiongen:{tmp_path}", tags=["brand"], progress=False)
    assert [p.product_id for p in catalogue] == ["1000", "1001"]  # the photo of no product is none's
    assert catalogue[0].captions == ("Café jacket 0, «wool»", "Seen from behind") and catalogue[0].tags == {"brand": "Late"}
    assert [np.array_equal(np.asarray(load_image(i)), pixels(n)) for n, i in zip((0, 2), catalogue[0].images, strict=True)]


def test_photos_are_read_one_by_one_when_asked_for(folder, monkeypatch):
    read = []
    real = fashiongen.PixelRows.read
    monkeypatch.setattr(fashiongen.PixelRows, "read", lambda self, entry: read.append(entry["row"]) or real(self, entry))
    catalogue = open_catalogue(f"fashiongen:{folder}", "test", progress=False)
    assert [len(product.images) for product in catalogue] == [3] * 5 and read == []
    assert catalogue[1].images[2] and read == [5]
    assert catalogue.text_only()[1].images == (b"",) * 3 and read == [5]


def test_another_field_is_the_caption_and_pose_a_tag(folder):
    catalogue = open_catalogue(f"fashiongen:{folder}", "test", tags=["pose"], columns=Columns(caption="name"), progress=False)
    assert catalogue[0].captions == ("Jacket 500",) and catalogue[0].tags == {"pose": "id_gridfs_1"}


def test_worker_processes_open_the_file_themselves(folder):
    catalogue = Subset(open_catalogue(f"fashiongen:{folder}", "train", progress=False), range(6))
    assert catalogue[0].images[0]  # opened here already, which a forked worker must not continue with
    loader = DataLoader(catalogue, 2, num_workers=2, collate_fn=list, multiprocessing_context="fork")
    assert [product for batch in loader for product in batch] == list(catalogue)
    assert list(pickle.loads(pickle.dumps(catalogue))) == list(catalogue)  # what a spawned worker gets


def test_import_and_back(folder, tmp_path):
    import_catalogue(f"fashiongen:{folder}", tmp_path / "out", to="webdataset", progress=False)
    before = open_catalogue(f"fashiongen:{folder}", "test", progress=False)
    after = open_catalogue(f"webdataset:{tmp_path / 'out'}", "test", tags=before.tags, progress=False)
    for a, b in zip(before, after, strict=True):
        assert (a.product_id, a.captions, a.tags) == (b.product_id, b.captions, b.tags)
        for x, y in zip(a.images, b.images, strict=True):
            assert y.startswith(b"\x89PNG") and np.array_equal(np.asarray(load_image(x)), np.asarray(load_image(y)))


def error_of(folder, split="test", **options):
    with pytest.raises(InputError) as caught:
        open_catalogue(f"fashiongen:{folder}", split, progress=False, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_clear_errors(tmp_path):
    file = tmp_path / fashiongen.FILES["test"]
    assert "neither fashiongen_256_256_train.h5" in error_of(tmp_path)
    write_h5(file, photo_rows(2), without=["description", "pose"])
    message = error_of(tmp_path)
    assert "no column 'caption'" in message and "--caption-column" in message and "composition" in message
    assert "no column 'pose'" in error_of(tmp_path, tags=["pose"], columns=Columns(caption="name"))
    write_h5(file, photo_rows(2))
    fashiongen._opened.cache_clear()
    file.write_bytes(file.read_bytes()[:-500])
    assert "cannot be read as HDF5" in error_of(tmp_path)
    file.write_bytes(b"not at all")
    assert "cannot be read as HDF5" in error_of(tmp_path)


def test_wrong_shapes_and_no_rows(tmp_path):
    name = fashiongen.FILES["test"]
    with h5py.File(write_h5(tmp_path / "a" / name, photo_rows(2)), "r+") as h5:
        del h5["input_brand"]
        h5["input_brand"] = np.array([[b"a"]])
    assert "input_brand is of shape (1, 1)" in error_of(tmp_path / "a")
    with h5py.File(write_h5(tmp_path / "b" / name, photo_rows(2)), "r+") as h5:
        del h5["input_image"]
        h5["input_image"] = np.zeros((2, 16, 16), np.uint8)
    assert "input_image is uint8 (2, 16, 16)" in error_of(tmp_path / "b")
    write_h5(tmp_path / "c" / name, [])
    assert "no rows" in error_of(tmp_path / "c")


def test_h5py_not_installed(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    fashiongen._opened.cache_clear()
    assert "pip install 'e2-fashion[sources]'" in error_of(folder)


def test_a_damaged_part_is_one_bad_photo(tmp_path):
    """Compressed chunks: the bytes of one photo are overwritten after the catalogue was opened."""
    file = write_h5(tmp_path / fashiongen.FILES["test"], photo_rows(3, photos=1), chunks=(1, *SIZE, 3), compression="gzip")
    with h5py.File(file) as h5:
        chunk = h5["input_image"].id.get_chunk_info(1)
    catalogue = open_catalogue(f"fashiongen:{tmp_path}", progress=False)
    fashiongen._opened.cache_clear()
    with file.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    assert load_image(catalogue[0].images[0]) and load_image(catalogue[2].images[0])
    with pytest.raises(InputError, match="row 2: it cannot be read"):
        catalogue[1].images[0]
