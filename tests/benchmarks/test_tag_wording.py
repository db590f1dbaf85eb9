"""A tag is worded in use as it was in training, wherever its text is made."""

from types import SimpleNamespace

import pytest
import torch

from e2.adapters.tag_reader import TagReader
from e2.benchmarks.grounding.maps import tag_texts
from e2.data.loader import TrainingViews
from e2.data.product import Product
from e2.training.validation import tag_accuracy
from tests.benchmarks.stubs import Shelf, png

PROMPT, ENTITY = "{entity}: {tag}", "sub_category"
SHELF = Shelf([Product(str(row), (png("red"),), ("A look",), {ENTITY: tag}) for row, tag in enumerate(["Dress", "Coat"])])


class Heard(Exception):
    """Texts that reached the text encoder."""


def hear(texts, **_):
    raise Heard(sorted(texts))


def listening_encoder():
    return SimpleNamespace(encode_texts=hear, tags=(ENTITY,), loss={"region_prompt": PROMPT})


def training_views():
    return TrainingViews(SHELF, lambda photo: torch.zeros(3), (ENTITY,), text="caption", prompt=PROMPT, seed=0)


PLACES = {
    "a training batch": lambda: hear(training_views()[(0, row)].tags[0][0] for row in range(2)),
    "texts cached before training": lambda: hear(training_views().texts(row)[1] for row in range(2)),
    "validation": lambda: tag_accuracy(None, torch.eye(2), SHELF, (ENTITY,), hear, PROMPT),
    "tags read off photos": lambda: TagReader(listening_encoder(), {ENTITY: ["Dress", "Coat"]}),
    "grounding": lambda: tag_texts(listening_encoder(), [product.tags for product in SHELF.products], [ENTITY]),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tag_is_worded_alike_everywhere(place):
    with pytest.raises(Heard) as heard:
        PLACES[place]()
    assert heard.value.args[0] == ["sub category: Coat", "sub category: Dress"]
