"""Judged queries: files of all forms, metrics against naive ones and by hand, the leaderboard's documents, bad input."""

import json
import math

import numpy as np
import pytest
import torch

from e2.benchmarks.retrieval.benchmark import evaluate_qrels, judged_table
from e2.benchmarks.retrieval.judged import METRICS, first_ten, judge
from e2.benchmarks.retrieval.qrels import read_ids, read_qrels
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf, colour_encoder, png
from tests.command import run_command

pytest.importorskip("ir_measures")
JUDGED = {"a red tee": {"1": 1, "2": 1}, "blue": {"3": 2, "1": 1}}


def naive(relevant: dict[str, int], found: list[str]) -> list[float]:
    """The metrics of one query from their definitions (Manning et al., chapter 8), over the first ten."""
    hits = [product in relevant for product in found]
    precisions = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
    gain = sum(relevant.get(product, 0) / math.log2(place + 2) for place, product in enumerate(found))
    ideal = sum(grade / math.log2(place + 2) for place, grade in enumerate(sorted(relevant.values())[::-1][:10]))
    first = 1 / (hits.index(True) + 1) if any(hits) else 0
    recalls, shares = ([sum(hits[:k]) / whole(k) for k in (1, 10)] for whole in (lambda _: len(relevant), lambda k: k))
    return [*recalls, *shares, first, sum(precisions) / len(relevant), gain / ideal]


@pytest.fixture
def files(tmp_path):
    """Files of a few judgements, one in each form, and the texts of their queries."""

    def write(name: str, content: object):
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / name

    rows = [(f"q{place}", product, grade) for place, grades in enumerate(JUDGED.values()) for product, grade in grades.items()]
    write("plain.json", JUDGED)
    write("ids.json", {f"q{place}": grades for place, grades in enumerate(JUDGED.values())})
    write("beir.tsv", "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{p}\t{g}\n" for q, p, g in rows))
    write("trec.txt", "".join(f"{q} 0 {p} {g}\n" for q, p, g in rows) + "q1 0 9 0\n")
    write("queries.jsonl", "".join(json.dumps({"_id": f"q{i}", "text": text}) + "\n" for i, text in enumerate(JUDGED)))
    write("queries.tsv", "".join(f"q{i}\t{text}\n" for i, text in enumerate(JUDGED)))
    write("queries.json", {f"q{i}": text for i, text in enumerate(JUDGED)})
    return write


@pytest.mark.parametrize("name", ["ids.json", "beir.tsv", "trec.txt"])
@pytest.mark.parametrize("queries", ["queries.jsonl", "queries.tsv", "queries.json"])
def test_every_form_says_the_same(files, tmp_path, name, queries):
    plain = read_qrels(tmp_path / "plain.json")
    other = read_qrels(tmp_path / name, tmp_path / queries)
    assert [other.texts[query] for query in other.relevant] == list(plain.relevant) == list(JUDGED)
    assert list(other.relevant.values()) == list(plain.relevant.values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trec.txt", "q1 0 1 1.0\r\nq1 0 1 1\r\nq1 0 2 -1\r\n"),
        ("beir.tsv", "\ufeffquery_id\tCorpus_ID\tScore\nq1\t1\t1.0\n"),
        ("ids.JSON", '{"q1": {"1": 1.0}}'),
    ],
)
def test_grades_and_headers_as_other_tools_write_them(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "red"}\n')
    assert read_qrels(tmp_path / name, tmp_path / "queries.jsonl").relevant == {"q1": {"1": 1}}


@pytest.mark.parametrize(
    ("name", "content", "texts", "said"),
    [
        ("trec.txt", "q1 0 1 1\nq1 0 1 0\n", '{"_id": "q1", "text": "red"}', "line 2: '1' has two grades for 'q1'; keep one"),
        ("trec.txt", "q1 0 1 1_0\n", '{"_id": "q1", "text": "red"}', "line 1: is not a judgement"),
        ("trec.txt", "q1 0 1 0.5\n", '{"_id": "q1", "text": "red"}', "line 1: is not a judgement"),
        ("ids.json", '{"q1": {"1": 1, "1": 0}}', '{"_id": "q1", "text": "red"}', "names '1' twice"),
        ("ids.json", '{"q1": {"": 1}}', '{"_id": "q1", "text": "red"}', "a product without an id"),
        (
            "trec.txt",
            "q1 0 1 1\n",
            '{"_id": "q1", "text": "red"}\n{"_id": "q1", "text": "blue"}',
            "line 2: query 'q1' has two texts",
        ),
    ],
)
def test_contradictions_are_refused(tmp_path, name, content, texts, said):
    (tmp_path / name).write_text(content)
    (tmp_path / "queries.jsonl").write_text(texts)
    with pytest.raises(InputError, match=said):
        read_qrels(tmp_path / name, tmp_path / "queries.jsonl")


def test_metrics_are_those_of_their_definitions():
    rng = np.random.default_rng(0)
    ids = [f"p{place}" for place in range(40)]
    relevant, ranked = {}, []
    for query in range(30):
        chosen = rng.permutation(40)
        relevant[f"{query} \ud83d"] = {ids[row]: int(rng.integers(1, 4)) for row in chosen[: 1 + query]}
        ranked.append([ids[row] for row in rng.permutation(40)[:10]])
    expected = [naive(grades, found) for grades, found in zip(relevant.values(), ranked, strict=True)]
    np.testing.assert_allclose(judge(relevant, ranked), expected, atol=1e-9)


def test_metrics_by_hand():
    (row,) = judge({"q": {"a": 1, "b": 1, "c": 1}}, [["x", "a", "y", "b"]])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    by_hand = [0, 2 / 3, 0, 0.2, 1 / 2, (1 / 2 + 2 / 4) / 3, (1 / math.log2(3) + 1 / math.log2(5)) / ideal]
    assert dict(zip(METRICS, row, strict=True)) == pytest.approx(dict(zip(METRICS, by_hand, strict=True)))


def test_the_best_ten_in_order_and_ties_by_descending_id():
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]] + [[0.8, 0.6]] * 20)
    ids = ["best", "worst", "third", *(f"{place:02}" for place in range(20))]
    tied = [f"{place:02}" for place in range(19, -1, -1)]
    found = first_ten(torch.tensor([[1.0, 0.0], [0.6, 0.8]]), gallery, ids)
    assert found == [["best", *tied[:9]], ["third", *tied[:9]]]
    assert first_ten(torch.tensor([[1.0, 0.0]]), gallery[:3], ids[:3]) == [["best", "third", "worst"]]


def shelf() -> Shelf:
    """Photos and texts that disagree, so that the share of the text shows."""
    seen = {"1": ("red", "blue"), "2": ("red", "red"), "3": ("blue", "white"), "4": ("green", "blue"), "5": ("black", "black")}
    return Shelf([Product(name, (png(photo),), (f"a {text} tee",), {}) for name, (photo, text) in seen.items()])


def test_leaderboard_documents_are_nine_parts_photo_and_one_part_text(files, capsys):
    colours = {"red": {"2": 1}, "blue": {"3": 1, "1": 1, "4": 1}}
    tasks = [files("ground_truth_text-image.json", colours), files("ground_truth_colour-image+text.json", colours)]
    comparison = evaluate_qrels([colour_encoder()], shelf(), tasks, benchmark="marqo:KAGL", resamples=50)
    record = comparison.results[0]
    assert (record["benchmark"], record["protocol"], record["n_gallery"]) == ("retrieval", "marqo:KAGL", 5)
    assert [(task["name"], task["text_share"]) for task in record["tasks"]] == [("text", 0.0), ("colour", 0.1)]
    # Photos: "red" ties 1 and 2, and 2, the higher id, is first. "blue": 3, then 5, 4, 2, 1, all equal at 0.
    # With texts: "red": 2 (1), 1 (0.9 / 0.906). "blue": 3 (0.9 / 0.906), then 4 and 1 (0.1 / 0.906), so all three lead.
    metrics = record["metrics"]
    assert metrics["text_mAP@10"] == pytest.approx(100 * (1 + (1 + 2 / 3 + 3 / 5) / 3) / 2)
    assert metrics["colour_mAP@10"] == metrics["colour_nDCG@10"] == pytest.approx(100)
    assert metrics["colour_R@1"] == pytest.approx(100 * (1 + 1 / 3) / 2)
    assert metrics["colour_P@10"] == pytest.approx(100 * (0.1 + 0.3) / 2)
    assert set(metrics) == {f"{task}_{name}" for task in ("text", "colour") for name in METRICS}
    judged_table(comparison)
    assert "44,434" in capsys.readouterr().err


def test_models_are_compared_on_the_same_queries(files, tmp_path):
    file = files("own.json", {"red": {"2": 1}, "green": {"4": 1}, "black": {"5": 1}})
    encoders = [colour_encoder("confused", confused=True), colour_encoder("sound")]
    comparison = evaluate_qrels(encoders, shelf(), [file], out=tmp_path / "out", resamples=200)
    (difference,) = comparison.differences
    assert difference["metrics"]["P@1"] == pytest.approx(100 * 2 / 3)  # it takes green photos for red, also those of "red"
    low, high = difference["ci95"]["P@1"]
    assert 0 <= low < 100 * 2 / 3 < high <= 100
    record = json.loads((tmp_path / "out" / "1_confused" / "metrics.json").read_text())
    assert record["bootstrap"] == {"resamples": 200, "unit": "query"} and record["protocol"] == "qrels"


def test_products_outside_the_gallery_are_left_out_and_counted(files, capsys):
    file = files("part.json", {"red": {"2": 1, "gone": 1}, "blue": {"also gone": 1}, "white": {"3": 0}, "black": {"5": 1}})
    excluded = files("ids.txt", "5\nother\n")
    record = evaluate_qrels([colour_encoder()], shelf(), [file], resamples=50).results[0]
    counts = {"queries": 2, "relevant": 2, "judgements_outside": 2, "queries_unanswered": 2}
    assert counts.items() <= record["tasks"][0].items() and record["excluded"] == 0
    assert "2 judgements of products" in capsys.readouterr().err
    record = evaluate_qrels([colour_encoder()], shelf(), [file], exclude_ids=excluded, resamples=50).results[0]
    assert (record["n_gallery"], record["excluded"], record["tasks"][0]["queries"]) == (4, 1, 1)
    with pytest.raises(InputError, match="none of the 1 relevant"):
        evaluate_qrels([colour_encoder()], shelf(), [files("none.json", {"red": {"x": 1}})], resamples=50)


BAD = [  # file, content, queries, said
    ("a.json", "{", None, "is not JSON"),
    ("a.json", "[" * 100_000, None, "is not JSON"),
    ("a.json", [["q", "1"]], None, "no JSON object"),
    ("a.json", {"red": ["1"]}, None, "query 'red': expected {product id: grade"),
    ("a.json", {"red": {"1": 0.5}}, None, "query 'red'"),
    ("a.json", {"red": {"1": 10**9}}, None, "query 'red'"),
    ("a.json", {}, None, "no product relevant"),
    ("a.json", {"red": {"1": 0}}, None, "no product relevant"),
    ("a.json", {" ": {"1": 1}}, None, "has no text for 1"),
    ("a.tsv", "", None, "no product relevant"),
    ("a.tsv", "q0 0 1\n", None, "line 1: is not a judgement"),
    ("a.tsv", "q0 0 1 1\nq0 0 2 high\n", None, "line 2"),
    ("a.tsv", "query-id\tcorpus-id\tscore\nq0\t1\n", None, "line 2"),
    ("a.tsv", "q0 0 1 1\n", None, "--queries"),
    ("a.tsv", "q7 0 1 1\n", "queries.tsv", "has no text for 1 of the queries"),
    ("a.tsv", "q0 0 1 1\n", "plain.json", "holds no queries"),
    ("a.tsv", "q0 0 1 1\n", "trec.txt", "line 1: is not a query"),
    ("queries.jsonl", '["q0"]\n', None, "line 1: is not a judgement"),
]


@pytest.mark.parametrize(("name", "content", "queries", "said"), BAD)
def test_what_is_no_qrels_is_told_in_one_line(files, tmp_path, name, content, queries, said):
    file = files(name, content)
    with pytest.raises(InputError) as refused:
        read_qrels(file, queries and tmp_path / queries)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_missing_and_foreign_files_are_told(files, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 0 1 1\n")
    for file in (tmp_path / "none.json", tmp_path / "latin.txt", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_qrels(file)
    with pytest.raises(InputError, match="is empty"):
        read_ids(files("empty.txt", "\n"))


QUERIES = "evaluate retrieval --model {run} --data {shop} --split train --device cpu --workers 0 --batch-size 8"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--benchmark marqo:KAGL", "give them by --qrels"),
        ("--qrels {base}/plain.json --protocol sample-100", "leave them or --qrels out"),
        ("--qrels {base}/plain.json --benchmark KAGL", "unknown benchmark 'KAGL'; choose marqo:NAME"),
        ("--qrels {base}/plain.json --benchmark marqo:Kagle", "unknown benchmark 'marqo:Kagle'"),
        ("--qrels {base}/plain.json --benchmark marqo:KAGL", "ground_truth_COLUMN-image.json"),
        ("--qrels {base}/plain.json {base}/plain.json", "have one name"),
    ],
)
def test_options_that_do_not_go_together(files, tmp_path, more, said):
    line = QUERIES.format(run="open_clip:e2-nano", shop="boutique")
    answer = run_command(*line.split(), *more.format(base=tmp_path).split())
    assert answer.status == 2 and said in answer.line


def test_a_model_trained_on_relevant_products_is_told(files, shop, tiny, tmp_path):
    run = tmp_path / "run"
    train = (
        f"train --data {shop} --method clip --backbone {tiny} --workers 0 --device cpu --batch-size 16 --steps 1 --out {run}"
    )
    assert run_command(*train.split()).status == 0
    file = files("own.json", {"a red tee": {"train-0": 1}, "a blue tee": {"train-2": 1}})
    line = QUERIES.format(run=run, shop=shop)
    answer = run_command(*line.split(), "--qrels", file, "--out", tmp_path / "out")
    assert answer.status == 0, answer.err
    assert "holds 2 of the 2 relevant products" in answer.err and "mAP@10" in answer.out
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["relevant_in_training"] == 2
    answer = run_command(*line.split(), "--qrels", file, "--exclude-ids", files("seen.txt", "train-0"), "--json")
    assert json.loads(answer.out)["results"][0]["relevant_in_training"] == 1
    config = json.loads((run / "config.json").read_text())
    config["training"]["data"]["data"] = "http://127.0.0.1:1/products.parquet"  # a checkpoint does not say what is fetched
    (run / "config.json").write_text(json.dumps(config))
    answer = run_command(*line.split(), "--qrels", file, "--out", tmp_path / "remote")
    assert answer.status == 0 and "products.parquet, which is not here" in answer.err and "private" not in answer.err
