"""Captions held to facts, by hand-written captions."""

import pytest

from e2.adapters.captioning.facts import Facts, sure_facts
from e2.data import open_catalogue
from e2.errors import InputError

VOCABULARY = {
    "brand": ["Nike", "Puma", "United Colors of Benetton", "Red Tape"],
    "colour": ["Red", "Blue", "White", "Navy Blue"],
    "gender": ["Men", "Women"],
    "material": ["Leather"],
}


@pytest.mark.parametrize(
    ("caption", "tags", "held"),
    [
        ("Nike Men Blue T-shirt", {"brand": "Puma", "gender": "Men", "colour": "Blue"}, "Puma Men Blue T-shirt"),
        ("Nike Men Blue T-shirt", {"gender": "Men"}, "Men T-shirt"),
        ("nike t-shirt", {}, "t-shirt"),
        ("A shirt in blue and white by Nike.", {}, "A shirt."),
        ("A shirt in blue and white by Nike.", {"colour": "Red"}, "A shirt in Red."),
        ("A shirt in blue and white by Nike.", {"colour": "White"}, "A shirt in white."),
        ("A shirt in blue and white by Nike.", {"colour": "Blue | White"}, "A shirt in blue and white."),
        ("red tape red shoes", {"brand": "Puma", "colour": "Red"}, "Puma red shoes"),
        ("RED-TAPE shoes", {"brand": "Red Tape"}, "RED-TAPE shoes"),
        ("United Colors of Benetton Women navy-blue top", {"brand": "Nike", "gender": "Women"}, "Nike Women top"),
        ("Nike", {}, ""),
        ("A faux-leather bag in leather look", {"material": "Leather"}, "A faux-leather bag in leather look"),
        ("A PU leather bag with leather strap", {}, "A PU leather bag with strap"),
        ("A coat of wool", {"brand": "Nike"}, "A coat of wool"),
    ],
)
def test_own_tags_stand_and_others_go(caption, tags, held):
    assert Facts(VOCABULARY).hold(caption, tags) == held


def test_other_names_of_a_value_claim_it():
    facts = Facts({"composition": ["elastane", "cotton"]}, synonyms={"composition": {"elastane": ["spandex"]}})
    assert facts.hold("A spandex top in cotton", {"composition": "cotton | elastane"}) == "A spandex top in cotton"
    assert facts.hold("A spandex top", {"composition": "cotton"}) == "A cotton top"


def test_sure_entities_stand_as_stated():
    facts = Facts(VOCABULARY, own=False, sure=("gender",))
    assert facts.hold("Nike Men Blue T-shirt", {"brand": "Nike", "gender": "Women"}) == "Men T-shirt"


class Written:
    """A captioner of given captions."""

    def __init__(self, captions):
        self.captions = captions

    def caption(self, images, **_):
        return self.captions[: len(images)]


def test_sure_is_what_is_stated_rightly_often_enough(shop):
    labelled = open_catalogue(str(shop), "train", tags=("brand", "colour"))
    products = [labelled[row] for row in range(len(labelled))]
    vocabulary = {"brand": sorted({p.tags["brand"] for p in products if "brand" in p.tags}), "colour": ["violet"]}
    right = Written([p.tags.get("brand", "a") + " tee in violet" for p in products])
    facts, counts = sure_facts(right, labelled, vocabulary)
    assert facts.sure == ("brand",) and counts["brand"][0] == counts["brand"][1] >= 10 and counts["colour"][0] == 0
    wrong = Written(["violet"] * len(products))
    assert sure_facts(wrong, labelled, vocabulary)[0].sure == ()
    with pytest.raises(InputError, match="no photo with tags"):
        sure_facts(right, open_catalogue(str(shop), "train", tags=()), vocabulary)
