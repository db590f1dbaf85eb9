import pickle
from pathlib import Path

import pytest

from e2.data import check, open_catalogue
from e2.errors import InputError
from tests.e2.data.conftest import encoded, photo, rows, write_parquet

GOOD = 3


@pytest.fixture
def damaged(tmp_path):
    """Three good rows, then one of each kind that cannot be used."""
    records = rows(10)
    records[3]["image"] = None
    records[4]["image"] = {"bytes": None, "path": "absent.jpg"}
    records[5]["image"]["bytes"] = records[5]["image"]["bytes"][:-200]
    records[6]["caption"] = " nan "
    records[7]["product_id"] = "p0"
    records[8]["product_id"] = None
    records[9] |= {"image": None, "product_id": "p1"}  # two faults: counted once, by the first
    return str(write_parquet(tmp_path / "a.parquet", records))


def test_error_counts_and_names_each(damaged):
    with pytest.raises(InputError) as caught:
        open_catalogue(damaged, progress=False)
    head, *lines = str(caught.value).split("\n")
    assert "7 of 10 rows cannot be used" in head and "2 duplicate id" in head and "--on-bad-row skip" in head
    assert [line.split(": ")[1].split(" (")[0] for line in lines] == [
        "no image",
        "missing image file",
        "broken image",
        "no text",
        "duplicate id",
        "no id",
        "duplicate id",
        "they are not used; `e2 data import SPEC --group-by ID_COLUMN` puts them together",
    ]
    assert lines[-1].startswith("  1 of the 2 rows with a duplicate id hold further photos")
    assert lines[0].startswith("  row 4, id 'p3'") and "truncated" in lines[2] and "absent.jpg" in lines[1]


def test_error_names_ten(tmp_path):
    records = rows(15)
    for record in records:
        record["caption"] = None
    with pytest.raises(InputError) as caught:
        open_catalogue(str(write_parquet(tmp_path / "a.parquet", records)), progress=False)
    assert len(str(caught.value).split("\n")) == 11


def test_skip_drops_and_counts(damaged, capsys):
    catalogue = open_catalogue(damaged, on_bad_row="skip")
    assert [product.product_id for product in catalogue] == ["p0", "p1", "p2"]
    assert catalogue.bad_rows == {
        "duplicate id": 2,
        "no image": 1,
        "missing image file": 1,
        "broken image": 1,
        "no text": 1,
        "no id": 1,
    }
    said = capsys.readouterr()
    assert said.out == "" and "left out 7 of 10 rows" in " ".join(said.err.split())


def test_one_broken_image_of_several_makes_the_row_bad(tmp_path):
    good = encoded(photo())
    file = write_parquet(tmp_path / "a.parquet", [{"product_id": "a", "image": [good, good[:50]], "caption": "A hat"}])
    with pytest.raises(InputError, match="1 broken image"):
        open_catalogue(str(file), progress=False)


def test_a_row_keeps_its_good_photos(tmp_path, capsys):
    good, other = encoded(photo()), encoded(photo(1))
    records = [{"product_id": "a", "image": [good, good[:50], other, b"<html>"], "caption": "A hat"}]
    records += [{"product_id": "a", "image": [good], "caption": "A hat"}]  # a duplicate still
    records += [{"product_id": "b", "image": [b"", good[:50]], "caption": "A cap"}]
    file = write_parquet(tmp_path / "a.parquet", records)
    for _ in range(2):  # decoded, then out of the cache
        catalogue = open_catalogue(str(file), on_bad_row="skip")
        (product,) = catalogue
        assert tuple(product.images) == (good, other) and len(catalogue.text_only()[0].images) == 2
        assert catalogue.bad_rows == {"broken image": 1, "duplicate id": 1}
        assert catalogue.notes == {check.LEFT_OUT: {"broken image": 2}}
        (again,) = pickle.loads(pickle.dumps(catalogue))
        assert again == product
    assert "photos left out of products that have others: 2 ('broken image' 2)" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(InputError, match="3 of 3 rows.*\n.*photo 2 of 4: "):
        open_catalogue(str(file), progress=False)


def test_nothing_left(tmp_path):
    record = rows(1)[0] | {"caption": None}
    with pytest.raises(InputError, match="all rows are unusable .1 no text"):
        open_catalogue(str(write_parquet(tmp_path / "a.parquet", [record])), on_bad_row="skip", progress=False)


def test_images_are_decoded_once(tmp_path, monkeypatch):
    decoded = []
    real = check.check_image
    monkeypatch.setattr(check, "check_image", lambda source: decoded.append(source) or real(source))
    file = tmp_path / "a.parquet"
    write_parquet(file, rows(5))
    for _ in range(2):
        assert open_catalogue(str(file), progress=False).bad_rows == {}
    assert len(decoded) == 5
    write_parquet(file, rows(6))  # another file: another verdict
    open_catalogue(str(file), progress=False)
    assert len(decoded) == 11


def test_image_files_that_change_are_decoded_again(tmp_path):
    picture = tmp_path / "a.jpg"
    picture.write_bytes(encoded(photo()))
    file = tmp_path / "a.csv"
    file.write_text("product_id,image,caption\n1,a.jpg,A hat\n")
    assert len(open_catalogue(str(file), progress=False)) == 1
    picture.write_bytes(picture.read_bytes()[:-100])
    with pytest.raises(InputError, match="1 broken image"):
        open_catalogue(str(file), progress=False)
    picture.unlink()
    with pytest.raises(InputError, match="1 missing image file"):
        open_catalogue(str(file), progress=False)


def test_trouble_of_the_disk_is_not_remembered(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    (tmp_path / "a.csv").write_text("product_id,image,caption\n1,a.jpg,A hat\n")
    with monkeypatch.context() as patch:

        def fail(path):
            raise OSError(5, "Input/output error")

        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(InputError, match="1 unreadable image") as caught:
            open_catalogue(str(tmp_path / "a.csv"), progress=False)
        assert "Input/output error" in str(caught.value)
    assert len(open_catalogue(str(tmp_path / "a.csv"), progress=False)) == 1


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "occupied").write_text("a file, not a folder")
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "occupied"))
    assert len(open_catalogue(str(write_parquet(tmp_path / "a.parquet", rows(2))), progress=False)) == 2


@pytest.mark.parametrize("world", [2, 3, 7])
def test_processes_decode_a_part_each_and_know_all_bad_photos(damaged, monkeypatch, tmp_path, world):
    """Without other processes: what each of them would decode and find; the rest comes by gathering."""
    from e2 import distributed

    decoded, found = [], []
    whole = check.check_image
    monkeypatch.setattr(check, "check_image", lambda image: decoded.append(image) or whole(image))
    monkeypatch.setattr(distributed, "gather_object", lambda found: found)
    table = open_catalogue(damaged, progress=False, on_bad_row="skip").table
    store = open_catalogue(damaged, progress=False, on_bad_row="skip").images
    decoded.clear()
    expected, alone = check.find_bad_rows(table, store), len(decoded)
    decoded.clear()
    for rank in range(world):
        state = type("State", (), {"num_processes": world, "process_index": rank})
        monkeypatch.setattr(distributed, "processes", lambda state=state: state)
        monkeypatch.setenv("E2_CACHE", str(tmp_path / str(rank)))
        before = len(decoded)
        found += check.find_bad_rows(table, store, ["the same"], together=True)
        assert len(decoded) - before <= -(-len(table) // world)
    of_photos = [bad for bad in found if bad.cause in ("missing image file", "broken image")]
    assert sorted(of_photos) == [bad for bad in expected if bad.cause in ("missing image file", "broken image")]
    assert len(decoded) == alone > 0
