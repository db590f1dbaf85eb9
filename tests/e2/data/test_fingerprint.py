"""The fingerprint of a catalogue: the same however it is stored in chunks, another once a product is."""

import copy
import os

import pyarrow as pa
import pytest

from e2.data import Subset, open_catalogue
from e2.data.fingerprint import digest, facts, fingerprint, photo_digest, require_same
from e2.data.product import Product
from e2.errors import InputError
from tests.e2.data.conftest import rows, write_parquet

CHANGES = {
    "id": lambda row: row.update(product_id="another"),
    "text": lambda row: row.update(caption="another text"),
    "tag": lambda row: row.update(brand="another"),
    "no tag": lambda row: row.update(brand=None),
}


def opened(folder, records, name="a"):
    file = write_parquet(folder / f"{name}.parquet", records)
    return open_catalogue(str(file), tags=["brand", "season"], progress=False)


@pytest.fixture
def records():
    return rows(20)


@pytest.fixture
def found(tmp_path, records):
    return opened(tmp_path, records)


def test_is_that_of_the_products(tmp_path, records, found):
    assert fingerprint(found) == fingerprint(opened(tmp_path, records, "b"))
    assert facts(found) == {"products": 20, "sha256": fingerprint(found)}


@pytest.mark.parametrize("sizes", [(1,) * 20, (7, 13), (19, 1)])
def test_chunks_are_all_one(found, sizes):
    chunked = copy.copy(found)
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    chunked.table = pa.concat_tables(found.table.slice(start, size) for start, size in zip(starts, sizes, strict=True))
    assert chunked.table.column("product_id").num_chunks == len(sizes)
    assert fingerprint(chunked) == fingerprint(found)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("row", [0, 19])
def test_changes_with_a_product(tmp_path, records, found, change, row):
    CHANGES[change](records[row])
    assert fingerprint(opened(tmp_path, records, "b")) != fingerprint(found)


def test_changes_with_the_size_of_a_photo_the_order_and_the_number(tmp_path, records, found):
    others = [records[1:2] + records[:1] + records[2:], records[:-1]]
    larger = copy.deepcopy(records)
    larger[3]["image"]["bytes"] += b"\0"
    names = {fingerprint(opened(tmp_path, other, f"b{place}")) for place, other in enumerate([*others, larger])}
    assert len(names | {fingerprint(found)}) == 4


def test_of_a_part_and_of_other_sequences(found):
    parts = [Subset(found, range(5)), Subset(found, range(1, 6)), Subset(found, [4, 3, 2, 1, 0]), found]
    assert len({fingerprint(part) for part in parts}) == 4
    assert fingerprint(Subset(found, range(5))) == fingerprint(parts[0])
    assert fingerprint(list(found)) == fingerprint(list(found)) != fingerprint(list(found)[1:])


def test_lists_of_texts_differ_by_where_they_are_split():
    assert len({digest(["ab", "c"]), digest(["a", "bc"]), digest(["abc"]), digest(["abc", ""]), digest(["\udce9"])}) == 5


def test_others_are_refused_with_what_is_known_of_them(found):
    noted = facts(found)
    require_same("x", noted, dict(noted))
    require_same("x", None, noted)  # of a version that noted nothing
    with pytest.raises(InputError, match=r"^x have changed .*\(20 then, 5 now\); resume with the same"):
        require_same("x", noted, facts(Subset(found, range(5))))
    with pytest.raises(InputError, match="same number, different content"):
        require_same("x", noted, {**noted, "sha256": "0"})


def test_photos_that_changed_have_another_digest(tmp_path, records, found):
    copied = copy.deepcopy(records)
    for change in (CHANGES["text"], CHANGES["tag"]):
        change(copied[3])
    assert photo_digest(opened(tmp_path, copied, "b")) == photo_digest(found)  # texts and tags do not count
    bytes_ = bytearray(records[3]["image"]["bytes"])
    bytes_[-3] ^= 1
    copied[3]["image"]["bytes"] = bytes(bytes_)
    assert photo_digest(opened(tmp_path, copied, "c")) != photo_digest(found)  # as many bytes, others


def test_files_that_changed_have_another_digest(tmp_path):
    file = tmp_path / "0.jpg"
    file.write_bytes(b"12345")
    products = [Product("p", [file], ("tee",))]
    before = photo_digest(products)
    assert photo_digest(products) == before
    file.write_bytes(b"54321")
    os.utime(file, (1, 1))
    replaced = photo_digest(products)
    file.unlink()
    assert len({before, replaced, photo_digest(products)}) == 3
