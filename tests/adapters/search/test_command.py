"""`e2 index ...` from the command line: build, update, search in every way, delete, and mistakes in one line."""

import io
import json
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

from e2.adapters.search.command import index_app
from e2.adapters.search.filters import quoted
from e2.adapters.search.store import IndexHit
from e2.adapters.search.tables import hits_shown, written_out
from e2.checkpoint import save_config, weights_of
from e2.errors import InputError
from tests.adapters.chat_server import ChatServer, saying
from tests.conftest import jpeg

ODD = [
    "plain", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a,b", 'a"b', "a'b", "a\\b", "two  blanks", "日本",
    "é", "e\u0301", "a\nb", "a\tb", "a:b", "a/../../etc/passwd", "a&b=c#d?e", "\u202eabc", "عربي", "👠", "-x", "@file",
    "'; DROP TABLE products; --", "[bold]x[/bold]", "\x1b[31mred\x1b]0;title\x07", "long" * 60, "y\u2028x", "zero\u200bwidth",
    "--help", "0", "and",
]  # fmt: skip
TAGS = ("--tags", "brand,season,colour", "--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def encoder(tiny):
    return f"open_clip:{tiny}"


@pytest.fixture(scope="module")
def index(shop, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "index"
    printed = call("build", "--encoder", encoder, "--data", shop, "--split", "val", "--out", out, *TAGS)
    assert f"wrote 12 products to {out}" in printed
    return out


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "ref.jpg"
    path.write_bytes(jpeg((200, 30, 30), 5))
    return path


def call(*words):
    result = CliRunner().invoke(index_app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def hits(index, *words):
    return json.loads(call("search", "--index", index, "--device", "cpu", "--json", *words))["hits"]


def test_typed_words_find_ids_and_tolerate_errors(index):
    assert hits(index, "--text", "VAL-3")[0]["product_id"] == "val-3"
    right = hits(index, "--text", "a green tee")
    assert "green" in json.dumps(right[0]) and len(right) == 12
    wrong = json.loads(call("search", "--index", index, "--device", "cpu", "--json", "--text", "a grene tee"))
    assert wrong["steps"] == {"spelling": {"grene": "green"}} and "green" in json.dumps(wrong["hits"][0])
    assert "spelling: grene green" in call("search", "--index", index, "--device", "cpu", "--text", "a grene tee")


def test_search_by_words_photo_both_and_likeness(index, photo):
    by_text = hits(index, "--text", "a red tee", "-k", 5, "--vectors")
    assert len(by_text) == 5 and [h["score"] for h in by_text] == sorted((h["score"] for h in by_text), reverse=True)
    by_photo = hits(index, "--image", photo, "--filter", 'colour in ["red", "blue"] and brand != ""')
    assert (
        by_photo and {h["tags"]["colour"] for h in by_photo} <= {"red", "blue"} and all("brand" in h["tags"] for h in by_photo)
    )
    tagged = hits(
        index, "--text", "a", "--tag", "colour:red", "--tag", "colour:blue", "--filter", 'brand != "" or brand == "x"'
    )
    assert {h["product_id"] for h in tagged} == {h["product_id"] for h in by_photo}
    nicer = hits(index, "--text", "nicer", "-k", 5)  # names no tag, so that nothing comes first
    near_text = hits(index, "--text", "nicer", "--image", photo, "--set", "text_weight=1")
    assert [h["product_id"] for h in near_text][:5] == [h["product_id"] for h in nicer]
    red = [h["tags"].get("colour") == "red" for h in hits(index, "--text", "in red", "--image", photo)]
    assert any(red) and red == sorted(red, reverse=True)  # those with the wished tag first
    summed = hits(index, "--text", "a red tee", "--image", photo, "--method", "sum")
    assert len(summed) == 12
    kept_out = hits(index, "--text", "anything but red", "--image", photo, "-k", 12)
    assert kept_out and not any(h["tags"].get("colour") == "red" for h in kept_out)
    told = call("search", "--index", index, "--device", "cpu", "--text", "anything but red", "--image", photo)
    assert "unwanted: red" in told
    like = hits(index, "--like", "val-3", "-k", 3)
    assert len(like) == 3 and "val-3" not in [h["product_id"] for h in like]


def test_several_photos_less_of_one_and_a_box(index, photo, tmp_path):
    (other := tmp_path / "other.jpg").write_bytes(jpeg((30, 40, 200), 6))
    names = lambda *words: [hit["product_id"] for hit in hits(index, *words)]  # noqa: E731
    alone = names("--image", photo)
    assert names("--image", photo, "--image", f"{other}@0.0001") == names("--image", photo, "--box", "0,0,1,1") == alone
    assert names("--image", photo, "--minus", f"{other}@0.5") != alone
    Image.open(photo).resize((80, 80)).save(tmp_path / "large.png")
    street = Image.new("RGB", (160, 80), "white")
    street.paste(Image.open(tmp_path / "large.png"), (80, 0))
    street.save(tmp_path / "street.png")
    assert names("--image", tmp_path / "street.png", "--box", "0.5,0,1,1") == names("--image", tmp_path / "large.png")
    liked = names("--like", "val-3", "--like", "val-4", "--unlike", "val-5")
    assert len(liked) == 9 and not {"val-3", "val-4", "val-5"} & set(liked)
    wished = hits(index, "--like", "val-3", "--image", photo, "--text", "in red")
    assert len(wished) == 11 and wished[0]["tags"]["colour"] == "red"


def test_a_judge_on_a_server_orders_the_first_hits(index, photo, monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")

    def by_description(handler, body):
        words = body["messages"][-1]["content"][-1]["text"]
        saying(json.dumps({"score": zlib.crc32(words.encode()) % 10}))(handler)

    server = ChatServer(by_description)
    line = ("--text", "nicer", "--image", photo, "--reranker", server.url, "--reranker-set", "model=m")
    line += ("--reranker-set", f"cache={tmp_path / 'scores.jsonl'}")
    found = json.loads(call("search", "--index", index, "--device", "cpu", "--json", *line))
    product = lambda hit: "; ".join([hit["caption"], *(f"{name}: {value}" for name, value in hit["tags"].items())])  # noqa: E731
    score = lambda hit: zlib.crc32(f"Its description: {product(hit)}".encode()) % 10  # noqa: E731
    plain = hits(index, *line[:4])
    assert found["hits"] == sorted(plain, key=lambda hit: -score(hit)) != plain
    assert found["steps"]["reranked"] == "12 of 12 hits by m" and len(server.bodies) == 12
    assert hits(index, *line) == found["hits"] and len(server.bodies) == 12  # cached
    server.http.shutdown()


def test_methods_know_the_values_of_the_index(index, photo, tmp_path):
    """Puma is a word of the index's brands only."""
    (tmp_path / "captions.json").write_text(json.dumps({photo.name: "a red Nike tee"}))
    line = ("search", "--index", index, "--device", "cpu", "--json", "--image", photo, "--text", "from Puma", "--method")
    found = json.loads(call(*line, "cirevl", "--set", f"captions={tmp_path / 'captions.json'}"))
    assert found["steps"]["rewritten"] == "a red Puma tee" and len(found["hits"]) == 12
    assert json.loads(call(*line, "slots"))["steps"]["changed"]["brand"] == "Puma"


def test_tables(index):
    printed = call("info", "--index", index)
    assert "12" in printed and "split val" in printed and "tag colour" in printed
    facts = json.loads(call("info", "--index", index, "--json"))
    assert facts["count"] == 12 and facts["complete"] and facts["facets"]["colour"]["red"] == 3
    assert "val-" in call("search", "--index", index, "--like", "val-3")
    assert "no product passes" in call("search", "--index", index, "--like", "val-3", "--filter", 'brand == "None such"')
    assert hits_shown({"tags": {}, "text": "Black"}, [])[:2] == ["tags: none", "text: Black"]


def test_update_and_delete(shop, encoder, tmp_path):
    out = tmp_path / "index"
    call("build", "--encoder", encoder, "--data", shop, "--split", "val", "--out", out, *TAGS)
    (tmp_path / "ids.txt").write_text("val-1\nval-2\n\nnone\n", encoding="utf-8-sig")  # as Excel writes it
    assert "deleted 2 products" in call("delete", "--index", out, "--ids", f"@{tmp_path / 'ids.txt'}")
    assert json.loads(call("delete", "--index", out, "--ids", "val-0, val-0", "--json"))["deleted"] == 1
    told = json.loads(call("update", "--index", out, "--data", shop, "--split", "val", "--json", *TAGS))
    assert told["written"] == 3 and told["unchanged"] == 9
    again = json.loads(
        call("build", "--encoder", encoder, "--data", shop, "--split", "val", "--out", out, "--resume", "--json", *TAGS)
    )
    assert again["written"] == 0 and again["unchanged"] == 12


def test_an_encoder_that_moved_is_named_and_another_is_refused(shop, tiny, model, tmp_path):
    here, out = tmp_path / "mine", tmp_path / "index"
    here.mkdir()
    save_config(here, backbone=tiny, model=model, method="e2", training={})
    save_file(weights_of(model), here / "model.safetensors")
    call("build", "--encoder", here, "--data", shop, "--split", "val", "--out", out, *TAGS)
    there = here.rename(tmp_path / "there")
    with pytest.raises(InputError, match="give its path by --encoder"):
        hits(out, "--text", "a")
    assert hits(out, "--text", "a", "--encoder", there)
    with pytest.raises(InputError, match="was made with"):
        hits(out, "--text", "a", "--encoder", f"open_clip:{tiny}")


@pytest.fixture(scope="module")
def odd(encoder, tmp_path_factory):
    """An index of products with hostile ids, tags and descriptions, and their texts."""
    folder = tmp_path_factory.mktemp("odd")
    rows = [
        {
            "product_id": text,
            "image": {"bytes": jpeg((9 * place, 90, 90), place), "path": None},
            "caption": f"{text} c",
            "brand": text,
            "size": "36" if place % 2 else "M | 38",
        }
        for place, text in enumerate(ODD)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "odd.parquet")
    call(
        "build",
        "--encoder",
        encoder,
        "--data",
        folder / "odd.parquet",
        "--out",
        folder / "i",
        "--tags",
        "brand,size",
        *TAGS[2:],
    )
    return folder / "i"


def test_an_order_by_numbers(odd):
    """One of the hostile brands is a number."""
    plain = hits(odd, "--like", "plain", "-k", 5)
    for order in ("brand", "-brand"):
        found = hits(odd, "--like", "plain", "-k", 5, "--sort", order)
        assert [hit["product_id"] for hit in found] == [
            "0",
            *(hit["product_id"] for hit in plain if hit["tags"]["brand"] != "0"),
        ][:5]
    with pytest.raises(InputError, match="no tag 'year'"):
        hits(odd, "--like", "plain", "--sort", "year")


@pytest.mark.parametrize("photo", [[], ["--like", "plain"]])
def test_sizes_in_words_filter(odd, photo):
    for text, value in {"a dress in size 36": "36", "in m": "M | 38", "size 38 please": "M | 38", "not size 38": "36"}.items():
        found = hits(odd, "--text", text, *photo, "-k", 100)
        assert found and {hit["tags"]["size"] for hit in found} == {value}, text
    assert "only: size 36" in call("search", "--index", odd, "--text", "red, size 36", *photo)


def test_hostile_texts_are_kept_whole_and_found(odd, tmp_path):
    found = {hit["product_id"]: hit for hit in hits(odd, "--like", "plain", "-k", 100)}
    assert set(found) == set(ODD) - {"plain"}
    for text, hit in found.items():
        assert len(hits(odd, f"--like={text}", "-k", 100)) == len(ODD) - 1
        brand = hit["tags"]["brand"]  # as the table was read: without blanks around and markup
        expected = {other for other in found if found[other]["tags"]["brand"] == brand}
        for options in (("--tag", f"brand:{brand}"), ("--filter", f"brand in [{quoted(brand)}]")):
            assert {other["product_id"] for other in hits(odd, "--like", "plain", "-k", 100, *options)} == expected
    (tmp_path / "ids.json").write_text(json.dumps(ODD[1:3]))
    assert "deleted 0 products" in call("delete", "--index", odd, "--ids", json.dumps(["\ud800", "none"]))


@pytest.mark.parametrize("place", ["index", "lite.db/odd"])
@pytest.mark.parametrize("rule", ["photos", "photos+text=0.1"])
def test_products_without_a_description_are_found(encoder, tmp_path, place, rule):
    """Shops have such products, and those whose description is a picture."""
    if "." in place:
        pytest.importorskip("milvus_lite", reason="Milvus Lite stands in for a server")
    texts = ["a tee", None, "", "-", '"><img src=x onerror=alert(1)>', "<svg/onload=alert(1)>", "<p>&nbsp;</p>"]
    photos = [{"bytes": jpeg((9 * number, 90, 90), number), "path": None} for number in range(len(texts))]
    rows = [
        {"product_id": f"p{number}", "image": photo, "caption": text, "brand": "Nike"}
        for number, (photo, text) in enumerate(zip(photos, texts, strict=True))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "odd.parquet")
    data = ("--data", tmp_path / "odd.parquet", "--tags", "brand", *TAGS[2:])
    call("build", "--encoder", encoder, *data, "--out", tmp_path / place, "--product-vector", rule)
    found = {hit["product_id"]: hit["caption"] for hit in hits(tmp_path / place, "--text", "Nike")}
    assert found == {row["product_id"]: "a tee" if row["caption"] == "a tee" else "" for row in rows}
    for row in rows[1:]:
        assert hits(tmp_path / place, "--text", row["product_id"])[0]["product_id"] == row["product_id"]
    assert "wrote 0 new or changed products" in call("update", "--index", tmp_path / place, *data)


def test_hostile_texts_in_a_table_of_80_columns(odd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for printed in (call("search", "--index", odd, "--text", "a", "-k", 100), call("info", "--index", odd)):
        assert max(map(cell_len, printed.splitlines())) <= 80 and "…" not in printed
        assert not {letter for letter in printed if not letter.isprintable()} - {"\n"}
    columns = [
        line.split("│")[3].strip()
        for line in call("search", "--index", odd, "--text", "a", "-k", 100).splitlines()
        if "│" in line
    ]
    together = "".join(columns)
    for text in ODD:
        assert written_out(text).replace(" ", "") in together.replace(" ", ""), text


def test_mistakes_are_one_line(index, shop, encoder, photo, tmp_path):
    search = ("search", "--index", index, "--device", "cpu")
    build = ("build", "--encoder", encoder, "--data", shop, "--split", "val")
    for words, message in (
        (search, "nothing to search for"),
        ((*search, "--text", " "), "is empty"),
        ((*search, "--unlike", "val-1"), "no photo to start from"),
        ((*search, "--like", "val-1", "--box", "0,0,1,1"), "drawn on one photo"),
        ((*search, "--image", photo, "--box", "0,0,1"), "LEFT,TOP,RIGHT,BOTTOM"),
        ((*search, "--image", photo, "--minus", photo), "cancel each other out"),
        ((*search, "--image", f"{photo}@-1"), "above 0"),
        ((*search, "--text", "a", "--reranker-set", "top=3"), "belongs to --reranker"),
        ((*search, "--like", "none"), "no product 'none'"),
        ((*search, "--text", "a", "--filter", "colour = red"), "expected a name, a quoted text"),
        (
            (*search, "--text", "a", "--filter", 'colour == "red") or (colour == "blue"', "--tag", "colour:red"),
            "expected and, or",
        ),
        ((*search, "--text", "a", "--tag", "colour"), "write entity:value"),
        ((*search, "--text", "a", "--tag", "shape:round"), "no tag 'shape'"),
        (("delete", "--index", index, "--ids", "[1]"), "texts only"),
        (("delete", "--index", index, "--ids", "[x"), "not a JSON list"),
        ((*search, "--text", "a", "-k", "20000"), "cannot give 20000 hits"),
        ((*search, "--image", tmp_path / "none.jpg"), "--image .*there is no such file"),
        ((*search, "--image", photo, "--minus", "none.jpg"), "--minus none.jpg: there is no such file"),
        ((*search, "--image", 5000 * "a"), "there is no such file"),
        ((*search, "--image", f"{5000 * 'a'}@2"), "there is no such file"),
        (("delete", "--index", index, "--ids", 100_000 * "["), "not a JSON list"),
        (("info", "--index", tmp_path), "is not an index"),
        (("delete", "--index", index, "--ids", " , "), "there is no id"),
        (("delete", "--index", index, "--ids", "@none"), "cannot be read"),
        ((*build, "--out", index, *TAGS), "holds a finished index already; continue with --resume"),
        ((*build, "--out", index, "--resume", "--overwrite", *TAGS), "choose one"),
        ((*build, "--out", photo, *TAGS), "is there already and is not a folder"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            call(*words)
        assert "\n" not in str(caught.value)


def test_ids_of_usual_length_stand_on_one_line():
    words = "a wide jacket in red ripstop nylon, with flap pockets on the chest and a black lining for spring days"
    hits = [
        IndexHit(f"boutique-1-test-00003{number}", 0.1, words, {"brand": "Galvane", "cloth": words}) for number in range(3)
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(hits_shown({}, hits)[0])
    shown = console.file.getvalue()
    assert all(hit.product_id in shown for hit in hits) and max(map(len, shown.splitlines())) <= 80
