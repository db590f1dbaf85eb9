import pytest

from e2.data import open_catalogue, splits_of
from e2.data.kaggle import brands_of, read_styles, split_of
from e2.errors import InputError
from tests.e2.data.conftest import encoded, photo
from tests.shared import shared_path

HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"


@pytest.fixture
def folder(tmp_path):
    """300 products of 150 names, one of them broken in the way of the published file."""
    (tmp_path / "images").mkdir()
    lines = [HEADER]
    for number in range(300):
        name = f"Puma Men Shirt {number % 150}" if number else 'Puma Men Shirt, Red, with "Logo", large'
        lines.append(f"{number},Men,Apparel,Topwear,Shirts,Red,Fall,2011,NA,{name}")
        (tmp_path / "images" / f"{number}.jpg").write_bytes(encoded(photo(number, (6, 8))))
    (tmp_path / "styles.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def open_all(folder, **options):
    spec = f"products:{folder}"
    return {split: open_catalogue(spec, split, progress=False, **options) for split in splits_of(spec)}


def test_products_and_tags(folder):
    products = {p.product_id: p for catalogue in open_all(folder).values() for p in catalogue}
    assert len(products) == 300
    assert products["0"].captions == ('Puma Men Shirt, Red, with "Logo", large',)
    assert products["7"].images == (folder / "images/7.jpg",)
    assert products["7"].tags == {
        "gender": "Men",
        "category": "Apparel",
        "sub_category": "Shirts",
        "colour": "Red",
        "season": "Fall",
        "year": "2011",
        "brand": "Puma",
    }  # usage is NA


def test_splits_are_disjoint_by_name(folder):
    names = {split: {p.captions[0] for p in catalogue} for split, catalogue in open_all(folder).items()}
    assert not names["train"] & names["val"] and not names["train"] & names["test"] and not names["val"] & names["test"]
    assert len(names["train"]) > 120 and names["val"] and names["test"]


def test_split_depends_on_the_name_alone():
    found = [split_of(f"Shirt {number}") for number in range(4000)]
    assert 0.04 < found.count("val") / 4000 < 0.06 and 0.04 < found.count("test") / 4000 < 0.06
    assert split_of("Nike  Shirt") == split_of("nike shirt ")


def test_chosen_tags_and_unknown_column(folder):
    catalogue = open_catalogue(f"products:{folder}", "train", tags=["brand"], progress=False)
    assert catalogue.tags == ("brand",) and catalogue[0].tags == {"brand": "Puma"}
    with pytest.raises(InputError, match="no column 'fabric'; it has product_id, gender"):
        open_catalogue(f"products:{folder}", "train", tags=["fabric"])


@pytest.mark.parametrize("name", ["Puma Shirt, red", '5" Heel'])
def test_quoted_cells_hold_their_commas(tmp_path, name):
    (tmp_path / "styles.csv").write_text(f'id,gender,productDisplayName\n"1","Men, Boys",Hat\n2,Men,{name}\n')
    table = read_styles(tmp_path / "styles.csv")
    assert table.column("gender").to_pylist() == ["Men, Boys", "Men"] and table.column("image")[0].as_py() == "images/1.jpg"
    assert table.column("caption").to_pylist() == ["Hat", name]


def test_missing_photos_and_short_lines_are_bad_rows(folder):
    with (folder / "styles.csv").open("a") as file:
        file.write("900,Men,Apparel\n")  # cut off: no name
    (folder / "images" / "3.jpg").unlink()
    causes = {}
    for catalogue in open_all(folder, on_bad_row="skip").values():
        causes |= catalogue.bad_rows
    assert causes == {"no text": 1, "missing image file": 1}


def test_wrong_folder_and_header(tmp_path):
    with pytest.raises(InputError, match="no styles.csv"):
        splits_of(f"products:{tmp_path}")
    (tmp_path / "styles.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="it has a, b"):
        open_catalogue(f"products:{tmp_path}", "train")


def test_brands_of_names():
    names = ["Puma Men Shirt"] * 5 + ["PUMA Women Bag", "Puma Track Men Pants", "Mr. Smith Kids Cap"]
    assert brands_of([*names, "Puma Cap", "mr. smith cap", "Unheard"]) == [
        *["Puma"] * 7,
        "Mr. Smith",
        "Puma",
        "Mr. Smith",
        None,
    ]


def test_brands_agree_with_the_recorded_ones():
    import pyarrow.parquet as pq

    table = pq.read_table(shared_path("data/fashion-products/train.parquet"), columns=["caption", "brand"])
    recorded = table["brand"].to_pylist()
    agreeing = sum(a == b for a, b in zip(brands_of(table["caption"].to_pylist()), recorded, strict=True))
    assert agreeing / len(recorded) > 0.96
