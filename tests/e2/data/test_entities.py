"""Entities that no column names: proposed, edited, read by ``--tags FILE.yaml``."""

import json

import pytest

from e2.data import Columns, open_catalogue, parse_tags
from e2.data.entities.cells import cells_of
from e2.data.entities.propose import propose
from e2.data.entities.rules import EntityRule, read_rules
from e2.data.entities.words import meaning_of, word_lists
from e2.data.entities.writing import rules_yaml
from e2.errors import InputError
from e2.training.run import as_changes
from tests.command import run_command
from tests.e2.data.conftest import encoded, photo, write_parquet
from tests.shared import shared_path

TAGS = [
    "black | casual | Ship now",
    "gray | boho | floral print",
    "dark blue | casual | striped",
    "Black | summer | mohairish",
]
TEXTS = [
    "95 % polyester, 5 % elastane",
    "Made of 80% cotton and 20% Mohairish",
    "100 % cotton. 20 % off",
    "60% cotton / 40% mohairish",
]
KINDS = ["Apparel > Tops > Tees", "Apparel > Tops > Shirts", "Apparel > Shoes > Boots", "Apparel > Shoes > Clogs"]


def record(number: int) -> dict:
    texts = {
        "tags": TAGS[number % 4],
        "text": f"{TEXTS[number % 4]}. A fine piece for all those who like it, number {number}.",
    }
    further = {"category": KINDS[number % 4], "Color": ["Red", "green"][number % 2], "price": f"{number}.90", "sale": "TRUE"}
    image = {"bytes": encoded(photo(number)), "path": None}
    return {"product_id": f"p{number}", "image": image, "caption": f"Piece {number}", **texts, **further}


@pytest.fixture
def table(tmp_path):
    return write_parquet(tmp_path / "t.parquet", [record(number) for number in range(40)])


def test_what_is_proposed(table):
    found = {one.entity: one for one in propose(cells_of(str(table), Columns()))}
    assert set(found) == {"category", "colour", "style", "pattern", "composition"}  # season: one value only
    assert found["colour"].rule.column == "Color" and found["colour"].counts == {"Red": 20, "green": 20}
    assert (found["category"].rule.part, set(found["category"].counts)) == (3, {"Tees", "Shirts", "Boots", "Clogs"})
    assert found["pattern"].counts == {"floral": 10, "striped": 10} and found["style"].unsorted["Ship now"] == 10
    assert found["composition"].counts == {"polyester": 10, "elastane": 10, "cotton": 30, "mohairish": 20}


def test_a_text_in_two_columns_counts_once():
    """Captions repeat descriptions: a word after a percentage is not a fibre for that."""
    made_of = ["95 % cotton, 5 % breathable"] * 3 + ["90 % cotton, 10 % mohairish"] * 5 + ["100 % cotton"] * 8
    texts = [[f"{made}. A fine piece for all those who like it."] for made in made_of]
    found = {one.entity: one for one in propose({"description": texts, "caption": texts})}
    assert set(found["composition"].counts) == {"cotton", "mohairish"}


def test_what_is_proposed_can_be_edited_and_read(table, tmp_path):
    answer = run_command("data", "entities", table, "--out", tmp_path / "e.yaml")
    assert answer.status == 0 and "wrote" in answer.out, answer.err
    text = (tmp_path / "e.yaml").read_text()
    assert "Ship now 10" in text and "floral: [floral print] # 10" in text
    (tmp_path / "e.yaml").write_text(text.replace("floral:", "flowery:"))
    tags, columns = parse_tags(str(tmp_path / "e.yaml"))
    catalogue = open_catalogue(str(table), tags=tags, columns=Columns(tags=columns), progress=False)
    assert catalogue[1].tags["pattern"] == "flowery" and catalogue[0].tags["composition"] == "polyester | elastane"
    assert catalogue[0].tags["category"] == "Tees" and "pattern" not in catalogue[0].tags
    again = run_command("data", "entities", table, "--out", tmp_path / "e.yaml")
    assert again.status == 2 and "--overwrite" in again.line
    settings = as_changes({"data.tags": str(tmp_path / "e.yaml")}, ())["data"]  # a checkpoint keeps the rules themselves
    assert settings["tags"] == list(tags) and json.loads(settings["tag_columns"]["pattern"])["column"] == "tags"


def test_exports_are_read_by_rules_too(tmp_path):
    (tmp_path / "0.jpg").write_bytes(encoded(photo(0, (80, 80))))
    rows = "".join(f'{n},Tee,Soft,"{tags}",0.jpg\n' for n, tags in enumerate(["summer, blue", "winter, gray, blue", "sale"]))
    (tmp_path / "s.csv").write_text("Handle,Title,Body (HTML),Tags,Image Src\n" + rows)
    (tmp_path / "e.yaml").write_text("colour: {column: Tags, values: {grey: [gray], blue: }}\n")
    arguments = ("--tags", tmp_path / "e.yaml")
    answer = run_command("data", "import", f"shopify:{tmp_path / 's.csv'}", *arguments, "--out", tmp_path / "out.parquet")
    assert answer.status == 0, answer.err
    found = open_catalogue(str(tmp_path / "out.parquet"), tags=("colour",), progress=False)
    assert [dict(product.tags) for product in found] == [{"colour": "blue"}, {"colour": "grey | blue"}, {}]
    assert cells_of(f"shopify:{tmp_path / 's.csv'}", Columns())["tags"][1] == ["winter", "gray", "blue"]


BAD = {
    "an unknown setting": ("colour: {colum: tags}", "colour: colum: there are column, separator, part, values, find"),
    "no column": ("colour: {find: words}", "colour: column: field required"),
    "an unknown way": ("colour: {column: tags, find: magic}", "colour: find: input should be 'cell', 'words' or 'fibres'"),
    "part 0": ("a: {column: tags, part: 0}", "a: part: "),
    "a list": ("- colour", "no entities in it"),
    "nothing": ("", "no entities in it"),
    "no YAML": ("colour: [", "is not valid YAML"),
    "an entity twice": ("colour: tags\ncolour: text", "'colour' occurs twice"),
    "a value twice": ("c: {column: tags, values: {grey: [gray], grey: [silver]}}", "'grey' occurs twice"),
    "a spelling of two values": ("c: {column: tags, values: {grey: [ash], silver: [Ash]}}", "'Ash' stands for 'grey' and for"),
    "no value": ("c: {column: tags, values: []}", "name at least one, or leave them out"),
    "words without values": ("c: {column: tags, find: words}", "c: values: name at least one"),
    "an empty value": ("c: {column: tags, values: [red, ' ']}", "an empty one"),
    "a mapping in a list": ("c: {column: tags, values: [red, {blue: navy}]}", "write each as a text"),
    "a spelling in capitals": ("c: {column: tags, values: {Grey: [Ash], Navy: [ash]}}", "c: values: 'ash' stands for 'Grey'"),
    "a list of lists": ("c: {column: tags, values: {grey: [[gray]]}}", "write each as a text"),
    "aliases": ("a: &a {column: x}\nb: *a", "aliases (*name) are not taken"),
    "an entity of no column": ("mood: moods", "no column 'moods'; it has product_id"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_rules_are_one_line(table, tmp_path, kind):
    content, said = BAD[kind]
    (tmp_path / "e.yaml").write_text(content)
    answer = run_command("data", "info", table, "--tags", tmp_path / "e.yaml")
    assert answer.status == 2 and said in answer.line and answer.err == answer.line + "\n"


def test_values_are_read_as_they_are_written(tmp_path):
    words = ["yes", "no", "off", "0012", "1:30", "1_000", "1.0", "2010-01-01"]
    (tmp_path / "e.yaml").write_text(
        f"c: {{column: tags, part: -1, values: [{', '.join(words)}]}}\nd: {{column: 5, values: {{a: }}}}"
    )
    rules = read_rules(tmp_path / "e.yaml")
    assert list(rules["c"].values) == words and rules["c"].part == -1
    assert (rules["d"].column, rules["d"].values) == ("5", {"a": ()})


def test_no_file_of_rules_and_nothing_to_propose(tmp_path):
    with pytest.raises(InputError, match="No such file.*e2 data entities"):
        read_rules(tmp_path / "none.yaml")
    spec = write_parquet(
        tmp_path / "t.parquet", [{k: record(n)[k] for k in ("product_id", "image", "price")} for n in range(9)]
    )
    answer = run_command("data", "entities", spec, "--out", tmp_path / "e.yaml")
    assert answer.status == 2 and "no column looks like tags (price)" in answer.line


def test_a_cell_of_many_values_and_hostile_texts_are_written_safely(tmp_path):
    odd = ["a: b", "# no", "\x1b[31mred", "'", '"', "yes", "1.0", "- x", "&a", "*b", "é", "{c}", "d\ne"]
    cells = {"odd": [[value] for value in odd for _ in range(5)], "many": [["red"] + [f"v{n}" for n in range(500)]] * 40}
    cells["many"] += [["blue"]] * (len(cells["odd"]) - 40)
    proposals = propose(cells)
    (tmp_path / "e.yaml").write_text(rules_yaml(proposals, "odd\x1b[0m", 65), encoding="utf-8")
    assert "\x1b" not in (tmp_path / "e.yaml").read_text()
    assert read_rules(tmp_path / "e.yaml") == {one.entity: one.rule for one in proposals}
    assert {one.entity for one in proposals} == {"odd", "colour"}


@pytest.mark.parametrize(
    ("rule", "cell", "values"),
    [
        ({"separator": "|"}, ["a | b", "a"], ["a", "b"]),
        ({"separator": ">", "part": 2}, ["A > B > C", "D"], ["B"]),
        ({"separator": ">", "part": -1}, ["A > B > C"], ["C"]),
        ({"values": ["Off-White"]}, ["off white"], ["Off-White"]),
        ({"values": {"grey": ["gray"]}, "find": "words"}, ["A Gray-green tee, grayish"], ["grey"]),
        (
            {"find": "fibres"},
            ["Shell: 80% recycled Polyamide, 20 % elastane (lining 100% silk)"],
            ["recycled polyamide", "elastane", "silk"],
        ),
    ],
)
def test_rules(rule, cell, values):
    assert EntityRule(column="c", **rule).read(cell) == values


def test_word_lists_say_each_spelling_once():
    for entity, values in word_lists().items():
        for value, others in values.items():
            assert (
                all(meaning_of(spelling).value == value for spelling in (value, *others)) or entity != meaning_of(value).entity
            )


def test_shared_shop_catalogue():
    spec = shared_path("data/womens-catalogue/products.parquet")
    found = {one.entity: one for one in propose(cells_of(str(spec), Columns()))}
    assert {"colour", "material", "season", "pattern", "style", "composition", "category", "product_type"} <= set(found)
    assert found["composition"].products > 1500 and found["colour"].products > 2000
