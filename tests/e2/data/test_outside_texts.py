"""Tables and shards as shops, spreadsheets and data frames write them: what becomes of each, and what is said of it."""

import base64
import gzip
import io
import json
import tarfile
import urllib.parse
import uuid

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from e2.data import Columns, open_catalogue, tables
from e2.data.canonical import canonical
from e2.data.export import import_catalogue
from e2.errors import InputError
from tests.command import run_command
from tests.e2.data.conftest import encoded, photo

PICTURES = 6
HEADER = "product_id,image,caption,brand\n"
PLAIN = HEADER + "".join(f"{n},im/{n}.jpg,thing {n},Nike\n" for n in range(4))
ROWS = [{"product_id": str(n), "image": f"im/{n}.jpg", "caption": f"thing {n}", "brand": "Nike"} for n in range(4)]


@pytest.fixture
def shop(tmp_path):
    """A folder with small pictures, im/0.jpg and so on."""
    (tmp_path / "im").mkdir()
    for number in range(PICTURES):
        (tmp_path / f"im/{number}.jpg").write_bytes(encoded(photo(number, (8, 8))))
    return tmp_path


def written(shop, name, content):
    file = shop / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def opened(spec, tags=("brand",), **options):
    return open_catalogue(str(spec), tags=tags, columns=Columns(**options), on_bad_row="skip", progress=False)


def tags_of(catalogue):
    return {product.product_id: product.tags.get("brand") for product in catalogue}


# --- how a table is written ---------------------------------------------------------------------------------------

SEMICOLONS, TABS, BARS = (PLAIN.replace(",", letter) for letter in ";\t|")
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
CHLOE = PLAIN.replace("Nike", "Chloé")
SPACED = PLAIN.replace(HEADER, " product_id\u00a0, image , caption,\u200bbrand \n")
DIALECTS = {
    "semicolons": ("t.csv", SEMICOLONS, "semicolons"),
    "semicolons and mark": ("t.csv", b"\xef\xbb\xbf" + SEMICOLONS.replace("\n", "\r\n").encode(), "semicolons"),
    "tabs in csv": ("t.csv", TABS, "tabs"),
    "bars": ("t.csv", BARS, "bars"),
    "commas in tsv": ("t.tsv", PLAIN, "commas"),
    "sep line": ("t.csv", "sep=;\r\n" + SEMICOLONS, "semicolons"),
    "utf-16": ("t.tsv", TABS.encode("utf-16"), "utf-16"),
    "utf-16 without mark": ("t.tsv", TABS.encode("utf-16-le"), "utf-16-le"),
    "utf-16 json": ("t.jsonl", JSONL.encode("utf-16"), "utf-16"),
    "old mac": ("t.csv", PLAIN.replace("\n", "\r"), None),
    "mark": ("t.csv", PLAIN.encode("utf-8-sig"), None),
    "utf-8": ("t.csv", CHLOE, None),
    "cp1252": ("t.csv", CHLOE.encode("cp1252"), "cp1252"),
    "cp1251": ("t.csv", PLAIN.replace("Nike", "Красное").encode("cp1251"), "cp1251"),
    "cp932": ("t.csv", PLAIN.replace("Nike", "赤いドレス").encode("cp932"), "cp932"),
    "upper ending": ("t.CSV", PLAIN, None),
    "packed": ("t.csv.gz", gzip.compress(PLAIN.encode()), None),
    "packed semicolons": ("t.CSV.GZ", gzip.compress(SEMICOLONS.encode()), "semicolons"),
    "packed tabs": ("t.tsv.gz", gzip.compress(TABS.encode()), None),
    "packed json": ("t.JsonL.gz", gzip.compress(JSONL.encode()), None),
    "packed under another name": ("t.csv", gzip.compress(PLAIN.encode()), None),
    "unpacked under another name": ("t.csv.gz", PLAIN, None),
    "blanks around the names of columns": (
        "t.csv",
        SPACED,
        None,
    ),
    "a delimiter after each row": ("t.csv", PLAIN.replace("Nike\n", "Nike,\n"), None),
}


@pytest.mark.parametrize(("name", "content", "said"), DIALECTS.values(), ids=DIALECTS)
def test_delimiter_and_encoding_are_found(shop, capsys, name, content, said):
    catalogue = open_catalogue(str(written(shop, name, content)), tags=["brand"])
    assert [product.product_id for product in catalogue] == ["0", "1", "2", "3"] and catalogue.split == "t"
    assert set(tags_of(catalogue).values()) <= {"Nike", "Chloé", "Красное", "赤いドレス"}
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == (said is not None) and (not said or said in lines[0])


SAID = {  # encoding -> what a shop writes in it
    "cp1250": "piros póló hosszú ujjal, gyönyörű női sál",
    "iso8859_2": "buty skórzane damskie, płaszcz wełniany, różowy sweter, świąteczne skarpety",
    "cp852": "červené tričko s dlouhým rukávem, žlutý svetr, dámská sukně",
    "cp1251": "чёрная юбка из хлопка, мужская куртка",
    "mac_cyrillic": "чёрная юбка из хлопка, мужская куртка",
    "iso8859_7": "Άσπρο πουκάμισο, κόκκινο φόρεμα",
    "cp1255": "שמלה אדומה עם שרוולים ארוכים",
    "cp1257": "vilnonis paltas, žalia suknelė, ilgomis rankovėmis, šilti batai",
    "gbk": "红色长袖衬衫 纯棉短裙",
    "big5": "紅色長袖襯衫 藍色牛仔褲",
    "euc_kr": "빨간색 긴팔 셔츠 남성 후드 재킷",
    "cp1253": "μαύρο φόρεμα με μακρύ μανίκι; λευκό ανδρικό πουκάμισο",
    "cp1254": "kırmızı ışıltılı gömlek, yakalı yün palto",
    "koi8_r": "красное платье, белая рубашка в полоску",
    "cp866": "шерстяное пальто с воротником",
    "mac_roman": "robe noire à manches longues, très élégante, côtelé",
    "cp850": "manteau en laine à col, très élégant, été",
    "cp932": "赤いドレス 綿100％",
    "euc_jp": "黄色いスカート ウールのコート",
}


@pytest.mark.parametrize(("encoding", "said"), SAID.items())
def test_encodings_are_told_apart_by_their_letters(shop, encoding, said):
    content = PLAIN.replace("Nike", f'"{said}"').encode(encoding)
    assert set(tags_of(opened(written(shop, "t.csv", content))).values()) == {said}


@pytest.mark.parametrize("said", ["30 °C", "señora", "café", "½ sleeve", "men’s", "Größe"])
def test_a_lone_letter_is_western(shop, said):
    content = PLAIN.replace("3,Nike", f"3,{said}").encode("cp1252")
    assert tags_of(opened(written(shop, "t.csv", content)))["3"] == said


@pytest.mark.parametrize(("encoding", "written_as"), [("utf-8", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16")])
def test_a_byte_order_mark_is_no_letter_of_a_set_encoding(shop, encoding, written_as):
    assert len(opened(written(shop, "t.csv", PLAIN.encode(written_as)), encoding=encoding)) == 4


NO_TABLES = {
    "parquet": (b"PAR1\x15\x04", "a parquet file"),
    "workbook": (b"PK\x03\x04" + bytes(range(256)), "an Excel workbook"),
    "bzip2": (b"BZh91AY", "unpack it"),
    "packed twice": (gzip.compress(gzip.compress(PLAIN.encode())), "unpack it once"),
    "web page": (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
    "feed": (b'<?xml version="1.0"?><rss/>', "merchant:FILE"),
    "one cell": (PLAIN.replace(",", "~").encode(), "--delimiter"),
}


@pytest.mark.parametrize(("content", "said"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_named(shop, content, said):
    assert said in run_command("data", "info", written(shop, "t.csv", content)).line


def test_delimiter_and_encoding_can_be_set(shop):
    odd = written(shop, "odd.csv", PLAIN.replace(",", "~").replace("Nike", "Łódź").encode("cp1250"))
    options = ("--tags", "brand", "--delimiter", "~", "--encoding", "cp1250")
    answer = run_command("data", "info", odd, *options, "--json")
    assert "Łódź" in str(json.loads(answer.out)) and "read" not in answer.err
    assert "no such" not in run_command("data", "info", written(shop, "t.csv", TABS), "--delimiter", "tab").err
    for unknown in ("klingon", "base64", "rot13", "undefined"):  # the last three are not encodings of texts
        assert f"--encoding {unknown!r} is unknown" in run_command("data", "info", odd, "--encoding", unknown).line
    assert "--delimiter ',,' is not one character" in run_command("data", "info", odd, "--delimiter", ",,").line


def test_a_byte_of_another_encoding_costs_its_row_alone(shop):
    content = CHLOE.encode() + b"4,im/4.jpg,caf\xe9,Nike\n5,im/5.jpg,last,Nike\n"
    catalogue = opened(written(shop, "t.csv", content))
    assert list(tags_of(catalogue)) == ["0", "1", "2", "3", "5"] and catalogue.bad_rows == {"malformed row": 1}


# --- rows that are not whole --------------------------------------------------------------------------------------


def lines_of(*lines, delimiter=","):
    rows = [f"{n},im/{n}.jpg,{caption},Nike" for n, caption in enumerate(lines)]
    return (HEADER + "\n".join(rows) + "\n").replace(",", delimiter)


MALFORMED = {
    "a comma": ("t.csv", lines_of("a", "red, soft", "b", "c"), ["0", "2", "3"], "line 3, 5 cells, not 4"),
    "a short row": ("t.csv", PLAIN.replace("thing 1,Nike", "thing 1"), ["0", "2", "3"], "line 3, 3 cells, not 4"),
    "backslashes": ("t.csv", lines_of("a", r'"red \"chic\", soft"', "b", "c"), ["0", "2", "3"], "line 3, 5 cells"),
    "a line of json": ("t.jsonl", JSONL.replace('{"product_id": "1"', '{"product_id": 1x', 1), ["0", "2", "3"], "line 2"),
    "no object": ("t.jsonl", JSONL + "[1]\n", ["0", "1", "2", "3"], "line 5"),
}


@pytest.mark.parametrize(("name", "content", "ids", "said"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_row_is_a_bad_row(shop, name, content, ids, said):
    file = written(shop, name, content)
    assert list(tags_of(opened(file))) == ids and sum(opened(file).bad_rows.values()) == 1
    with pytest.raises(InputError) as caught:
        open_catalogue(str(file), progress=False)
    assert "1 of " in str(caught.value) and said in str(caught.value)


QUOTES = {
    "at the end of the file": ("t.csv", lines_of("a", '"4 inch', "b", "c"), ["a", '"4 inch', "b", "c"], "line 3"),
    "in tabs": ("t.tsv", lines_of("a", '"4 inch', "b", "c", delimiter="\t"), ["a", '"4 inch', "b", "c"], "line 3"),
    "two swallow rows": ("t.csv", lines_of('"Best', "b", 'c"', "d"), ['"Best', "b", 'c"', "d"], "line 2"),
    "in tabs two": ("t.tsv", lines_of('"4 inch', 'b"', "c", "d", delimiter="\t"), ['"4 inch', 'b"', "c", "d"], "line 2"),
    "and a row in quotes": ("t.csv", lines_of('"Best', '"grey, soft"', "c", "d"), ['"Best', "grey, soft", "c", "d"], "line 2"),
    "inches within": ("t.csv", lines_of('5" heel', 'a 6" heel', "c", "d"), ['5" heel', 'a 6" heel', "c", "d"], None),
    "closed early": ("t.csv", lines_of('"Chic" dress', "b", "c", "d"), ["Chic dress", "b", "c", "d"], None),
    "html": ("t.csv", lines_of('"<p>""red"", x</p>\n<b>,</b>"', "b", "c"), ['<p>"red", x</p>\n<b>,</b>', "b", "c"], None),
    "blank lines": ("t.csv", PLAIN + "\n\n  \n", [f"thing {n}" for n in range(4)], None),
}


@pytest.mark.parametrize(("name", "content", "captions", "said"), QUOTES.values(), ids=QUOTES)
def test_stray_quotes_swallow_no_row(shop, name, content, captions, said):
    catalogue = opened(written(shop, name, content))
    assert [product.captions[0] for product in catalogue] == captions and not catalogue.bad_rows
    assert [list(values) for values in catalogue.notes.values()] == ([[said]] if said else [])


def test_a_quote_that_never_closes_is_found_in_long_files(shop, monkeypatch):
    monkeypatch.setattr("e2.data.delimited.LONGEST_TEXT", 20)
    rows = "".join(f"{n},im/0.jpg,thing {n},Nike\n" for n in range(90))
    catalogue = opened(written(shop, "t.csv", HEADER + 'a,im/1.jpg,"open,Nike\n' + rows))
    assert len(catalogue) == 91


def test_the_first_good_row_of_an_id_wins(shop):
    rows = [
        ROWS[0] | {"caption": None},
        ROWS[0] | {"image": "im/none.jpg"},
        ROWS[0] | {"caption": "good"},
        ROWS[0] | {"caption": "late"},
    ]
    catalogue = opened(written(shop, "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert [product.captions for product in catalogue] == [("good",)]
    assert catalogue.bad_rows == {"no text": 1, "missing image file": 1, "duplicate id": 1}


def test_columns_of_json_may_come_late(shop, monkeypatch):
    monkeypatch.setattr("e2.data.read.JSON_ROWS_FOR_NAMES", 2)
    many = [{"product_id": n, "image": "im/0.jpg", "caption": f"thing {n}"} for n in range(9)]
    many[8]["brand"] = "Nike"
    file = written(shop, "t.jsonl", "".join(json.dumps(row) + "\n" for row in many))
    assert tags_of(opened(file))["8"] == "Nike"
    with pytest.raises(InputError, match="no column 'colour'"):
        opened(file, ("colour",))
    (shop / "parts").mkdir()
    (shop / "parts/im").symlink_to(shop / "im")
    for part, row in enumerate((ROWS[0] | {"brand": None}, ROWS[1])):
        row = {name: value for name, value in row.items() if value is not None}
        (shop / f"parts/train-{part}.jsonl").write_text(json.dumps(row))
    assert tags_of(open_catalogue(str(shop / "parts"), "train", tags=["brand"], progress=False)) == {"0": None, "1": "Nike"}


# --- one text for a value -----------------------------------------------------------------------------------------

SAME = {
    "true": [True, "TRUE", "True", "true"],
    "2010": [2010, 2010.0, "2010.0", "2010"],
    "19.9": [19.9, "19.90", "19.9"],
    "4006381333931": [4006381333931, 4006381333931.0, "4.006381333931e+12", "4006381333931.0"],
    "007": ["007"],
    "7E10": ["7E10"],
    "3.0.1": ["3.0.1"],
    "2013-01-01": [pd.Timestamp("2013-01-01"), "2013-01-01", "2013-01-01 00:00:00"],
    "red | summer": [["red", "summer"], "['red', 'summer']", '["red", "summer"]', "['red' 'summer']"],
}
FORMATS = ("csv", "tsv", "parquet", "jsonl", "hf", "webdataset")


def frame_as(shop, kind, frame):
    """Writes a data frame as the usual programs do; returns the SPEC."""
    if kind == "parquet":
        pq.write_table(pa.Table.from_pandas(frame), shop / "t.parquet")
    elif kind == "jsonl":
        frame.to_json(shop / "t.jsonl", orient="records", lines=True, date_format="iso")
    elif kind == "webdataset":
        with tarfile.open(shop / "t.tar", "w") as tar:
            for row in json.loads(frame.to_json(orient="records", date_format="iso")):
                add(tar, f"{row['caption']}.jpg", (shop / row.pop("image")).read_bytes())
                add(tar, f"{row['caption']}.json", json.dumps(row).encode())
        return f"webdataset:{shop / 't.tar'}"
    else:
        file = shop / ("t.tsv" if kind == "tsv" else "t.csv")
        frame.to_csv(file, index=False, sep="\t" if kind == "tsv" else ",")
        return f"hf:{file}" if kind == "hf" else str(file)
    return str(shop / f"t.{kind}")


def add(tar, name, contents):
    member = tarfile.TarInfo(name)
    member.size = len(contents)
    tar.addfile(member, io.BytesIO(contents))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("expected", "value"), [(text, value) for text, values in SAME.items() for value in values])
def test_a_value_has_one_text(shop, kind, expected, value):
    frame = pd.DataFrame({"product_id": ["x"], "image": "im/0.jpg", "caption": "thing", "brand": [value]})
    (product,) = opened(frame_as(shop, kind, frame))
    assert product.tags["brand"] == expected


def test_an_exponent_writes_no_number_of_a_gigabyte():
    assert canonical("1e+999") == "1" + "0" * 999 and canonical("1e+9999") == "1e+9999"


NUMBERS = {  # ids that are numbers in a data frame -> what they are called
    "whole": ([2010, 2011, 7], ["2010", "2011", "7"]),
    "floats": ([2010.0, 2011.0, 7.0], ["2010", "2011", "7"]),
    "article numbers": ([4006381333931.0, 4e20, 19.5], ["4006381333931", "4" + 20 * "0", "19.5"]),
    "beside nothing": ([4006381333931, None, 7], ["4006381333931", None, "7"]),
}
TEXTS = {  # ids that are texts
    "versions": ["1", "1.0", "1.00", "01"],
    "one that looks like a number": ["SKU", "1.0", "2010.0", "5E-10", "TRUE", "2013-01-01 00:00:00"],
    "zeros": ["007", "07", "7.50", "7.5"],
    "decimals": ["3.1", "3.10", "03.0"],
    "blanks": [" a", "a", "a ", "\u2028a", "a\tb", "a\nb"],
    "brackets": ["[1]", "1", "['1', '2']", '{"a": 1}', "{{7*7}}"],
    "of a number": ["4.006381333931e+12", "4006381333931", "4006381333931.0"],
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("values", "ids"), NUMBERS.values(), ids=NUMBERS)
def test_ids_that_are_numbers_are_the_same_in_all_formats(shop, kind, values, ids):
    captions = [f"p{n}" for n in range(len(ids))]
    frame = pd.DataFrame({"product_id": values, "image": "im/0.jpg", "caption": captions, "brand": "Nike"})
    found = {product.captions[0]: product.product_id for product in opened(frame_as(shop, kind, frame))}
    assert found == {caption: name for caption, name in zip(captions, ids, strict=True) if name}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("ids", TEXTS.values(), ids=TEXTS)
def test_ids_that_are_texts_stay_as_they_are(shop, kind, ids):
    captions = [f"p{n}" for n in range(len(ids))]
    frame = pd.DataFrame({"product_id": ids, "image": "im/0.jpg", "caption": captions, "brand": "Nike"})
    assert [product.product_id for product in opened(frame_as(shop, kind, frame))] == ids


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("last", ["SKU", 7])
def test_article_numbers_are_the_same_in_every_part_of_a_table(shop, monkeypatch, kind, last):
    monkeypatch.setattr("e2.data.read.ROWS_PER_BATCH", 8)
    monkeypatch.setattr("e2.data.delimited.PIECE", 256, raising=False)
    numbers = [float(4006381333900 + n) for n in range(40)]
    cells = [*(numbers if kind == "jsonl" else [f"{number:.12e}" for number in numbers]), last]
    rows = [{"product_id": cell, "image": "im/0.jpg", "caption": "thing", "brand": n} for n, cell in enumerate(cells)]
    catalogue = opened(frame_as(shop, kind, pd.DataFrame(rows)))
    assert list(tags_of(catalogue)) == [*(f"{number:.0f}" for number in numbers), str(last)]


def test_ids_of_a_csv_are_numbers_where_all_of_its_parts_say_so(shop):
    """The parts of a split are one table; a comma in a text sends a part through the slow reader."""
    for name, cells in {"train-0": ["2010.0", "2011.0"], "train-1": ["7.0", ""], "val": ["1.0", "x"]}.items():
        rows = "".join(f'{cell},im/{n}.jpg,"a\nb, c",\n' for n, cell in enumerate(cells))
        written(shop, f"{name}.csv", HEADER + rows)
    assert list(tags_of(open_catalogue(str(shop), "train", on_bad_row="skip", progress=False))) == ["2010", "2011", "7"]
    assert list(tags_of(open_catalogue(str(shop), "val", progress=False))) == ["1.0", "x"]


def test_types_guessed_for_a_part_change_no_text(shop, monkeypatch):
    """A batch of booleans alone, then texts and numbers."""
    monkeypatch.setattr("e2.data.read.ROWS_PER_BATCH", 8)
    cells = [True] * 8 + ["yes", 1, 1.5, True]
    rows = [{"product_id": n, "image": "im/0.jpg", "caption": "thing", "brand": cell} for n, cell in enumerate(cells)]
    found = tags_of(opened(written(shop, "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))))
    assert list(found.values()) == ["true"] * 8 + ["yes", "1", "1.5", "true"]


def test_ids_in_formulas_keep_their_zeros(shop):
    content = HEADER + "".join(f'="000{n}",im/{n}.jpg,thing,"=""M{n}"""\n' for n in range(2))
    assert tags_of(opened(written(shop, "t.csv", content))) == {"0000": "M0", "0001": "M1"}


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_ids_that_a_spreadsheet_cut_are_told(shop, policy):
    """4006381333931 shown as 4.00638E+12 is another number, and the same one as its neighbours."""
    content = HEADER + "".join(f"4.00638E+12,im/{n}.jpg,thing {n},Nike\n" for n in range(3))
    answer = run_command("data", "info", written(shop, "t.csv", content), "--on-bad-row", policy)
    assert "id cut short by a spreadsheet" in answer.err and "group-by" not in answer.err
    assert list(tags_of(opened(shop / "t.csv"))) == ["4.00638E+12"]


def test_ids_of_bytes_that_are_numbers_in_disguise_are_texts(shop):
    numbers = [uuid.UUID(int=n) for n in range(2)]
    ids = pa.array([number.bytes for number in numbers], pa.uuid())
    table = {"product_id": ids, "image": ["im/0.jpg"] * 2, "caption": ["a", "b"], "brand": ["x", "y"]}
    pq.write_table(pa.table(table), shop / "t.parquet")
    assert list(tags_of(opened(shop / "t.parquet"))) == list(map(str, numbers))


# --- nothing, and what only looks like it -------------------------------------------------------------------------

NOTHING = ["None", "NA", "Nan", "N/A", "null", "NULL", "none", "nan", "Na", "#N/A"]
NOTHING += ["-", "--", "–", "n.a.", "\\N", "#REF!", "(null)", "undefined"]


@pytest.mark.parametrize("kind", FORMATS)
def test_brands_that_are_spelled_like_nothing(shop, kind):
    ids = [f"p{n}" for n in range(len(NOTHING) + 1)]
    frame = pd.DataFrame({"product_id": ids, "image": "im/0.jpg", "caption": ids, "brand": [*NOTHING, None]})
    spec = frame_as(shop, kind, frame)
    catalogue = opened(spec)
    kept = kind in ("parquet", "jsonl", "webdataset")
    assert list(tags_of(catalogue).values()) == ([*NOTHING, None] if kept else [None] * (len(NOTHING) + 1))
    ((what, values),) = catalogue.notes.items()
    assert what.startswith("brand kept" if kept else "brand taken as missing") and set(values) == set(NOTHING)
    assert list(tags_of(opened(spec, missing_values=())).values()) == [*NOTHING, None]
    assert sum(value is None for value in tags_of(opened(spec, missing_values=("na", "NONE"))).values()) == 5


def test_what_is_missing_is_counted_on_the_command_line(shop):
    file = written(shop, "t.csv", PLAIN.replace("1,Nike", "1,NA").replace("2,Nike", "2,unknown"))
    answer = run_command("data", "info", file, "--tags", "brand", "--json")
    (notes,) = json.loads(answer.out)["splits"]["t"]["notes"].values()
    assert notes == {"NA": 1} and answer.err.count("taken as missing") == 1 and "'NA' 1" in answer.err
    answer = run_command("data", "info", file, "--tags", "brand", "--missing-values", "unknown,Nike", "--json")
    assert json.loads(answer.out)["splits"]["t"]["entities"]["brand"]["top"] == [["NA", 1]]
    answer = run_command("data", "info", file, "--tags", "brand", "--missing-values", "", "--json")
    assert json.loads(answer.out)["splits"]["t"]["entities"]["brand"]["missing"] == 0


def test_training_says_what_it_leaves_out(shop, tiny):
    content = PLAIN.replace("1,Nike", "1,NA") + "4,im/4.jpg,-,Nike\n5,im/5.jpg,more, cells,Nike\n"
    file = written(shop, "t.csv", content)
    options = ("--on-bad-row", "skip", "--backbone", tiny, "--workers", 0, "--device", "cpu", "--batch-size", 2, "--steps", 1)
    answer = run_command("train", "--data", file, "--tags", "brand", *options, "--out", shop / "run")
    assert answer.status == 0 and answer.err.count("left out 2 of 6 rows: 1 no text, 1 malformed row") == 1
    assert answer.err.count("brand taken as missing") == 1
    options += ("--missing-values", "", "--delimiter", ",")
    answer = run_command("train", "--data", file, "--tags", "brand", *options, "--out", shop / "b")
    config = json.loads((shop / "b/config.json").read_text())
    assert config["training"]["data"]["missing_values"] == [] and "taken as missing" not in answer.err


@pytest.mark.parametrize("caption", ["&nbsp;", "-", "<br>", "<p>&amp;nbsp;</p>", "…", "<img src='a'/>", "\u200b", "&#160;"])
def test_captions_of_markup_alone_are_empty(shop, caption):
    catalogue = opened(written(shop, "t.jsonl", JSONL + json.dumps(ROWS[0] | {"product_id": 9, "caption": caption})))
    assert catalogue.bad_rows == {"no text": 1}


@pytest.mark.parametrize("caption", ["<p>red</p>", "&eacute;", "5 < 6", "👗", "连衣裙", "a-b", "R&D; <b>"])
def test_captions_with_markup_are_texts(shop, caption):
    catalogue = opened(written(shop, "t.jsonl", json.dumps(ROWS[0] | {"caption": caption})))
    assert [product.captions for product in catalogue] == [(caption,)]


def test_an_object_as_tag_is_told(shop):
    rows = [ROWS[0] | {"brand": {"en": "Nike"}}, ROWS[1] | {"brand": ["Nike", "Puma"]}, ROWS[2] | {"brand": "{tag}"}]
    catalogue = opened(written(shop, "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert tags_of(catalogue) == {"0": None, "1": "Nike | Puma", "2": "{tag}"}
    assert catalogue.notes == {"brand is an object, taken as missing": {'{"en": "Nike"}': 1}}


# --- paths of photos ----------------------------------------------------------------------------------------------

SEVERAL = ["im/0.jpg;im/1.jpg", "im/0.jpg|im/1.jpg", "im/0.jpg, im/1.jpg", "im/0.jpg\nim/1.jpg"]
SEVERAL += ["['im/0.jpg', 'im/1.jpg']", '["im/0.jpg", "im/1.jpg"]', "['im/0.jpg' 'im/1.jpg']"]
SEVERAL += [["im/0.jpg", "im/1.jpg"], [{"path": "im/0.jpg"}, {"path": "im/1.jpg"}]]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("cell", SEVERAL, ids=str)
def test_several_photos_in_a_cell(shop, kind, cell):
    frame = pd.DataFrame({"product_id": ["x"], "image": [cell], "caption": "thing"})
    (product,) = opened(frame_as(shop, kind, frame), ())
    assert product.images == (shop / "im/0.jpg", shop / "im/1.jpg")


@pytest.mark.parametrize("cell", ["im/0.jpg|", "im/0.jpg,", "|im/0.jpg||", "im/0.jpg ;\n"])
def test_separators_without_a_further_photo(shop, cell):
    assert opened(written(shop, "t.jsonl", json.dumps(ROWS[0] | {"image": cell})))[0].images == (shop / "im/0.jpg",)


@pytest.mark.parametrize("name", ["red, soft.jpg", "a;b.jpg", "a|b.png", "[a].jpg"])
def test_names_with_separators_are_one_photo(shop, name):
    (shop / "im" / name).write_bytes(encoded(photo()))
    row = ROWS[0] | {"image": f"im/{name}"}
    assert opened(written(shop, "t.jsonl", json.dumps(row)))[0].images == (shop / "im" / name,)


PATHS = {
    "https": ("https://cdn.example.com/p/0.jpg?v=1&w=8", "image named by URL", "URLs are not fetched"),
    "of no scheme": ("//cdn.example.com/p/0.jpg", "image named by URL", "URLs are not fetched"),
    "bucket": ("s3://shop/0.jpg", "image named by URL", "URLs are not fetched"),
    "two": ("https://a.example/0.jpg,https://a.example/1.jpg", "image named by URL", "URLs are not fetched"),
    "backslash": (r"im\0.jpg", "Windows image path", "write / for backslashes"),
    "drive": (r"C:\shop\0.jpg", "Windows image path", "write / for backslashes"),
    "drive with slashes": ("C:/shop/0.jpg", "Windows image path", "write / for backslashes"),
    "named twice": ('{"path": "im/0.jpg", "path": "im/1.jpg"}', "missing image file", '"path": "im/1.jpg"'),
    "missing": ("im/none.jpg", "missing image file", "im/none.jpg"),
    "file of none": ("file:///none/such.jpg", "missing image file", "/none/such.jpg"),
}


def test_photos_may_stand_in_the_cells_themselves(shop):
    content = encoded(photo(), "PNG")
    plain = base64.b64encode(content).decode()
    cells = {
        "one": f"data:image/png;base64,{plain}",
        "two": f"data:image/png;base64,{plain}, data:image/png;charset=x;BASE64,{plain}",
        "escaped": f"data:image/png,{urllib.parse.quote(content)}",
        "of the web": f"data:;base64,{base64.urlsafe_b64encode(content).decode()}",
        "cut": f"data:image/png;base64,{plain[:41]}",
        "not a photo": "data:image/png;base64,aGVsbG8=",
    }
    rows = [ROWS[0] | {"product_id": name, "image": cell} for name, cell in cells.items()]
    catalogue = opened(written(shop, "t.jsonl", "\n".join(map(json.dumps, rows))))
    assert {product.product_id: len(product.images) for product in catalogue} == {
        "one": 1,
        "two": 2,
        "escaped": 1,
        "of the web": 1,
    }
    assert {image for product in catalogue for image in product.images} == {content}
    assert catalogue.bad_rows == {"broken image": 2}


@pytest.mark.parametrize(("path", "cause", "hint"), PATHS.values(), ids=PATHS)
def test_paths_that_lead_nowhere_are_told_apart(shop, path, cause, hint):
    file = written(shop, "t.jsonl", JSONL + json.dumps(ROWS[0] | {"product_id": "bad", "image": path}))
    assert opened(file).bad_rows == {cause: 1}
    with pytest.raises(InputError) as caught:
        open_catalogue(str(file), progress=False)
    assert hint in str(caught.value) and (path in str(caught.value) or cause == "missing image file" or "," in path)


def test_file_urls_and_backslashes_that_are_there(shop):
    (shop / "im/a b.jpg").write_bytes(encoded(photo()))
    (shop / r"im\0.jpg").write_bytes(encoded(photo()))
    rows = [ROWS[0] | {"image": f"file://{shop}/im/a%20b.jpg"}, ROWS[1] | {"image": r"im\0.jpg"}]
    rows += [ROWS[2] | {"image": "file:im/2.jpg"}]
    catalogue = opened(written(shop, "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert [product.images for product in catalogue] == [(shop / "im/a b.jpg",), (shop / r"im\0.jpg",), (shop / "im/2.jpg",)]


def test_a_photo_in_base64_fills_no_message(shop):
    cell = base64.b64encode((shop / "im/0.jpg").read_bytes() * 9).decode()
    answer = run_command("data", "info", written(shop, "t.jsonl", json.dumps(ROWS[0] | {"image": cell})))
    assert answer.status == 2 and len(answer.err) < 1500 and cell[:200] in answer.err


def test_rows_of_one_id_that_hold_further_photos_are_told(shop):
    content = HEADER + "a,im/0.jpg,thing,Nike\na,im/1.jpg,,\na,,,\nb,im/2.jpg,thing,Nike\nb,im/2.jpg,thing,Nike\n"
    answer = run_command("data", "info", written(shop, "t.csv", content), "--on-bad-row", "skip")
    said = " ".join(answer.err.split())
    assert "3 duplicate id" in said and said.count("1 of the 3 rows with a duplicate id hold further photos") == 1


def test_further_photos_of_a_merchant_feed_are_told(shop):
    header = HEADER.replace("\n", ",additional_image_link\n")
    file = written(shop, "t.csv", header + 'a,im/0.jpg,thing,N,"im/1.jpg,im/2.jpg"\nb,im/1.jpg,thing,N,\n')
    assert "1 row has further photos in additional_image_link" in run_command("data", "info", file).err
    answer = run_command("data", "info", file, "--image-column", "additional_image_link", "--on-bad-row", "skip", "--json")
    assert json.loads(answer.out)["splits"]["t"]["images"] == 2 and "have further" not in answer.err


def test_large_tables_keep_malformed_rows_in_their_place(shop, monkeypatch):
    file = written(shop, "t.csv", lines_of("a", "b, c", "d", "e"))
    expected = list(opened(file))
    monkeypatch.setattr(tables, "IN_MEMORY_BYTES", 0)
    assert list(opened(file)) == expected and len(expected) == 3


def test_other_options_are_not_answered_from_the_cache(shop):
    file = written(shop, "t.csv", "product_id;image;caption\n1;im/0.jpg;a\n2;none;b\n")
    assert opened(file, ()).bad_rows == {"no image": 1}
    assert opened(file, (), missing_values=()).bad_rows == {"missing image file": 1}


# --- text tables through `datasets` -------------------------------------------------------------------------------


def test_hf_reads_text_tables_like_any(shop):
    pytest.importorskip("datasets")
    (shop / "train.csv").write_text(HEADER + "007,im/0.jpg,thing,None\n")
    for spec in (f"hf:{shop}", f"hf:{shop / 'train.csv'}"):
        catalogue = open_catalogue(spec, "train", tags=["brand"], progress=False)
        assert catalogue[0].product_id == "007" and catalogue.notes
    with pytest.raises(InputError, match="needs no stream"):
        import_catalogue(f"hf-stream:{shop / 'train.csv'}", shop / "out", progress=False)


# --- tar shards ---------------------------------------------------------------------------------------------------

TARS = {
    "upper": (["0.JPG", "0.TXT", "1.Jpg", "1.Txt"], ["0", "1"]),
    "dots": (["size 2.0.jpg", "size 2.0.txt", "size 2.1.jpg", "size 2.1.txt"], ["size 2.0", "size 2.1"]),
    "dots and more photos": (["a.1.jpg", "a.1.1.jpg", "a.1.json", "a.10.jpg", "a.10.json"], ["a.1", "a.10"]),
    "more photos": (["a.jpg", "a.1.jpg", "a.txt", "b.input.jpg", "b.img.png", "b.txt"], ["a", "b"]),
}
NOT_SAMPLES = {
    "other texts": (["0.input.jpg", "0.outputs.txt"], "no text", ".input.jpg .outputs.txt"),
    "other endings": (["0.img", "0.cap"], "no text", ".img .cap"),
    "no photo": (["0.txt", "0.cls"], "no image", ".txt .cls"),
    "apart": (["0.jpg", "1.jpg", "0.txt", "1.txt"], "files not adjacent", "must follow one another"),
}


def tar_of(shop, names):
    with tarfile.open(shop / "t.tar", "w") as tar:
        for name in names:
            kind = name.lower().rpartition(".")[2]
            text = b'{"caption": "A hat"}' if kind == "json" else b"A hat"
            add(tar, name, text if kind in ("json", "txt", "cap", "cls") else (shop / "im/0.jpg").read_bytes())
    return f"webdataset:{shop / 't.tar'}"


@pytest.mark.parametrize(("names", "ids"), TARS.values(), ids=TARS)
def test_samples_of_a_tar(shop, names, ids):
    catalogue = opened(tar_of(shop, names), ())
    assert [product.product_id for product in catalogue] == ids and not catalogue.bad_rows
    assert sum(len(product.images) for product in catalogue) == sum(n.lower().endswith(("jpg", "png")) for n in names)


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize(("names", "cause", "said"), NOT_SAMPLES.values(), ids=NOT_SAMPLES)
def test_tars_that_hold_no_samples(shop, names, cause, said, policy):
    with pytest.raises(InputError) as caught:
        open_catalogue(tar_of(shop, names), on_bad_row=policy, progress=False)
    assert cause in str(caught.value) and said in str(caught.value)


DAMAGED = {
    "json": (b"{not json", "json cannot be read"),
    "list": (b"[1]", "holds no object"),
    "latin": ('{"caption": "café"}'.encode("latin-1"), "not in UTF-8"),
}


@pytest.mark.parametrize(("content", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_text_in_a_tar_costs_its_sample_and_is_named(shop, content, said):
    """With a text beside it the tags would be lost in silence."""
    with tarfile.open(shop / "t.tar", "w") as tar:
        for number, text in enumerate((content, b'\xef\xbb\xbf{"brand": "N"}')):
            add(tar, f"{number}.jpg", (shop / "im/0.jpg").read_bytes())
            add(tar, f"{number}.json", text)
            add(tar, f"{number}.txt", b"A hat")
    with pytest.raises(InputError, match=f"damaged sample .*{said}"):
        open_catalogue(f"webdataset:{shop / 't.tar'}", progress=False)
    assert tags_of(opened(f"webdataset:{shop / 't.tar'}")) == {"1": "N"}


@pytest.mark.parametrize("rest", [b"", b"\xff" * 1024], ids=["cut", "damaged"])
def test_a_tar_that_ends_too_early_is_refused(shop, rest):
    tar_of(shop, ["0.jpg", "0.txt", "1.jpg", "1.txt"])
    with tarfile.open(shop / "t.tar") as tar:
        second = tar.getmembers()[2].offset
    (shop / "t.tar").write_bytes((shop / "t.tar").read_bytes()[:second] + rest)
    with pytest.raises(InputError, match=r"t\.tar: cut or damaged at byte"):
        opened(f"webdataset:{shop / 't.tar'}", ())


def test_names_in_a_tar_that_are_not_utf8_are_escaped(shop):
    with tarfile.open(shop / "t.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for ending, content in (("jpg", (shop / "im/0.jpg").read_bytes()), ("txt", b"A hat")):
            add(tar, f"é.{ending}", content)
    (product,) = opened(f"webdataset:{shop / 't.tar'}", ())
    assert product.product_id == r"\xe9"


def test_names_of_shards_are_taken_as_they_are(shop):
    file = shop / "my [1].TAR"
    tar_of(shop, ["0.jpg", "0.txt"])
    (shop / "t.tar").rename(file)
    assert len(opened(f"webdataset:{file}", ())) == len(opened(f"webdataset:{shop}", ())) == 1


def test_keys_of_a_tar_may_come_late(shop, monkeypatch):
    monkeypatch.setattr("e2.data.shards.JSON_ROWS_FOR_NAMES", 1)
    with tarfile.open(shop / "t.tar", "w") as tar:
        for number, row in enumerate(({"caption": "A hat"}, {"caption": "A cap", "brand": "Nike"})):
            add(tar, f"{number}.jpg", (shop / "im/0.jpg").read_bytes())
            add(tar, f"{number}.json", json.dumps(row).encode())
    assert tags_of(opened(f"webdataset:{shop / 't.tar'}")) == {"0": None, "1": "Nike"}
