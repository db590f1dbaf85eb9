"""`e2 compare`: models side by side on one page; measured once; what cannot be loaded is told and costs the others nothing."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("ir_measures")
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import image_batches
from e2.adapters.product_vector import ProductVector
from e2.benchmarks.compare import run
from e2.benchmarks.compare.evaluate import CompareTasks, measure
from e2.benchmarks.compare.run import compare_models, where_to_get
from e2.benchmarks.compare.store import MeasuredStore
from e2.benchmarks.core.comparison import MeasuredEncoder
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf, colour_encoder, pixels, png
from tests.command import names_in, run_command
from tests.conftest import axe_faults

HOSTILE = "</script><script>document.title='owned'</script>"


def shelf() -> Shelf:
    """Thirty products of three colours and two kinds, two photos each; the text of one is hostile."""
    products = []
    for i in range(30):
        colour, kind = ("red", "green", "blue")[i % 3], ("tee", "coat")[i % 2]
        text = f"a {colour} {kind} {HOSTILE if i == 4 else i}"
        products.append(Product(f"p{i}", (png(colour), png(colour)), (text,), {"colour": colour, "sub_category": kind}))
    return Shelf(products, tags=("colour", "sub_category"))


@pytest.fixture
def loaded(monkeypatch) -> list[str]:
    """Names of the models that were loaded: one sees colours, the other takes green for red."""
    names: list[str] = []

    def load(name: str, **_) -> Encoder:
        names.append(name)
        if name == "gone":
            raise InputError("no encoder 'gone'")
        return colour_encoder(name, confused=name == "confused")

    monkeypatch.setattr(run, "load_encoder", load)
    return names


def test_every_question_has_its_number():
    measured = measure(colour_encoder(), CompareTasks.of(shelf(), "caption", seed=0, resamples=50))
    metrics, record = measured.record["metrics"], measured.record
    assert metrics["colour_zero_shot"] == metrics["colour_probe"] == 100
    assert metrics["sub_category_zero_shot"] < 100
    assert metrics["zero_shot"] == pytest.approx((100 + metrics["sub_category_zero_shot"]) / 2)
    assert metrics["one_tag_colour_P@10"] == 100  # ten of each colour
    assert metrics["one_tag_colour_mAP@10"] == 100
    assert metrics["same_product_R@1"] == pytest.approx(100 / 19)  # 20 photos of a colour are all the same
    assert metrics["dimensions"] == 5 and metrics["megabytes"] > 0 and metrics["photo_ms"] > 0
    assert (record["n"], record["benchmark"], record["garment"]) == (30, "compare", "sub_category")
    assert set(record["ci95"]) == set(measured.samples) <= set(metrics)
    assert all(low <= metrics[name] + 1e-9 and metrics[name] <= high + 1e-9 for name, (low, high) in record["ci95"].items())


class Kept:
    """A cache that has all photos."""

    def batches(self, images, rows):
        return image_batches(images, pixels, 2, 0, rows=rows)


def test_speed_counts_what_a_cache_saves(monkeypatch):
    seen = []

    def photos_seen(encoder: Encoder) -> int:
        seen.clear()
        encode = encoder.model.encode_image
        monkeypatch.setattr(encoder.model, "encode_image", lambda photos: (seen.append(len(photos)), encode(photos))[1])
        measure(encoder, CompareTasks.of(shelf(), "caption", seed=0, resamples=5))
        return sum(seen)

    plain, cached = colour_encoder(), colour_encoder()
    cached.cached = Kept()
    assert photos_seen(cached) == photos_seen(plain) + cached.batch_size  # a batch that the cache does not serve


def test_words_find_products_by_all_their_photos():
    """A product's second photo shows what its first does not: by the first alone, nothing green is found."""
    photos = {"green": ("red", "green"), "blue": ("blue", "blue")}
    products = [
        Product(f"{colour}-{i}", tuple(map(png, shown)), (f"tee {i}",), {"colour": colour})
        for colour, shown in photos.items()
        for i in range(10)
    ]
    shop = Shelf(products, tags=("colour",))
    found = {
        rule: measure(colour_encoder(), CompareTasks.of(shop, "caption", 0, 20, ProductVector.parse(rule))).record
        for rule in ("photos", "first")
    }
    assert {rule: record["product_vector"] for rule, record in found.items()} == {"photos": "photos", "first": "first"}
    green = {rule: record["metrics"]["one_tag_colour_P@10"] for rule, record in found.items()}
    assert green["photos"] == 100 and green["first"] < 100


def test_the_better_model_leads_and_nothing_is_measured_twice(loaded, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = compare_models(["confused"], shelf(), out, resamples=100)
    both = compare_models(["confused", "sound"], shelf(), out, resamples=100)
    assert both.results[0] == json.loads(json.dumps(first.results[0]))
    (pair,) = both.differences
    assert pair["metrics"]["colour_zero_shot"] > 0 and pair["ci95"]["colour_zero_shot"][0] > 0
    page = (out / "index.html").read_text()
    assert "sound leads" in page and "confused leads" not in page and HOSTILE not in page
    monkeypatch.setattr(run, "measure", None)  # measures nothing more
    again = compare_models(["sound", "confused"], shelf(), out, resamples=100)
    assert again.differences[0]["metrics"]["colour_zero_shot"] == -pair["metrics"]["colour_zero_shot"]
    assert np.allclose(again.differences[0]["ci95"]["SumR"], [-end for end in pair["ci95"]["SumR"][::-1]])
    first_photo = {"product_vector": ProductVector(first=True)}
    for other in ({"resamples": 50}, {"seed": 1}, {"text": "full"}, first_photo):  # other numbers
        with pytest.raises(TypeError):
            compare_models(["sound"], shelf(), out, **{"resamples": 100, **other})


def test_a_damaged_measurement_is_none(tmp_path):
    encoder, tasks = colour_encoder(), CompareTasks.of(shelf(), "caption", seed=0, resamples=20)
    store = MeasuredStore(tmp_path, tasks, "data")
    assert store.read(encoder) is None
    store.write(encoder, MeasuredEncoder({"ci95": {"a": [0, 1]}}, {"a": np.arange(20.0)}))
    assert store.read(encoder).samples["a"].tolist() == list(range(20))
    (record,) = tmp_path.glob("*/metrics.json")
    for damage in (b"", b"{}", b"[1]", b'{"ci95": {"a": [], "b": []}}'):
        record.write_bytes(damage)
        assert store.read(encoder) is None
    assert MeasuredStore(tmp_path, tasks, "other").folder(encoder) != store.folder(encoder)


def test_a_model_that_cannot_be_had_costs_the_others_nothing(loaded, tmp_path, capsys):
    with pytest.raises(InputError, match=r"1 of 2 models could not be measured \(gone"):
        compare_models(["gone", "sound"], shelf(), tmp_path, resamples=20)
    assert "gone is left out: no encoder 'gone'" in capsys.readouterr().err
    record = json.loads((tmp_path / "comparison.json").read_text())
    assert len(record["results"]) == 1 and list(record["left_out"]) == ["gone"]
    assert "could not be measured" in (tmp_path / "index.html").read_text()
    with pytest.raises(InputError, match="none of the models"):
        compare_models(["gone"], shelf(), tmp_path / "none")
    with pytest.raises(InputError, match="different models"):
        compare_models(["sound", "sound"], shelf(), tmp_path / "twice")


def test_a_catalogue_without_tags_is_compared_by_its_texts(loaded, tmp_path):
    products = [Product(one.product_id, one.images[:1], one.captions) for one in shelf().products]
    found = compare_models(["sound", "confused"], Shelf(products, tags=()), tmp_path, resamples=20).results[0]
    assert not any("zero_shot" in name or "tag" in name or "same" in name for name in found["metrics"])
    assert "Are tags read" not in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf-hub:shop/clip", "repository shop/clip"),
        ("open_clip:ViT-B-16-SigLIP/webli", "repository timm/ViT-B-16-SigLIP"),
        ("open_clip:ViT-B-32", ""),
        ("open_clip:ViT-B-32/no-such-tag", ""),
        ("runs/gone", ""),
    ],
)
def test_where_weights_are_to_be_had(name, said):
    told = where_to_get(name)
    assert (said in told and "local-dir:" in told) if said else told == ""


@pytest.fixture(scope="module")
def compared(shop, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    line = f"compare --data {shop} --split train --tags brand,colour --products 40 --device cpu --workers 0 --out {out}"
    return line.split(), out, run_command(*line.split(), "--model", f"open_clip:{tiny}", "open_clip:e2-nano")


def test_the_command(compared, tiny):
    line, out, done = compared
    assert done.status == 0, done.err
    assert "zero shot" in done.out and str(out / "index.html") in done.out and done.err.count("measuring") == 2
    record = json.loads((out / "comparison.json").read_text())
    assert [one["n"] for one in record["results"]] == [40, 40] and len(record["differences"]) == 1
    assert len(names_in(out)) == 4 and {"comparison.json", "index.html"} < {*names_in(out)}
    again = run_command(*line, "--model", f"open_clip:{tiny}", "--json")
    assert again.err.count("measured before") == 1 and json.loads(again.out)["results"] == record["results"][:1]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(browser, compared, width):
    _, out, _ = compared
    tab = browser.new_page(viewport={"width": width, "height": 844})
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    tab.goto((out / "index.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width and errors == []
    assert tab.locator(".answer").count() >= 6 and tab.locator(".query img").count() > 20
    inside = "bars => bars.every(bar => bar.offsetWidth <= bar.parentElement.offsetWidth)"
    assert tab.locator(".track i").evaluate_all(inside) and axe_faults(tab) == []
    tab.close()
