"""The caption report: hostile texts stay texts, tables agree in three forms, and the page works in a real browser."""

import re
import shutil

import numpy as np
import pytest

import e2
from e2.adapters.encoder import Encoder
from e2.benchmarks.captioning.evaluate import evaluate_captioning
from e2.benchmarks.captioning.subjects import Candidate, read_truth
from e2.benchmarks.reports.caption_runs import read_runs
from e2.benchmarks.reports.caption_tables import score_table
from e2.benchmarks.reports.captions import choose_products, write_report
from e2.benchmarks.reports.charts import WIDTH, ridges
from e2.benchmarks.reports.tables import Cell, Table, difference_cell, to_latex, to_markdown
from e2.data import open_catalogue
from e2.errors import InputError
from tests.conftest import axe_faults

OWN = "document.title='owned'"
HOSTILE = f'</script><script>{OWN}</script><img src=x onerror="{OWN}"> red \u2028 \'"& \u202eabc \ud83d'
TAGS = ("brand", "season", "colour")
GOOD = "good-captioner-of-a-name-too-long-for-a-phone"


@pytest.fixture(scope="module")
def runs(shop, tmp_path_factory):
    """Two captioners on the shop's validation split, one with hostile captions and a hostile name."""
    truth = read_truth(open_catalogue(str(shop), "val", tags=TAGS))
    good = {name: texts[0] for name, texts in zip(truth.product_ids, truth.references, strict=True)}
    bad = dict.fromkeys(good, "a green tee in summer") | {truth.product_ids[0]: HOSTILE, truth.product_ids[1]: ""}
    folder = tmp_path_factory.mktemp("captions")
    candidates = [Candidate(good, {"path": f"runs/{GOOD}"}), Candidate(bad, {"path": "runs/<b>bad|_&%$"})]
    evaluate_captioning(candidates, truth, out=folder, java="none", resamples=50)
    return folder


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    return write_report([runs], tmp_path_factory.mktemp("report"))


def test_hostile_texts_stay_texts(page):
    html = page.read_text(encoding="utf-8")
    assert html.count("<script") == 2 and html.count("</script>") == 2  # the data and the program
    assert "<img src=x" not in html and "<b>bad" not in html and "&lt;b&gt;bad" in html
    assert "\u202e" not in html and "\u2028" not in html
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", html)  # nothing from the network
    assert "default-src 'none'" in html


def test_tables_mark_the_best_and_agree_in_all_forms(runs, page):
    found, differences = read_runs([runs])
    table = score_table(found)
    assert table.head == [GOOD, "<b>bad|_&%$"]
    assert [cell.best for cell in table.rows["BLEU@1"]] == [True, False]
    assert not any(cell.best for cell in table.rows["mean length"])
    markdown, latex = (page.parent / name for name in ("tables.md", "tables.tex"))
    value = table.rows["CIDEr"][0].text
    for text in (markdown.read_text(), latex.read_text(), page.read_text(encoding="utf-8")):
        assert value in text and "Paired differences" in text
    assert r"\<b\>bad\|\_&amp;%$" in markdown.read_text() and r"<b>bad|\_\&\%\$" in latex.read_text()
    assert len(differences) == 1
    low, high = differences[0]["ci95"]["CIDEr"]
    assert high < 0 and difference_cell(differences[0], "CIDEr").below
    assert 'class="below"' in page.read_text(encoding="utf-8")


def test_tables_escape_line_breaks():
    table = Table("t", ["a\nb"], {"x\u2028y": [Cell("1.0", "0.5 to 1.5", True)]})
    assert "| metric | a b |" in to_markdown(table) and "| x y | **1.0** (0.5 to 1.5) |" in to_markdown(table)
    assert r"x y & \textbf{1.0} {\scriptsize (0.5 to 1.5)} \\" in to_latex(table)


def test_the_gallery_holds_worst_and_most_telling_products(runs):
    found, _ = read_runs([runs])
    worst = [list(np.argsort(run.values("ROUGE-L"), kind="stable")[:2]) for run in found]
    rows = choose_products(found, worst, "ROUGE-L", limit=5, seed=0)
    assert len(rows) == 5 and rows == sorted(rows) and {int(row) for pair in worst for row in pair} <= set(rows)
    assert choose_products(found, worst, "ROUGE-L", limit=100, seed=0) == list(range(12))


def test_ridges_by_hand():
    chart = ridges("x", [np.array([0.0, 50, 100]), np.array([25.0])], 100.0)
    assert [ridge.mean for ridge in chart.ridges] == [50, 25] and chart.ridges[0].median_x == WIDTH / 2
    assert ridges("x", [np.zeros(3)]).top == 1  # nothing to divide by


def test_tokens_stand_beside_the_tag_that_they_are_for(runs, tiny, tmp_path, monkeypatch):
    model, _, preprocess = e2.create_model_and_transforms(tiny, tags=TAGS)
    encoder = Encoder(model, preprocess, e2.get_tokenizer(tiny), {"path": "runs/tokens"}, device="cpu", workers=0)
    monkeypatch.setattr("e2.benchmarks.reports.captions.load_encoder", lambda name, **_: encoder)
    page = write_report([runs], tmp_path / "out", encoder="runs/tokens").read_text(encoding="utf-8")
    shown = set(re.findall(r"<figcaption>(\w+(?:: [^<]+)?)</figcaption>", page))
    assert {"season: Summer", "colour: red", "brand"} <= shown  # the first product of a colour has no brand


def test_wrong_runs_are_named(runs, shop, tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        write_report([tmp_path / "absent"], tmp_path / "out")
    shutil.copytree(runs / f"1_{GOOD}", tmp_path / "other")
    text = (tmp_path / "other" / "metrics.json").read_text()
    (tmp_path / "other" / "metrics.json").write_text(text.replace('"text": "caption"', '"text": "full"'))
    with pytest.raises(InputError, match="differ in text"):
        write_report([runs / f"1_{GOOD}", tmp_path / "other"], tmp_path / "out")
    with pytest.raises(InputError, match="say where they are by --data"):
        write_report([runs], tmp_path / "out", data=str(tmp_path / "gone.parquet"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_in_a_browser(browser, page, width, scheme):
    tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    errors: list[str] = []
    requests: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("request", lambda request: requests.append(request.url[:30]))
    tab.goto(page.as_uri())
    tab.evaluate("for (const image of document.images) image.loading = 'eager'")
    tab.wait_for_function("[...document.images].every(image => image.complete)")
    assert tab.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out sideways
    assert tab.title() == "Captions, side by side" and axe_faults(tab) == []
    cards = tab.locator("#cards .card")
    assert cards.count() == 12
    assert "document.title='owned'" in cards.first.inner_text()  # shown, not run
    assert cards.first.locator("mark.right").first.inner_text() == "red"
    assert tab.locator("mark.wrong").count() > 10 and tab.locator("[data-worst='1'] .card").count() == 6
    tab.select_option("#order", "0,1")  # the first beats the second most
    scores = [float(text.split()[-1]) for text in tab.locator("#cards .card .s1 .who span").all_inner_texts()]
    firsts = [float(text.split()[-1]) for text in tab.locator("#cards .card .s0 .who span").all_inner_texts()]
    leads = [a - b for a, b in zip(firsts, scores, strict=True)]
    assert leads == sorted(leads, reverse=True) and min(leads) > 0
    tab.select_option("#order", "1,0")
    assert "No such product" in tab.locator("#cards").inner_text()
    assert errors == [] and all(url.startswith(("file:", "data:")) for url in requests)
    tab.close()
