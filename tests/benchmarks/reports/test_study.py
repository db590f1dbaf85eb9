"""The study page: sentences that follow the numbers, hostile texts that stay texts, figures beside it, bad folders."""

import json
import re

import numpy as np
import pytest

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.names import ends
from e2.benchmarks.reports.study import write_report
from e2.benchmarks.reports.study_examples import choose_queries
from e2.benchmarks.reports.study_findings import AHEAD, BEHIND, OPEN, findings
from e2.benchmarks.reports.study_records import StudyResult, find_results, tables_of
from e2.benchmarks.reports.summary import summary
from e2.benchmarks.studies.registry import STUDIES
from e2.benchmarks.studies.tables import in_words
from e2.errors import InputError
from tests.command import names_in
from tests.conftest import axe_faults
from tests.shared import ROOT

RESULTS = ROOT / "benchmarks/results/study"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
METRICS = {"image_to_text_R@1": 10.0, "text_to_image_R@1": 11.0, "SumR": 200.0}


def study_of(folder, bounds: list[float], label: str = "e2") -> None:
    """A `main` study's folder in which ``label`` differs from clip by +5 SumR, with these bounds."""
    variants = {"clip": {"settings": {"method": "clip"}}, label: {"settings": {"method": "e2"}}}
    for variant in variants.values():
        variant |= {"series": None, "x": None, "parameters": 100, "added_parameters": 0}
    value = sum(bounds) / 2
    record = {
        "benchmark": "study",
        "protocol": "main",
        "title": "Methods",
        "question": "Which?",
        "dataset": f"boutique:{HOSTILE}",
        "split": "test",
        "text": "caption",
        "n": 40,
        "seed": [0, 1],
        "metrics": dict.fromkeys(variants, METRICS),
        "ci95": {name: {"SumR": [190.0, 210.0]} for name in variants},
        "differences": [
            {
                "first": "clip",
                "second": label,
                "metrics": dict.fromkeys(METRICS, value),
                "ci95": {"SumR": bounds},
                "by_seed": {},
            }
        ],
        "bootstrap": "over products and seeds",
        "columns": list(METRICS),
        "headline": "SumR",
        "note": HOSTILE,
        "variants": variants,
        "runs": [],
        "commit": "abc",
        "version": "0",
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(record))
    (folder / "figure.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "figure.pdf").write_text("pdf")


def comparison_of(folder, first: str, second: str, folder_of: str = "{}") -> None:
    """Two encoders' retrieval, second minus first = +4 SumR (1 to 7)."""
    paths = {method: "runs/" + folder_of.format(method) for method in (first, second)}
    records = [
        {
            "benchmark": "retrieval",
            "protocol": "full",
            "dataset": "boutique",
            "split": "test",
            "text": "caption",
            "n": 40,
            "seed": 0,
            "model": {"path": paths[method], "method": method},
            "metrics": {**METRICS, "SumR": 200.0 + more},
            "ci95": {"SumR": [190.0 + more, 210.0 + more]},
            "version": "0",
        }
        for method, more in ((first, 0), (second, 4))
    ]
    difference = {"first": paths[first], "second": paths[second], "metrics": {"SumR": 4.0}, "ci95": {"SumR": [1.0, 7.0]}}
    for place, record in enumerate(records, start=1):
        (folder / f"{place}_x").mkdir(parents=True)
        (folder / f"{place}_x" / "metrics.json").write_text(json.dumps(record))
    (folder / "comparison.json").write_text(json.dumps({"results": records, "differences": [difference]}))


@pytest.mark.parametrize(
    ("bounds", "verdict", "verb"),
    [([1.0, 9.0], AHEAD, "is ahead of"), ([-9.0, -1.0], BEHIND, "is behind"), ([-1.0, 3.0], OPEN, "cannot be told from")],
)
def test_the_interval_decides_the_sentence(tmp_path, bounds, verdict, verb):
    study_of(tmp_path / "main", bounds)
    (found,) = findings(find_results([tmp_path]))
    assert found.verdict == verdict and found.sentence == f"e2 {verb} clip in SumR" and "2 seeds" in found.where


SCORES = {"e2": (30.0, [28.0, 32.0]), "pooled": (29.0, [27.0, 31.0]), "tags": (20.0, [19.0, 21.0]), "clip": (10.0, None)}
PAIRS = {("pooled", "e2"): [-0.5, 2.5], ("clip", "e2"): [18.0, 22.0]}  # tags has no pair, clip no interval of its own


def sentences(*variants: str) -> list[str]:
    scores = {
        name: {"metrics": {"SumR": value}, "ci95": {"SumR": bounds} if bounds else {}}
        for name, (value, bounds) in SCORES.items()
        if name in variants
    }
    pairs = [{"first": first, "second": second, "ci95": {"SumR": bounds}} for (first, second), bounds in PAIRS.items()]
    found = summary(scores, pairs, "SumR", words="SumR", over="9 products")
    return [sentence.striptags() for sentence in found]


BEST = "e2 has the highest SumR: 30.0 (28.0 to 32.0) over 9 products."
POOLED = "Not decided: whether it is better than pooled (+1.0; -0.5 to +2.5)."


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        (["pooled", "e2"], [BEST, POOLED]),
        (["clip", "tags", "e2"], [BEST, "It is ahead of tags (+10.0) and clip (+20.0; +18.0 to +22.0)."]),
        (["clip", "pooled", "e2"], [BEST, "It is ahead of clip (+20.0; +18.0 to +22.0).", POOLED]),
        (["tags", "clip"], ["tags has the highest SumR: 20.0 (19.0 to 21.0) over 9 products.",
                            "Not decided: whether it is better than clip (+10.0)."]),  # no interval, no verdict
        (["e2"], ["e2 reaches SumR 30.0 (28.0 to 32.0) over 9 products; there is nothing to compare it with."]),
        ([], []),
    ],
)  # fmt: skip
def test_a_summary_names_the_best_what_it_beats_and_what_is_open(variants, said):
    assert sentences(*variants) == said


def test_a_summary_counts_many_variants_and_names_the_nearest(monkeypatch):
    monkeypatch.setattr("e2.benchmarks.reports.summary.NAMED", 1)
    assert sentences(*SCORES)[1:] == ["It is ahead of 2 of the 3 others, the nearest tags (+10.0).", POOLED]
    assert sentences("clip", "tags", "e2")[1:] == ["It is ahead of all 2 others, the nearest tags (+10.0)."]


def test_a_page_begins_with_its_summary_and_no_hash_is_in_a_sentence(tmp_path):
    study_of(tmp_path / "runs" / "main", [1.0, 9.0])
    comparison_of(tmp_path / "runs" / "retrieval", "clip", "e2", folder_of="0f3a5b7c9d1e-{}-0")
    html = write_report([tmp_path / "runs"], tmp_path / "out").read_text(encoding="utf-8")
    first, rest = html.split('<section id="claims">')
    assert html.index('id="summary"') < html.index('id="claims"') < html.index("<table")
    said = [" ".join(re.sub("<.*?>", "", one).split()) for one in re.findall('<p class="short">(.*?)</p>', first, re.S)]
    assert "over 40 products and 2 seeds" in said[0] and "<bdi>e2-0</bdi>" in first
    assert said[1].endswith("e2-0 has the highest SumR: 204.0 (194.0 to 214.0) over 40 products. "
                            "It is ahead of clip-0 (+4.0; +1.0 to +7.0).")  # fmt: skip
    assert "e2-0 is ahead of clip-0 in SumR" in rest and "0f3a5b7c9d1e" not in html.split('<section id="sources">')[0]


def test_two_of_a_study_are_told_apart_by_their_folders(tmp_path):
    for name in ("ten-epochs", "twenty-epochs"):
        study_of(tmp_path / name, [1.0, 9.0])
    places = [result.where for result in find_results([tmp_path])]
    assert [place.rpartition(" ")[2] for place in places] == ["(ten-epochs)", "(twenty-epochs)"]
    study_of(tmp_path / "fine-tuned" / "ten-epochs", [1.0, 9.0])
    places = [result.where for result in find_results([tmp_path])]
    assert sum(place.endswith("(fine-tuned/ten-epochs)") for place in places) == 1 and len(set(places)) == 3
    (alone,) = find_results([tmp_path / "ten-epochs"])
    assert "epochs" not in alone.where


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_on_the_page(tmp_path, name):
    study_of(tmp_path / name, [1.0, 9.0])
    file = tmp_path / name / "metrics.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "protocol": name}))
    assert [result.kind for result in find_results([tmp_path])] == [name]


def test_a_gain_is_told_once_and_a_loss_in_every_column(tmp_path):
    study_of(tmp_path / "main", [1.0, 9.0])
    file = tmp_path / "main" / "metrics.json"
    record = json.loads(file.read_text())
    columns = {"image_to_text_R@1": (3.0, 5.0), "text_to_image_R@1": (-4.0, -2.0), "SumR": (1.0, 9.0)}
    record["differences"][0] |= {"metrics": {name: sum(ends) / 2 for name, ends in columns.items()}, "ci95": columns}
    file.write_text(json.dumps(record))
    told = [(found.measure, found.verdict) for found in findings(find_results([tmp_path]))]
    assert told == [("SumR", AHEAD), ("text to image R@1", BEHIND)]
    file.write_text(json.dumps({**record, "described": ["text_to_image_R@1"]}))  # of which more is not better
    (only,) = findings(find_results([tmp_path]))
    assert (only.measure, only.verdict) == ("SumR", AHEAD)


@pytest.mark.parametrize(("bounds", "told"), [([1.0, 9.0], ["e2 is behind without-colour in SumR"]), ([-9.0, -1.0], [])])
def test_of_ablations_only_those_are_told_that_beat_e2(tmp_path, bounds, told):
    study_of(tmp_path / "groups", bounds)
    file = tmp_path / "groups" / "metrics.json"
    record = json.loads(file.read_text())
    record["variants"]["without-colour"] = {**record["variants"]["e2"]}
    record["differences"][0] |= {"first": "e2", "second": "without-colour"}
    file.write_text(json.dumps(record))
    found = findings(find_results([tmp_path]))
    assert [finding.sentence for finding in found] == told
    assert all((finding.value, finding.low, finding.high) == (-5.0, -9.0, -1.0) for finding in found)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("image_to_text_R@1", "image to text R@1"),
        ("exact_R@10_1", "exact R@10, 1 field"),
        ("matching_R@10_5", "matching R@10, 5 fields"),
        ("sub_category_accuracy", "sub category accuracy"),
        ("new/0.6/SumR", "SumR on new data (0.6)"),
    ],
)
def test_columns_are_named_in_words(metric, words):
    assert in_words(metric) == words


def test_an_e2_that_comes_first_has_its_sign_turned(tmp_path):
    comparison_of(tmp_path / "a", "e2", "clip")
    comparison_of(tmp_path / "b", "clip", "multifield")  # no E2: nothing to say of it
    (found,) = findings(find_results([tmp_path]))
    assert (found.ours, found.theirs, found.value, found.low, found.high) == ("e2", "clip", -4, -7, -1)
    assert found.verdict == BEHIND


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/0f3a5b7c9d1e-e2-0", "runs/a1b2c3d4e5f6-clip-0/"], ["e2-0", "clip-0"]),
        (["runs/0f3a5b7c9d1e-e2-0", "runs/a1b2c3d4e5f6-e2-0"], ["e2-0 (1)", "e2-0 (2)"]),
        (["a/e2", "b/e2"], ["a/e2", "b/e2"]),
        (["open_clip:ViT-B-32/openai", "runs/0f3a5b7c9d1e"], ["openai", "0f3a5b7c9d1e"]),
    ],
)
def test_encoders_are_named_by_their_folders_without_the_hash_of_a_training(paths, names):
    assert ends(paths) == names


def test_grounding_is_set_against_the_best_other_map():
    record = {
        "benchmark": "grounding",
        "protocol": "boxes",
        "dataset": "boutique",
        "split": "test",
        "n": 9,
        "model": {"path": "runs/0f3a5b7c9d1e-e2", "method": "e2"},
        "places": {"brand": 9},
        "metrics": {"pointing/tokens/brand": 50.0, "pointing/random/brand": 2.0, "pointing/rollout/brand": 20.0},
        "ci95": {
            "pointing/tokens/brand": [40, 60],
            "pointing/random/brand": [2, 2],
            "pointing/rollout/brand": [10, 30],
        },
        "tokens_minus": {  # by the names of when it was written
            "0f3a5b7c9d1e-e2: random": {"pointing/brand": [48, 38, 58]},
            "0f3a5b7c9d1e-e2: rollout": {"pointing/brand": [30, 20, 40]},
        },
    }
    result = StudyResult(None, [record], [])
    (found,) = findings([result])
    assert found.sentence == "e2: tokens is ahead of e2: rollout in hits on the brand"
    table = tables_of(result)[0]
    assert {name: cells[0].best for name, cells in table.rows.items()} == {
        "e2: tokens": True,
        "e2: random": False,
        "e2: rollout": False,
    }


def test_the_page_escapes_copies_figures_and_names_its_sources(tmp_path):
    study_of(tmp_path / "runs" / "main", [1.0, 9.0], label=HOSTILE)
    comparison_of(tmp_path / "runs" / "retrieval", "clip", "e2")
    page = write_report([tmp_path / "runs"], tmp_path / "out")
    html = page.read_text(encoding="utf-8")
    assert "<img src=x" not in html and "&lt;img src=x" in html
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", html)
    assert "e2 is ahead of clip in SumR" in html and str(tmp_path / "runs" / "main") in html
    assert names_in(tmp_path / "out" / "figures") == ["1-main.pdf", "1-main.svg"]
    assert "Methods" in (tmp_path / "out" / "tables.md").read_text()
    assert r"\begin{tabular}" in (tmp_path / "out" / "tables.tex").read_text()


def test_encoders_at_work(tmp_path, tiny, shop, monkeypatch):
    from e2.data import open_catalogue

    study_of(tmp_path / "runs" / "main", [1.0, 9.0])
    monkeypatch.setattr("e2.benchmarks.reports.study.load_encoder", lambda name, **_: _encoder(name, tiny))
    catalogue = open_catalogue(str(shop), "val", tags=("brand", "season", "colour"))
    page = write_report([tmp_path / "runs"], tmp_path / "out", models=("runs/plain", "runs/tokens"), catalogue=catalogue)
    html = page.read_text(encoding="utf-8")
    assert html.count('class="right"') >= 1 and 'id="looks"' in html and html.count("<blockquote>") == 6
    assert "loading=" not in html  # a photo that waits for its turn is missing in print
    for name in ("selections", "examples"):
        assert all((tmp_path / "out" / "figures" / f"{name}.{ending}").is_file() for ending in ("png", "svg", "pdf"))
    with pytest.raises(InputError, match="by --data"):
        write_report([tmp_path / "runs"], tmp_path / "out", models=("runs/plain",))
    bare = open_catalogue(str(shop), "val")
    with pytest.raises(
        InputError, match="runs/tokens has tokens for brand,season, .* none of these tags; say --tags brand,season"
    ):
        write_report([tmp_path / "runs"], tmp_path / "bare", models=("runs/plain", "runs/tokens"), catalogue=bare)


def _encoder(name: str, tiny: str) -> Encoder:
    import e2

    tags = ("brand", "season") if name.endswith("tokens") else ()
    model, _, preprocess = e2.create_model_and_transforms(tiny, tags=tags)
    return Encoder(model, preprocess, e2.get_tokenizer(tiny), {"path": name}, device="cpu", workers=0)


def test_all_committed_results_make_one_page(tmp_path):
    """Every kind of record that exists, `dataset` too, which compares no variants."""
    results = find_results([RESULTS])
    assert {result.kind for result in results if result.study} == set(STUDIES)
    page = write_report([RESULTS], tmp_path / "page").read_text(encoding="utf-8")
    assert all(result.title in page for result in results)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(browser, tmp_path, width):
    tab = browser.new_page(viewport={"width": width, "height": 844})
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(write_report([RESULTS / "tags"], tmp_path / "page").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width and errors == [] and axe_faults(tab) == []
    tab.close()


def test_queries_show_gains_losses_and_chance_in_turn():
    ranks = np.array([[1, 50, 3, 4], [20, 1, 3, 4]])
    chosen = choose_queries(ranks, 4, seed=0)
    assert chosen[:2] == [1, 0] and sorted(chosen) == [0, 1, 2, 3]


def test_bad_folders_get_one_line(tmp_path):
    with pytest.raises(InputError, match="no results there"):
        find_results([tmp_path])
    (tmp_path / "metrics.json").write_text("[1, 2")
    with pytest.raises(InputError, match="metrics.json as results"):
        find_results([tmp_path])
    (tmp_path / "metrics.json").write_text(json.dumps({"benchmark": "speed"}))
    with pytest.raises(InputError, match="no results there"):
        find_results([tmp_path])
