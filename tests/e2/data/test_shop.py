"""Exports of shops: what their products become, with photos on disk."""

import gzip
import json

import pytest

from e2.data import Columns, open_catalogue
from e2.data.shares import Shares
from e2.data.shop import source
from e2.data.shop.detect import shop_source
from e2.data.shop.feed import feed_rows
from e2.data.shop.html_text import plain_text
from e2.data.shop.importing import ImportFormat, import_export
from e2.data.shop.objects import fields_of
from e2.data.shop.template import Template
from e2.errors import InputError
from tests.command import run_command
from tests.e2.data.conftest import encoded, photo, write_parquet
from tests.shared import shared_path

SHOPIFY = """Handle,Title,Body (HTML),Vendor,Type,Tags,Option1 Name,Option1 Value,Image Src,Image Position,Variant Image
tee,Blue tee,"<p>Soft &amp; light.</p><ul><li>95 % cotton</li></ul>",Acme,Shirts,"summer, blue",Color,Sky,im/1.jpg,2,im/2.jpg
tee,,,,,,,Navy,im/0.jpg,1,
hat,A hat,Warm,Acme,Hats,,Title,Default Title,im/3.jpg,1,
tee,,,,,,,Sky,,,im/2.jpg
bare,No photo,Text,Acme,Hats,,,,,,
"""
MERCHANT = """id\ttitle\tdescription\timage_link\tadditional_image_link\tbrand\tcolor\tproduct_type
1\tA bag\t12" wide\tim/0.jpg\t"im/1.jpg,im/2.jpg"\tAcme\tred/white\tBags > Totes
2\tA "scarf"\tSoft\tim/3.jpg\t\tAcme\tblue\tScarves
"""
FEED = """<?xml version="1.0"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>1</g:id><title>plain</title><g:title>A bag</g:title>
<description>&lt;p&gt;12&quot; &amp;amp; wide&lt;/p&gt;</description>
<g:image_link>im/0.jpg</g:image_link><g:additional_image_link>im/1.jpg</g:additional_image_link>
<g:additional_image_link>im/2.jpg</g:additional_image_link><g:color>red/white</g:color><g:brand>Acme</g:brand>
<g:shipping><g:country>DE</g:country></g:shipping></item>
<item><g:id>2</g:id><g:title>A scarf</g:title><description>Soft</description><g:image_link>im/3.jpg</g:image_link></item>
</channel></rss>
"""
PRODUCTS_JSON = {
    "products": [
        {
            "id": 7,
            "handle": "tee",
            "title": "Blue tee",
            "body_html": "<p>Soft &amp; light.</p>",
            "vendor": "Acme",
            "product_type": "Shirts",
            "tags": ["summer", "blue"],
            "options": [{"name": "Color", "position": 1, "values": ["Sky", "Navy"]}],
            "images": [{"id": 1, "src": "im/0.jpg"}, {"id": 2, "src": "im/1.jpg"}],
        }
    ]
}
WOO_JSON = [
    {
        "id": 7,
        "name": "Blue tee",
        "description": "<p>Soft</p>\n",
        "categories": [{"id": 1, "name": "Shirts"}, {"id": 2, "name": "Basics"}],
        "attributes": [{"name": "Color", "options": ["Sky", "Navy"]}],
        "images": [{"src": "im/0.jpg", "name": "x"}, {"src": "im/1.jpg"}],
    }
]


@pytest.fixture
def shop_folder(tmp_path):
    (tmp_path / "im").mkdir()
    for number in range(4):
        (tmp_path / f"im/{number}.jpg").write_bytes(encoded(photo(number, (80, 80))))
    return tmp_path


def photos(folder, *numbers):
    return tuple((folder / f"im/{number}.jpg").read_bytes() for number in numbers)


def imported(spec, out, tags=None, columns=None, written=None, **options):
    """Products of an import by their ids, and what was left out."""
    columns = columns or Columns()
    import_export(shop_source(str(spec), columns, **options), str(spec), out, columns=columns, written=written, progress=False)
    report = json.loads((out / "import.json").read_text())
    return {p.product_id: p for p in open_catalogue(str(out), tags=tags, progress=False)}, report


def test_rows_of_a_shopify_handle_are_photos_and_variants_of_one_product(shop_folder):
    (shop_folder / "products.csv").write_text(SHOPIFY)
    tags = ("brand", "product_type", "tags", "colour")
    found, report = imported(f"shopify:{shop_folder / 'products.csv'}", shop_folder / "out", tags)
    assert list(found) == ["hat", "tee"]  # the last row of tee comes after the hat
    assert found["tee"].captions == ("Blue tee. Soft & light. 95 % cotton",)
    assert found["tee"].images == photos(shop_folder, 0, 1, 2)  # by their position, then those of variants
    assert dict(found["tee"].tags) == {
        "brand": "Acme",
        "product_type": "Shirts",
        "tags": "summer | blue",
        "colour": "Sky | Navy",
    }
    assert report["left_out"] == {"no image": 1} and report["products_read"] == 3


def test_a_shopify_export_saved_by_excel_in_windows_1252(shop_folder):
    text = "Handle,Title,Vendor,Image Src\ntee,Café tee – “naïve”,Zoë,im/0.jpg\n"
    (shop_folder / "p.csv").write_bytes(text.encode("cp1252"))
    answer = run_command("data", "import", f"shopify:{shop_folder / 'p.csv'}", "--out", shop_folder / "out")
    assert answer.status == 0, answer.err
    (product,) = open_catalogue(str(shop_folder / "out"), tags=("brand",), progress=False)
    assert product.captions == ("Café tee – “naïve”",) and product.tags == {"brand": "Zoë"}


def test_shopify_headers_of_today_and_names_of_the_export(shop_folder):
    new = (
        SHOPIFY.replace("Handle", "URL handle").replace("Body (HTML)", "Description").replace("Image Src", "Product image URL")
    )
    new = new.replace("Option1 Name,Option1 Value", "Option1 name,Option1 value").replace("Variant Image", "Variant image URL")
    (shop_folder / "products.csv").write_text(new.replace("bare,No photo,Text,Acme,Hats,,,,,,\n", ""))
    columns = Columns(caption="Description", id="URL handle", tags={"brand": "Vendor"})
    spec = f"shopify:{shop_folder / 'products.csv'}"
    catalogue = open_catalogue(spec, tags=("brand",), columns=columns, progress=False)
    assert catalogue[1].captions == ("Soft & light. 95 % cotton",) and catalogue[1].tags == {"brand": "Acme"}
    assert open_catalogue(spec, progress=False).tags == ("brand", "product_type", "colour")
    for bad, named in [({"tags": {"a": "Vndor"}}, "'Vndor'"), ({"caption": "Text"}, "'Text'")]:
        with pytest.raises(InputError, match=f"no column {named}; it has .*brand"):
            open_catalogue(spec, tags=tuple(bad.get("tags", ())), columns=Columns(**bad), progress=False)


@pytest.mark.parametrize("name", ["feed.tsv", "feed.txt", "feed.xml", "feed.xml.gz"])
def test_merchant_feeds(shop_folder, name):
    text = (FEED if ".xml" in name else MERCHANT).encode()
    (shop_folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    found, _ = imported(f"merchant:{shop_folder / name}", shop_folder / "out", ("brand", "colour"))
    assert found["1"].captions == ('A bag. 12" & wide' if ".xml" in name else 'A bag. 12" wide',)
    assert found["1"].images == photos(shop_folder, 0, 1, 2) and found["1"].tags == {"brand": "Acme", "colour": "red | white"}
    assert len(found) == 2 and found["2"].images == photos(shop_folder, 3)


ITEM = "<g:id>1</g:id><title>Bag</title><g:image_link>im/0.jpg</g:image_link>"
RSS = f'<?xml version="1.0" encoding="utf-8"?><rss xmlns:g="http://base.google.com/ns/1.0"><item>{ITEM}%s</item></rss>'
ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><entry>{ITEM}
<summary type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Soft</p><p>Light</p></div></summary></entry></feed>"""
DETAIL = """<g:product_detail><g:attribute_name>Fabric</g:attribute_name><g:attribute_value>linen</g:attribute_value>
</g:product_detail>"""
FEEDS = {
    "markup in a text": (RSS % "<description>A <b>soft</b> one</description>", "Bag. A soft one", {}),
    "instruction": ((RSS % "").replace("Bag", "B<?x y?>ag"), "Bag", {}),
    "atom": (ATOM, "Bag. Soft. Light", {}),
    "detail": (RSS % DETAIL, "Bag", {"fabric": "linen"}),
    "markup between values": (RSS % "<g:color><![CDATA[Red/<b>Sky</b>]]></g:color>", "Bag", {"colour": "Red | Sky"}),
}


@pytest.mark.parametrize(("text", "caption", "tags"), FEEDS.values(), ids=FEEDS)
@pytest.mark.parametrize("write", [str.encode, lambda text: text.replace("utf-8", "utf-16").encode("utf-16")], ids=["8", "16"])
def test_what_a_feed_says_is_kept(shop_folder, text, caption, tags, write):
    (shop_folder / "feed.xml").write_bytes(write(text))
    found, _ = imported(f"merchant:{shop_folder / 'feed.xml'}", shop_folder / "out", tuple(tags))
    assert found["1"].captions == (caption,) and dict(found["1"].tags) == tags


@pytest.mark.parametrize("own", [{}, {"price": "9"}])
def test_prices_of_variants_in_json(shop_folder, own):
    product = {**PRODUCTS_JSON["products"][0], **own, "variants": [{"title": "S", "price": "19.90"}, {"price": "25"}, {}]}
    (shop_folder / "products.json").write_text(json.dumps({"products": [product]}))
    found, _ = imported(f"shopify:{shop_folder / 'products.json'}", shop_folder / "out", ("price",))
    assert found["tee"].tags == {"price": "9" if own else "19.9 | 25"}


@pytest.mark.parametrize(
    ("content", "spec", "tags"),
    [
        (PRODUCTS_JSON, "shopify:{}", {"brand": "Acme", "tags": "summer | blue", "colour": "Sky | Navy"}),
        (PRODUCTS_JSON["products"], "{}", {"vendor": "Acme", "tags": "summer | blue", "colour": "Sky | Navy"}),
        (WOO_JSON, "{}", {"categories": "Shirts | Basics", "colour": "Sky | Navy"}),
        ({"data": {"products": {"edges": [{"node": WOO_JSON[0]}]}}}, "{}", {"categories": "Shirts | Basics"}),
    ],
)
def test_json_exports(shop_folder, content, spec, tags):
    (shop_folder / "products.json").write_text(json.dumps(content))
    found, _ = imported(spec.format(shop_folder / "products.json"), shop_folder / "out", tuple(tags))
    (product,) = found.values()
    assert product.captions[0].startswith("Blue tee. Soft") and product.images == photos(shop_folder, 0, 1)
    assert dict(product.tags) == tags


def test_rows_of_any_table_grouped_and_captions_by_a_template(shop_folder):
    rows = "sku,Name,text,photo,size,NA\n" + "".join(f"s{n % 2},Tee {n % 2},nan,im/{n}.jpg,{n},NA\n" for n in range(4))
    (shop_folder / "t.csv").write_text(rows)
    columns = Columns(image="photo")
    spec = shop_folder / "t.csv"
    found, _ = imported(spec, shop_folder / "out", ("size",), columns, group_by="sku", caption="{name}. {text}")
    assert found["s0"].captions == ("Tee 0",) and found["s0"].images == photos(shop_folder, 0, 2)
    assert found["s0"].tags == {"size": "0 | 2"}


def test_a_table_of_woocommerce_and_objects_in_json_lines(shop_folder):
    header = "ID,SKU,Name,Description,Categories,Images,Attribute 1 name,Attribute 1 value(s)\n"
    (shop_folder / "w.csv").write_text(header + '7,a,Tee,<p>Soft</p>,"Shirts > Tees","im/0.jpg, im/1.jpg",Color,"Sky, Navy"\n')
    found, _ = imported(shop_folder / "w.csv", shop_folder / "out", ("colour", "Categories"))
    assert found["7"].captions == ("Tee. Soft",) and found["7"].images == photos(shop_folder, 0, 1)
    assert found["7"].tags == {"colour": "Sky | Navy", "Categories": "Shirts > Tees"}
    (shop_folder / "s.jsonl").write_text(json.dumps(PRODUCTS_JSON["products"][0]) + "\n")
    found, _ = imported(f"shopify:{shop_folder / 's.jsonl'}", shop_folder / "lines", ("tags",))
    assert found["tee"].images == photos(shop_folder, 0, 1) and found["tee"].tags == {"tags": "summer | blue"}


def test_the_only_table_of_a_folder_serves_every_split(shop_folder):
    (shop_folder / "products.csv").write_text(SHOPIFY)
    imported(f"shopify:{shop_folder / 'products.csv'}", shop_folder / "out")
    assert len(open_catalogue(str(shop_folder / "out"), "test", progress=False)) == 2


def test_several_values_are_lists_in_the_table(shop_folder):
    (shop_folder / "products.csv").write_text(SHOPIFY)
    imported(f"shopify:{shop_folder / 'products.csv'}", shop_folder / "out")
    import pyarrow.parquet as pq

    table = pq.read_table(shop_folder / "out/products.parquet")
    assert table.column("tags").to_pylist() == [None, ["summer", "blue"]]
    assert table.column("brand").to_pylist() == ["Acme", "Acme"]


@pytest.mark.parametrize("identifier", ["product_id", "sku"])
def test_a_row_without_a_group_goes_by_its_own_id(shop_folder, identifier):
    """Variants, their parent, which names no other, and two products that have no variants."""
    rows = ["A-S,A,0,S", "A-M,A,0,M", "A,,1,", "B,,2,M", "C,  ,3,L"]
    lines = (f"{name},{group},Tee,im/{photo}.jpg,{size}\n" for name, group, photo, size in (row.split(",") for row in rows))
    (shop_folder / "t.csv").write_text(f"{identifier},parent,title,image,size\n" + "".join(lines))
    columns = Columns() if identifier == "product_id" else Columns(id="sku")
    found, _ = imported(shop_folder / "t.csv", shop_folder / "out", ("size",), columns, group_by="parent")
    assert {name: product.values.get("size") for name, product in found.items()} == {"A": ("S", "M"), "B": ("M",), "C": ("L",)}
    assert found["A"].images == photos(shop_folder, 0, 1)


def test_large_exports_are_kept_in_a_file(shop_folder, monkeypatch):
    (shop_folder / "p.csv").write_text(SHOPIFY)
    spec = f"shopify:{shop_folder / 'p.csv'}"
    small = list(open_catalogue(spec, tags=("colour", "brand"), on_bad_row="skip", progress=False))
    monkeypatch.setattr(source, "IN_MEMORY", 0)
    assert small and list(open_catalogue(spec, tags=("colour", "brand"), on_bad_row="skip", progress=False)) == small


def test_100_000_rows_of_one_product_and_a_cell_of_500_values(shop_folder):
    rows = (f"1,Tee,im/{n}.jpg,{n}\n" for n in range(4, 100_000))
    (shop_folder / "t.csv").write_text(
        "id,title,image,size\n" + "".join(f"1,Tee,im/{n}.jpg,{n}\n" for n in range(4)) + "".join(rows)
    )
    found, report = imported(shop_folder / "t.csv", shop_folder / "out", ("size",), group_by="id", most_photos=4)
    assert found["1"].images == photos(shop_folder, 0, 1, 2, 3) and len(found["1"].values["size"]) == 100
    assert report["notes"] == {
        "photos beyond the first 4 of a product left out": 1,
        "values beyond the first 100 of a product left out": 1,
    }
    many = ", ".join(map(str, range(500)))
    (shop_folder / "s.csv").write_text(f'Handle,Title,Image Src,Tags\na,Tee,im/0.jpg,"{many}"\n')
    found, report = imported(f"shopify:{shop_folder / 's.csv'}", shop_folder / "other", ("tags",))
    assert len(found["a"].values["tags"]) == 100
    assert report["notes"] == {"values beyond the first 100 of a product left out": 1}


def test_splits_by_title_shards_and_a_single_file(shop_folder):
    rows = [{"id": n, "title": f"Tee {n // 2}", "image": f"im/{n % 4}.jpg"} for n in range(60)]
    (shop_folder / "t.json").write_text(json.dumps(rows))
    source = shop_source(str(shop_folder / "t.json"), Columns())
    written = ImportFormat("webdataset", 10, Shares(0.2, 0.2))
    sizes = import_export(source, "t", shop_folder / "out", written=written, progress=False)
    assert set(sizes) == {"train", "val", "test"} and sum(sizes.values()) == 60
    titles = {
        split: {p.captions[0] for p in open_catalogue(f"webdataset:{shop_folder / 'out'}", split, tags=(), progress=False)}
        for split in sizes
    }
    assert not titles["train"] & titles["test"] and not titles["val"] & titles["test"]
    import_export(source, "t", shop_folder / "one.parquet", progress=False)
    assert len(open_catalogue(str(shop_folder / "one.parquet"), progress=False)) == 60
    assert not (shop_folder / "one.parquet.import").exists()
    with pytest.raises(InputError, match="exists already"):
        import_export(source, "t", shop_folder / "one.parquet", progress=False)


def test_columns_are_guessed_and_told(shop_folder):
    record = {"id": "1", "image": {"bytes": encoded(photo()), "path": None}, "name": "A <b>tee</b>", "body_html": "Soft"}
    spec = write_parquet(shop_folder / "t.parquet", [record])
    answer = run_command("data", "import", spec, "--out", shop_folder / "out")
    assert answer.status == 0 and "ids from id, photos from image, captions from '{name}. {body_html}'" in answer.err
    assert open_catalogue(str(shop_folder / "out"), progress=False)[0].captions == ("A tee. Soft",)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("&lt;p&gt;Hi &amp;amp; you&lt;/p&gt;", "Hi & you"),
        ("<script>var a</script><style>p{}</style>Text<!-- no --> here", "Text here"),
        ("<table><tr><td>Fabric</td><td>Wool</td></tr></table>", "Fabric. Wool"),
        ("L&#39;Or&eacute;al <3 you & me < 5", "L'Oréal <3 you & me < 5"),
        ("<p>one<br/>two!</p>\n\n<p>three</p>", "one. two! three"),
        ("<?xml version='1.0' encoding='utf-8'?><p>\0x\u200b</p>", "x"),
        ("<div>" * 3000 + "deep", None),
        ("<" * 5000, "<" * 5000),
    ],
)
def test_html_becomes_text(text, plain):
    assert plain is None or plain_text(text) == plain
    plain_text(text)


@pytest.mark.parametrize("text", ["no field", "{}", "{title", "title}", "{a{b}}", ""])
def test_templates_that_are_none(text):
    with pytest.raises(InputError, match="is not a template"):
        Template(text)


def test_a_template_without_some_values():
    caption = Template("By {brand}: {title}. {text} ({colour})")
    assert caption({"brand": "Acme", "title": "Tee!", "text": "Soft.", "colour": "red"}) == "By Acme: Tee! Soft. (red)"
    assert caption({"title": "Tee"}) == "Tee)" and caption({}) == ""


LINES = [
    (["{csv}", "--caption", "{titel}"], "names 'titel', which is not a column; there are"),
    (["{csv}", "--caption", "titel"], "is not a template"),
    (["{csv}", "--group-by", "handel"], "no column 'handel'; it has Handle"),
    (["shopify:{folder}/none.csv"], "there is no such file"),
    (["shopify:{feed}"], "no column 'handle'"),
    (["merchant:{csv}"], "no column 'id'"),
    (["merchant:{broken}"], "not well-formed XML"),
    (["merchant:{empty}"], "no products in it"),
    (["{json}"], "line 1, character 39: no JSON from here on (Unterminated string starting at); if the export broke off"),
    (["{lines}"], "line 2: more than one JSON document; name it .jsonl"),
    (["{text}"], "no list of products"),
    (["shopify:{csv}", "--val", "0.5", "--test", "0.5"], "leave nothing to train on"),
    (["shopify:{csv}", "--on-bad-row", "error"], "1 no image"),
]


@pytest.mark.parametrize(("arguments", "said"), LINES, ids=[" ".join(arguments) for arguments, _ in LINES])
def test_bad_input_is_one_line(shop_folder, arguments, said):
    files = {
        "csv": ("p.csv", SHOPIFY),
        "feed": ("f.tsv", MERCHANT),
        "broken": ("b.xml", FEED[:500]),
        "empty": ("e.xml", "<rss><channel/></rss>"),
        "json": ("j.json", '[{"id": 1, "title": "Tee"}, {"id": 2, "title'),
        "lines": ("l.json", '{"id": 1}\n{"id": 2}'),
        "text": ("k.json", '{"a": [1]}'),
    }
    for name, content in files.values():
        (shop_folder / name).write_text(content)
    places = {key: shop_folder / name for key, (name, _) in files.items()} | {"folder": shop_folder}
    arguments = [argument.format(**places) if "{titel" not in argument else argument for argument in arguments]
    answer = run_command("data", "import", *arguments, "--out", shop_folder / "out")
    assert answer.status == 2 and said in answer.err and "Traceback" not in answer.err


BOMB = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY x SYSTEM "file:///etc/passwd">]>
<rss><item><id>1</id><title>a &c; &x;</title><image_link>im/0.jpg</image_link></item></rss>"""


def test_entities_of_a_feed_are_not_expanded(shop_folder):
    (shop_folder / "bomb.xml").write_text(BOMB)
    found, _ = imported(f"merchant:{shop_folder / 'bomb.xml'}", shop_folder / "out")
    assert found["1"].captions == ("a &c; &x;",)


@pytest.mark.parametrize(
    ("case", "kind", "images"), [("c19_shopify/t.csv", "shopify", 2), ("c20_google_merchant/t.tsv", "merchant", 3)]
)
def test_shared_exports(case, kind, images):
    catalogue = open_catalogue(f"{kind}:{shared_path('cases/data-training') / case}", progress=False)
    assert len(catalogue) == 12 and {len(product.images) for product in catalogue} == {images}


def test_an_import_that_fails_at_once_leaves_nothing(tmp_path):
    (tmp_path / "products.csv").write_bytes(b'"prod\x00ct_id","image","caption"\n"p0","a.jpg","Tee"\n')
    answer = run_command("data", "import", tmp_path / "products.csv", "--out", tmp_path / "out")
    assert answer.status == 2 and "no column 'product_id'" in answer.line
    assert not (tmp_path / "out").exists()


def test_lists_of_graphql_are_read_at_every_level():
    photos = {"edges": [{"node": {"src": "http://s/1.jpg"}}, {"node": {"src": "http://s/2.jpg"}}]}
    found = fields_of({"id": 1, "images": photos, "tags": {"nodes": [{"name": "wool"}, {"name": "red"}]}})
    assert found == {"id": ["1"], "images": ["http://s/1.jpg", "http://s/2.jpg"], "tags": ["wool", "red"]}


def test_blank_lines_before_the_declaration_of_a_feed(tmp_path):
    feed = '\n\n <?xml version="1.0"?><rss><channel><item><id>1</id><title>Red</title></item></channel></rss>'
    (tmp_path / "feed.xml").write_text(feed)
    assert list(feed_rows(tmp_path / "feed.xml")) == [{"id": ["1"], "title": ["Red"]}]


def test_named_entities_of_html_in_a_feed(tmp_path):
    """Shops write them though XML does not know them; wherever one read ends and the next begins."""
    item = "<item><id>{}</id><title>{}Red&nbsp;dress</title>"
    item += "<description>d&eacute;collet&eacute; &lt;b&gt; &amp;c</description></item>"
    items = "".join(item.format(n, "x" * (n % 7)) for n in range(2000))
    (tmp_path / "feed.xml").write_text(f'<?xml version="1.0"?><rss><channel>{items}</channel></rss>')
    rows = list(feed_rows(tmp_path / "feed.xml"))
    assert {row["title"][0].lstrip("x") for row in rows} == {"Red\u00a0dress"} and len(rows) == 2000
    assert {row["description"][0] for row in rows} == {"décolleté <b> &c"}


@pytest.mark.parametrize(
    ("inner", "told"), [("&unheard;", "line 2: Entity 'unheard' not defined"), ("A & B", "line 2: xmlParseEntityRef: no name")]
)
def test_what_is_wrong_with_a_feed_is_told_with_its_line(tmp_path, inner, told):
    (tmp_path / "feed.xml").write_text(f"<rss><channel>\n<item><id>1</id><title>{inner}</title></item></channel></rss>")
    with pytest.raises(InputError, match=told):
        list(feed_rows(tmp_path / "feed.xml"))


def test_a_product_with_a_key_twice_is_a_bad_row(shop_folder):
    """JSON readers take the last of the two, in silence."""
    products = [
        '{"id": 1, "title": "Red", "title": "Blue", "image": "im/0.jpg"}',
        '{"id": 2, "title": "Tee", "image": "im/1.jpg"}',
        '{"id": 3, "title": "Hat", "image": "im/2.jpg", "options": [{"name": "size", "value": "S", "value": "M"}]}',
    ]
    (shop_folder / "t.json").write_text(f"[{', '.join(products)}]")
    answer = run_command("data", "import", str(shop_folder / "t.json"), "--out", str(shop_folder / "out"))
    assert answer.status == 0 and "left out 2 of 3 rows: 2 repeated key" in answer.err
    (shop_folder / "u.json").write_text(f'{{"products": [{products[1]}], "products": []}}')
    answer = run_command("data", "import", str(shop_folder / "u.json"), "--out", str(shop_folder / "other"))
    assert answer.status == 2 and "u.json names 'products' twice around its products" in answer.line
