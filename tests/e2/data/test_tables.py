import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2.data import Columns, open_catalogue, splits_of, tables
from e2.errors import InputError
from tests.e2.data.conftest import encoded, photo, rows, write_parquet


@pytest.fixture
def paths_table(tmp_path):
    """Records with image paths instead of bytes, and the images beside them."""
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(encoded(photo(number)))
    return [
        {"product_id": f"00{number}", "image": f"pictures/{number}.jpg", "caption": f'Shirt, "red"\n{number}', "brand": "B"}
        for number in range(3)
    ]


def write_text(path, records, bom=False):
    with path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(record) + "\n" for record in records)
        else:
            writer = csv.DictWriter(file, list(records[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(records)
    return path


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_text_tables(tmp_path, paths_table, ending, bom):
    file = write_text(tmp_path / f"anything.{ending}", paths_table, bom)
    catalogue = open_catalogue(str(file), "test", tags=["brand"], progress=False)  # one file is any split
    assert splits_of(str(file)) == ("anything",) and catalogue.split == "anything"
    assert [product.product_id for product in catalogue] == ["000", "001", "002"]  # not the number 0
    assert catalogue[2].captions == ('Shirt, "red"\n2',)
    assert catalogue[2].tags == {"brand": "B"}
    assert catalogue[2].images == (tmp_path / "pictures/2.jpg",)


def test_absolute_image_paths(tmp_path, paths_table):
    for record in paths_table:
        record["image"] = str(tmp_path / record["image"])
    (tmp_path / "elsewhere").mkdir()
    file = write_text(tmp_path / "elsewhere" / "a.csv", paths_table)
    assert open_catalogue(str(file), progress=False)[0].images == (tmp_path / "pictures/0.jpg",)


def test_parquet_with_own_column_names(tmp_path):
    records = [
        {"sku": number, "photo": encoded(photo(number)), "title": "A hat", "baseColour": None if number else "Red"}
        for number in range(2)
    ]
    file = write_parquet(tmp_path / "a.parquet", records)
    columns = Columns(image="photo", caption="title", id="sku", tags={"colour": "baseColour"})
    catalogue = open_catalogue(str(file), tags=["colour"], columns=columns, progress=False)
    assert [product.tags for product in catalogue] == [{"colour": "Red"}, {}]
    assert catalogue[1].product_id == "1" and catalogue[1].images == (records[1]["photo"],)
    assert "baseColour" in catalogue.columns


def test_several_images_and_captions(tmp_path):
    record = {"product_id": "a", "image": [encoded(photo(1)), encoded(photo(2))], "caption": ["One", " ", "Two"]}
    product = open_catalogue(str(write_parquet(tmp_path / "a.parquet", [record])), progress=False)[0]
    assert product.images == tuple(record["image"]) and product.captions == ("One", "Two")


def test_json_lines_with_mixed_types(tmp_path, paths_table):
    paths_table[0]["product_id"], paths_table[1]["caption"] = 7, ["2013-01-01", 5]
    catalogue = open_catalogue(str(write_text(tmp_path / "a.jsonl", paths_table)), progress=False)
    assert catalogue[0].product_id == "7" and catalogue[1].captions == ("2013-01-01", "5")


def test_regions(tmp_path):
    records = rows(3)
    for record, cell in zip(records, ['{"brand": [0.1, 0.2, 0.3, 0.4], "other": [0, 0, 1, 1]}', "Europe", None], strict=True):
        record["regions"] = cell
    catalogue = open_catalogue(str(write_parquet(tmp_path / "a.parquet", records)), tags=["brand"], progress=False)
    assert [product.regions for product in catalogue] == [{"brand": (0.1, 0.2, 0.3, 0.4)}, {}, {}]


@pytest.mark.parametrize("cell", [["EU", "US"], {"sold": "EU"}, 7], ids=str)
def test_a_column_of_regions_that_are_no_boxes_is_none_of_ours(tmp_path, cell):
    records = [record | {"regions": cell} for record in rows(2)]
    catalogue = open_catalogue(str(write_parquet(tmp_path / "a.parquet", records)), progress=False)
    assert [product.regions for product in catalogue] == [{}, {}]


def test_missing_shards_and_tables_of_no_split_are_told(tmp_path, capsys):
    for number, name in enumerate(["train-00000-of-00003", "train-00002-of-00003", "val", "train (1)", "._val"]):
        write_parquet(tmp_path / f"{name}.parquet", rows(1, start=number))
    assert len(open_catalogue(str(tmp_path), "train")) == 2
    said = capsys.readouterr().err
    assert "1 of the 3 shards that train-00000-of-00003.parquet is one of are not read" in said
    assert "named after no split: train (1).parquet\n" in said
    open_catalogue(str(tmp_path), "val")
    assert capsys.readouterr().err.count("not read") == 0


@pytest.mark.parametrize(
    "names",
    [
        ("train.parquet", "validation.parquet", "test.parquet"),
        ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "val.parquet", "test.parquet"),
        ("train/a.parquet", "train/b.parquet", "val/a.parquet", "test/a.parquet"),
        ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/dev.parquet", "data/test.parquet"),
    ],
)
def test_folder_layouts(tmp_path, names):
    for place, name in enumerate(names):
        write_parquet(tmp_path / name, rows(2, start=10 * place))
    (tmp_path / "README.md").write_text("not a table")
    assert splits_of(str(tmp_path)) == ("train", "val", "test")
    catalogue = open_catalogue(str(tmp_path), "train", progress=False)
    shards = sum("train" in name for name in names)
    assert [product.product_id for product in catalogue] == ["p0", "p1", "p10", "p11"][: 2 * shards]


def test_shards_of_which_one_has_regions(tmp_path):
    first, second = rows(1), rows(1, start=1)
    second[0]["regions"] = '{"brand": [0, 0, 1, 1]}'
    write_parquet(tmp_path / "train-0.parquet", first)
    write_parquet(tmp_path / "train-1.parquet", second)
    catalogue = open_catalogue(str(tmp_path), "train", tags=["brand"], progress=False)
    assert [len(product.regions) for product in catalogue] == [0, 1]


def test_large_tables_are_mapped_from_the_cache(tmp_path, monkeypatch):
    file = str(write_parquet(tmp_path / "a.parquet", rows(10)))
    in_memory = list(open_catalogue(file, tags=["brand"], progress=False))
    monkeypatch.setattr(tables, "IN_MEMORY_BYTES", 0)
    assert list(open_catalogue(file, tags=["brand"], progress=False)) == in_memory
    copies = list((tmp_path / "cache" / "images").glob("*.arrow"))
    before = copies[0].stat().st_mtime_ns
    assert list(open_catalogue(file, tags=["season"], progress=False))[3].images == in_memory[3].images
    assert len(copies) == 1 and copies[0].stat().st_mtime_ns == before  # written once, whatever the tags


def write(path, content):
    path.write_bytes(content)
    return str(path)


def error_of(*args, **options):
    with pytest.raises(InputError) as caught:
        open_catalogue(*args, progress=False, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_column_lists_those_there_are(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", rows(1))
    message = error_of(str(file), tags=["colour"])
    assert "no column 'colour'" in message and "brand, season" in message and "--tags" in message
    assert "--caption-column" in error_of(str(file), columns=Columns(caption="title"))


def test_column_names_cannot_reach_the_terminal(tmp_path):
    message = error_of(write(tmp_path / "a.csv", b'product_id,image,"cap\n\x1b[2Jtion"\n1,a.jpg,A hat\n'))
    assert "\x1b" not in message and "cap??[2Jtion" in message


def test_wrong_specs_and_splits(tmp_path):
    write_parquet(tmp_path / "train.parquet", rows(1))
    write_parquet(tmp_path / "test.parquet", rows(1))
    assert "no such file" in error_of("nowhere.csv")
    assert "unknown kind of data 'foo'" in error_of("foo:bar")
    assert "choose --split from train, test" in error_of(str(tmp_path), "val")
    assert "choose --split from train, test" in error_of(str(tmp_path))
    assert "choose error or skip" in error_of(str(tmp_path), "train", on_bad_row="maybe")
    assert "not a table" in error_of(write(tmp_path / "a.xlsx", b"x"))
    (tmp_path / "train.csv").write_text("product_id\n")
    assert "both claim the split train" in error_of(str(tmp_path), "train")


def test_folder_without_tables(tmp_path):
    (tmp_path / "styles.csv").write_text("id\n")
    assert f"products:{tmp_path}" in error_of(str(tmp_path), "train")
    (tmp_path / "a.csv").write_text("id\n")
    assert "named after (a.csv, styles.csv)" in error_of(str(tmp_path), "train")


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense", b"\xff\xfe\x00\x01,\x80\n\x81,2\n"])
def test_damaged_tables(tmp_path, ending, content):
    file = tmp_path / f"a.{ending}"
    assert str(file) in error_of(write(file, content))


def test_cut_parquet(tmp_path):
    whole = write_parquet(tmp_path / "a.parquet", rows(5)).read_bytes()
    assert "cannot be read" in error_of(write(tmp_path / "b.parquet", whole[: len(whole) // 2]))


def test_csv_line_with_too_many_cells(tmp_path):
    with pytest.raises(InputError) as caught:
        open_catalogue(write(tmp_path / "a.csv", b"product_id,image,caption\n1,a.jpg,red, large\n"), progress=False)
    assert "quote cells" in str(caught.value) and "line 2" in str(caught.value)


def test_utf16_that_is_cut(tmp_path):
    cut = "product_id,image,caption\n1,a.jpg,A hat\n".encode("utf-16")[:-1]
    assert "--encoding" in error_of(write(tmp_path / "a.csv", cut))


def test_json_lines_that_are_none_at_all(tmp_path):
    assert "one object per line" in error_of(write(tmp_path / "b.jsonl", b"[1]\n"))
    assert "line 1" in error_of(write(tmp_path / "c.jsonl", b'[{"product_id": 1},\n'))


def test_a_row_of_json_with_a_key_twice_is_a_bad_row(tmp_path):
    """JSON readers take the last of the two, in silence."""
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    lines = [
        '{"product_id": "1", "image": "a.jpg", "caption": "A red hat", "caption": "A blue hat"}',
        '{"product_id": "2", "image": "a.jpg", "caption": "A hat", "size": {"en": "S", "en": "M"}}  ',
        '{"product_id": "3", "image": "a.jpg", "caption": "A tee"}',
    ]
    file = write(tmp_path / "d.jsonl", "\n".join(lines).encode())
    with pytest.raises(InputError, match=r"2 of 3 rows cannot be used \(2 repeated key\)"):
        open_catalogue(file, progress=False)
    assert len(open_catalogue(file, progress=False, on_bad_row="skip")) == 1


def test_no_rows(tmp_path):
    empty = pa.Table.from_pylist(rows(1)).slice(0, 0)
    pq.write_table(empty, tmp_path / "a.parquet")
    assert "no rows" in error_of(str(tmp_path / "a.parquet"))
    assert "no rows" in error_of(write(tmp_path / "a.csv", b"product_id,image,caption\n"))
