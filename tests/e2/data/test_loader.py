import io
import itertools
import math
import multiprocessing
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from e2.data import Product, load_image, open_catalogue
from e2.data.draw import Portion, epoch_order
from e2.data.loader import Collate, StepSampler, TrainingView, TrainingViews, worker_options
from e2.data.transforms import training_transform
from e2.factory import create_model_and_transforms, get_tokenizer
from tests.conftest import TAGS


def steps(sampler):
    return [[index for _, index in batch] for batch in sampler]


def test_each_epoch_is_a_fresh_permutation_without_repeats():
    sampler = StepSampler(103, 10, start=0, stop=20, seed=1)
    batches = steps(sampler)
    first, second = sum(batches[:10], []), sum(batches[10:], [])
    assert len(set(first)) == len(set(second)) == 100
    assert first != second


def test_a_later_start_gives_the_same_batches():
    through = steps(StepSampler(50, 8, start=0, stop=30, seed=4))
    assert steps(StepSampler(50, 8, start=13, stop=30, seed=4)) == through[13:]


def test_processes_share_every_batch_without_loss_or_doubles():
    whole = steps(StepSampler(50, 8, start=0, stop=6, seed=4))
    parts = [steps(StepSampler(50, 8, start=0, stop=6, seed=4, rank=rank, world=3)) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert sorted(sum((part[step] for part in parts), [])) == sorted(batch)


def test_fewer_products_than_a_batch_make_one_batch():
    sampler = StepSampler(5, 128, start=0, stop=2, seed=0)
    assert sampler.steps_per_epoch == 1
    assert [sorted(batch) for batch in steps(sampler)] == [[0, 1, 2, 3, 4]] * 2


def test_one_catalogue_is_shown_in_the_order_that_its_runs_have_had():
    naive = [np.random.default_rng((4, epoch)).permutation(50)[:48].tolist() for epoch in range(3)]
    keys = sum(StepSampler([Portion(50)], 8, start=0, stop=18, seed=4), [])
    assert keys == [(epoch, index) for epoch, order in enumerate(naive) for index in order]


def test_several_catalogues_are_shown_by_their_weights():
    portions = [Portion(100), Portion(40, 0.5), Portion(30, 2.5)]
    orders = [epoch_order(portions, 7, epoch) for epoch in range(4)]
    owner = [np.searchsorted([100, 140, 170], order[:, 1], side="right") for order in orders]
    assert [np.bincount(found).tolist() for found in owner] == [[100, 20, 75]] * 4
    shown = Counter(np.concatenate(orders)[:, 1].tolist())  # all of a catalogue equally often
    assert [{shown[i] for i in rows} for rows in (range(100), range(100, 140), range(140, 170))] == [{4}, {2}, {10}]
    seen = Counter(map(tuple, np.concatenate(orders).tolist()))
    assert set(seen.values()) == {1}  # another view each time
    for start in range(0, 195, 39):  # each fifth of an epoch has its share of each
        counts = np.bincount(owner[0][start : start + 39], minlength=3)
        assert np.abs(counts - [20, 4, 15]).max() <= 2
    assert not np.array_equal(orders[0], epoch_order(portions, 8, 0))


def test_several_catalogues_resume_and_are_shared_among_processes():
    portions = [Portion(30), Portion(13, 1.7)]
    through = list(StepSampler(portions, 6, start=0, stop=30, seed=4))
    assert list(StepSampler(portions, 6, start=11, stop=30, seed=4)) == through[11:]
    shares = [list(StepSampler(portions, 6, start=0, stop=30, seed=4, rank=rank, world=2)) for rank in range(2)]
    assert [sorted(left + right) for left, right in zip(*shares, strict=True)] == [sorted(batch) for batch in through]
    assert StepSampler(portions, 100, start=0, stop=1, seed=4).batch_size == 52


def test_products_drawn_with_replacement_keep_the_weights_and_are_seen_anew():
    portions = [Portion(1000, replacement=True), Portion(400, 0.5, replacement=True)]
    orders = [epoch_order(portions, 7, epoch) for epoch in range(3)]
    assert [len(order) for order in orders] == [1200] * 3 and not np.array_equal(orders[0][:, 1], orders[1][:, 1])
    assert np.array_equal(orders[2], epoch_order(portions, 7, 2))
    for order in orders:
        first, second = order[order[:, 1] < 1000], order[order[:, 1] >= 1000]
        assert (len(first), len(second)) == (1000, 200)
        assert abs(len(set(first[:, 1].tolist())) / 1000 - (1 - 1 / math.e)) < 0.05  # of draws with replacement
    assert all(count == 1 for count in Counter(map(tuple, np.concatenate(orders).tolist())).values())  # another view each time
    through = list(StepSampler(portions, 100, start=0, stop=30, seed=4))
    assert list(StepSampler(portions, 100, start=17, stop=30, seed=4)) == through[17:]


def views(shop, tiny, seed=0, text="caption"):
    catalogue = open_catalogue(str(shop), "train", tags=TAGS)
    visual = create_model_and_transforms(tiny)[0].visual
    return TrainingViews(catalogue, training_transform(visual, "strong"), TAGS, text=text, prompt="{entity}: {tag}", seed=seed)


def test_a_view_depends_on_seed_epoch_and_product_only(shop, tiny):
    first = views(shop, tiny)
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    image = first[(0, 5)].image
    assert torch.equal(torch.random.get_rng_state(), before)  # the model's noise is not disturbed
    assert torch.equal(image, views(shop, tiny)[(0, 5)].image)
    assert not torch.equal(image, first[(1, 5)].image)
    assert not torch.equal(image, views(shop, tiny, seed=1)[(0, 5)].image)


def test_views_of_large_photos_are_what_whole_decoding_gives(shop, tiny):
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    contents = io.BytesIO()
    coarse.resize((1216, 912), Image.Resampling.BICUBIC).save(contents, "JPEG", quality=92)
    data = views(shop, tiny)
    data.catalogue = [Product("a", (contents.getvalue(),), ("A tee",))]
    assert load_image(contents.getvalue(), data.transform.enough).size == (152, 114)
    fast = data[(0, 0)].image
    data.transform.enough = None
    assert (fast - data[(0, 0)].image).abs().mean() < 0.02  # of values with unit variance


def test_a_batch_holds_each_text_once_and_marks_missing_tags(shop, tiny):
    data = views(shop, tiny)
    batch, lost = Collate(get_tokenizer("e2-nano"))([data[(0, i)] for i in (0, 1, 4)])  # product 0 has no brand
    assert lost == ()
    tokenizer = get_tokenizer("e2-nano")
    assert batch.images.shape == (3, 3, 32, 32)
    assert batch.tag_index[0, 0] == -1
    assert batch.tag_index[0, 2] == batch.tag_index[2, 2]  # products 0 and 4 share their colour
    expected = tokenizer(["A red tee number 0", "A green tee number 1", "A red tee number 4"])
    assert torch.equal(batch.tokens[batch.text_index], expected)
    assert torch.equal(batch.tokens[batch.tag_index[1, 0]], tokenizer(["brand: Puma"])[0])
    assert len(batch.tokens) == len({tuple(row.tolist()) for row in batch.tokens})


def test_the_full_text_adds_the_tags_in_words(shop, tiny):
    assert views(shop, tiny, text="full")[(0, 1)].text == "A green tee number 1. Puma. Winter. green"


def test_mixed_texts_are_descriptions_and_short_lists_of_tags(shop, tiny):
    mixed, plain = views(shop, tiny, text="mixed"), views(shop, tiny)
    seen = Counter(mixed[(epoch, 1)].text for epoch in range(200))
    assert 80 <= seen.pop("A green tee number 1") <= 120
    tags = {"Puma", "Winter", "green"}
    assert set(seen) == {" ".join(some) for count in (1, 2, 3) for some in itertools.permutations(tags, count)}
    assert mixed[(3, 1)].text == views(shop, tiny, text="mixed")[(3, 1)].text  # drawn by seed, epoch and product alone
    assert torch.equal(mixed[(0, 1)].image, plain[(0, 1)].image)  # and the photo as without


def test_a_product_of_several_values_names_each_in_the_batch(tiny):
    tags = [(("red", "blue"), ()), (("Blue",), ("Nike",)), ((), ("nike", "Puma", "Fila"))]
    seen = [TrainingView(torch.zeros(3, 8, 8), "a tee", tag) for tag in tags]
    batch = Collate(get_tokenizer(tiny))(seen).batch
    first, second, third = batch.tag_index.tolist()
    assert first == [[1, 2, -1], [-1, -1, -1]] and second == [[2, -1, -1], [3, -1, -1]] and third == [[-1, -1, -1], [3, 4, 5]]
    assert torch.equal(batch.value_index, batch.tag_index)


def test_texts_of_the_same_tokens_are_one_however_they_are_spelt(tiny):
    """Case, spaces and what lies beyond the context length never reach the model: no rivals to it."""
    tags = [(("Nike",), ("Red",)), (("nike",), ()), (("NIKE ",), ("red",)), (("Puma",), ("blue",))]
    long = "word " * 90
    texts = ["A tee", "a  TEE", long + "one", long + "two"]
    seen = [TrainingView(torch.zeros(3, 8, 8), text, tag) for text, tag in zip(texts, tags, strict=True)]
    batch = Collate(get_tokenizer(tiny))(seen).batch
    assert batch.text_index.tolist() == [0, 0, 1, 1]
    assert batch.tag_index.tolist() == [[2, 3], [2, -1], [2, 3], [4, 5]]
    assert len(batch.tokens) == len(batch.text_keys) == len(batch.text_keys.unique()) == 6
    assert torch.equal(batch.tokens, get_tokenizer(tiny)(["a tee", long, "nike", "red", "puma", "blue"]))


@pytest.mark.parametrize(
    ("known", "chosen", "taken"),
    [
        (["forkserver", "spawn", "fork"], None, "fork"),  # Python 3.14 on Linux
        (["forkserver", "spawn", "fork"], "forkserver", "forkserver"),  # as asked for
        (["fork", "spawn", "forkserver"], None, None),
        (["spawn"], None, None),
    ],
)
def test_workers_hang_on_no_server_that_a_signal_ends(known, chosen, taken, monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: known)
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: chosen)
    assert worker_options(0) == {} and worker_options(2)["multiprocessing_context"] == taken
    assert next(iter(torch.utils.data.DataLoader([7], **worker_options(0)))).item() == 7
