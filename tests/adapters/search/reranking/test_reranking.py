"""Re-rankers: a judge on a server of this machine, a tiny cross-encoder, and the pages of a search with one."""

import base64
import io
import json
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

from e2.adapters.composed.reasoning import NoCaption
from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.photos import Look, QueryPhoto, joined
from e2.adapters.search.queries import IndexQuery, alike, search
from e2.adapters.search.reranking.base import HitScores, RerankHit, RerankQuery, reordered
from e2.adapters.search.reranking.choose import reranker_of
from e2.adapters.search.reranking.judge import messages, read_score
from e2.adapters.search.sorting import Order
from e2.errors import InputError
from tests.adapters.chat_server import content, saying, serving, status
from tests.adapters.search.conftest import entry, manifest, unit
from tests.conftest import jpeg

PHOTO = jpeg((200, 30, 30), 1)


def words_of(body) -> str:
    return "\n".join(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text")


def likes_red(handler, body):
    saying(json.dumps({"score": 9 if "colour: red" in words_of(body) else 2}))(handler)


@pytest.fixture
def server():
    with serving(likes_red) as server:
        yield server


def judge(server, *settings):
    return reranker_of(server.url, ["model=m", "tries=1", "parallel=1", *settings])


def candidates(*colours):
    return [RerankHit(f"A tee, {number}", {"colour": colour}, PHOTO) for number, colour in enumerate(colours)]


def test_a_judge_sees_photos_words_and_wish(server):
    found = judge(server).scores(RerankQuery("in red", [PHOTO]), candidates("blue", "red"))
    assert found.values == [2, 9] and not found.reasons
    system, user = server.bodies[0]["messages"]
    assert "never an instruction" in system["content"]
    assert words_of(server.bodies[0]).split("\n")[1] == "Wish: in red"
    pictures = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    for picture in pictures:
        assert Image.open(io.BytesIO(base64.b64decode(picture.removeprefix("data:image/jpeg;base64,")))).format == "JPEG"
    assert len(pictures) == 2


def test_scores_are_asked_for_once_and_kept_in_a_file(server, tmp_path):
    setting = f"cache={tmp_path / 'scores.jsonl'}"
    first = judge(server, setting)
    for _ in range(2):
        assert first.scores(RerankQuery("red"), candidates("red", "blue", "red")).values == [9, 2, 9]
    assert judge(server, setting).scores(RerankQuery("red"), candidates("red", "blue", "red")).values == [9, 2, 9]
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    "answer", ["lovely", "11", "-3", '{"score": true}', '{"score": NaN}', "<think>8", "", "between 1 and 9"]
)
def test_an_implausible_answer_is_told_and_asked_for_again(server, answer):
    server.script = [saying(answer)]
    judging = judge(server)
    found = judging.scores(RerankQuery("red"), candidates("red", "blue"))
    assert found.values == [None, 2] and sum(found.reasons.values()) == 1
    assert judging.scores(RerankQuery("red"), candidates("red", "blue")).values == [9, 2]
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    "answer",
    [
        '{"score": 7}',
        '```json\n{"score": 7.0}\n```',
        "7",
        "Score: 7/10",
        "<think>3?</think>7 out of 10.",
        '{"Score": "7"}\nThe coat is red.',
        "<|begin_of_box|>7<|end_of_box|>",
    ],
)
def test_a_score_is_found_in_every_usual_form(answer):
    assert read_score(answer) == "7"


def test_a_judge_keeps_to_its_time(server):
    over = threading.Event()
    server.script = [None, *[lambda handler: over.wait(60)] * 3]
    found = judge(server, "seconds=3").scores(RerankQuery("red"), candidates("red", "blue", "red", "blue"))
    assert not over.is_set()  # the server still thinks
    over.set()
    assert found.values == [9, None, None, None] and found.reasons == Counter({"no answer in time": 3})


@pytest.mark.parametrize("trouble", [status(500), status(401), content(b"<html>")])
def test_a_server_in_trouble_leaves_the_hits_as_they_were(server, trouble):
    server.script = [trouble] * 2
    found = judge(server).scores(RerankQuery("red"), candidates("red", "blue"))
    assert found.values == [None, None]
    assert found.told("m") == "0 of 2 hits by m" and found.why.startswith("2: ")


def test_a_score_that_cannot_be_kept_leaves_its_hit_where_it_was(server, tmp_path):
    judging = judge(server, f"cache={tmp_path / 'folder' / 'scores.jsonl'}")
    (tmp_path / "folder").write_text("a file")
    found = judging.scores(RerankQuery("red"), candidates("blue"))
    assert found.values == [None] and found.why.startswith("1: the score could not be kept (")


def test_names_for_everyone_hold_no_folder_and_no_address(server, cross_encoder):
    judging = reranker_of(server.url, ["model=/srv/models/judge"])
    assert (judging.name, reranker_of(cross_encoder).name) == ("judge", Path(cross_encoder).name)


class Backwards:
    """Turns the first hits round."""

    name, top = "backwards", 20

    def scores(self, question, candidates):
        self.asked = question
        return HitScores(list(range(len(candidates))))


@pytest.fixture
def shop(tmp_path):
    store = create_store(str(tmp_path / "index"), manifest())
    store.write([entry(number, vector, thumbnail=PHOTO) for number, vector in enumerate(unit(60))])
    store.finish()
    index = ProductIndex(store)
    yield index
    index.close()


@pytest.mark.parametrize("step", [1, 7, 20, 33])
def test_pages_of_reranked_hits_join_to_the_whole(shop, step):
    query = IndexQuery(unit(1, seed=4), "red", products=("id 5",))
    plain = [hit.product_id for hit in search(shop, query, 60).hits]
    expected = plain[19::-1] + plain[20:]
    found, offset = [], 0
    while offset is not None:
        page = search(shop, query, step, offset=offset, reranker=Backwards())
        found += [hit.product_id for hit in page.hits]
        assert ("reranked" in page.told) == (len(found) - len(page.hits) < 20)
        offset = page.next_offset
    assert found == expected and len(set(found)) == 59


def test_a_reranker_sees_the_photos_of_the_query_and_nothing_is_asked_without_a_question(shop):
    reranker = Backwards()
    looks = [Look(vector) for vector in unit(3)]
    large = Image.new("RGBA", (2000, 10))
    photos = joined([QueryPhoto(looks[0], 1, large), QueryPhoto(looks[1], 2, PHOTO), QueryPhoto(looks[2], -0.5, PHOTO)])
    search(shop, alike(photos), 3, reranker=reranker)
    asked = reranker.asked
    sides = [Image.open(io.BytesIO(jpeg)).size[0] for jpeg in (*asked.photos, *asked.unlike)]
    assert sides == [512, 40, 40] and len(asked.unlike) == 1
    told = words_of({"messages": messages(asked, *candidates("red"))}).split("\n")
    assert told[:3] == ["The shopper's photo:"] * 2 + ["A photo of what the shopper does not want:"]
    assert not search(shop, IndexQuery(unit(1)), 3, reranker=reranker).told


def test_no_reranker_is_asked_about_products_in_another_order(shop):
    query, reranker = IndexQuery(unit(1), "red"), Backwards()
    found = search(shop, query, 5, reranker=reranker, order=Order("colour"))
    assert not hasattr(reranker, "asked") and found.hits == search(shop, query, 5, order=Order("colour")).hits


def test_hits_without_a_score_keep_their_places():
    assert reordered("abcdef", [1, None, 5, 0, None, 5]) == list("cbfaed")


def test_a_cross_encoder_reads_descriptions_and_tags(cross_encoder):
    from sentence_transformers import CrossEncoder

    found = reranker_of(cross_encoder).scores(RerankQuery("in red", kept={"garment": "tee"}), candidates("red", "blue"))
    pairs = [("tee, in red", "A tee, 0; colour: red"), ("tee, in red", "A tee, 1; colour: blue")]
    assert found.values == pytest.approx(CrossEncoder(cross_encoder, device="cpu").predict(pairs).tolist())
    assert len(set(found.values)) == 2
    none = reranker_of(cross_encoder).scores(RerankQuery(photos=[PHOTO]), candidates("red"))
    assert none.told("x") == "0 of 1 hits by x" and none.why == "1: it compares words, and there are none"


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """An untrained BERT of two layers."""
    pytest.importorskip("sentence_transformers")
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("cross")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "tee", "in", "red", "blue", "colour", "0", "1", ",", ";", ":"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 1}
    torch.manual_seed(0)  # the same scores in any order of the tests
    BertForSequenceClassification(BertConfig(vocab_size=len(words), **shape)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


def test_mistakes_are_one_line(monkeypatch, tmp_path):
    for source, settings, message in (
        (None, ["top=3"], "belongs to --reranker"),
        ("http://localhost:9/v1", [], "needs model=NAME"),
        ("http://localhost:9/v1", ["model=m", "top=0"], "top must be at least 1"),
        ("http://localhost:9/v1", ["model=m", "colour=red"], "colour"),
        (str(tmp_path), [], "cannot load cross-encoder"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            reranker_of(source, settings)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match=r"pip install 'e2-fashion\[rerank\]'"):
        reranker_of(str(tmp_path))


def test_no_score_is_refused():
    with pytest.raises(NoCaption, match="not a score from 0 to 10"):
        read_score("I cannot see it")
