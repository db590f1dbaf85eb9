"""Words changes of tags: five wordings for each kind of change, "in black instead of navy blue" and the like."""

from collections.abc import Sequence
from typing import NamedTuple

from e2.benchmarks.composed.data.garment import PLACES, plain_name
from e2.data.product import values_of

WORDINGS = 5

_LEADS = ("", "is ", "the same, but ", "change ", "I want it ")  # said once before all changes of a wish
_JOINERS = (" and ", " and ", " and ", " and ", ", and ")  # between two changes
_WORDED = {  # kind of change -> continuation of each lead
    "colour": "in {new} instead of {old} | {new} rather than {old} | "
    "in {new} | the colour from {old} to {new} | in {new}, not {old}",
    "brand": "by {new} instead of {old} | by {new} rather than {old} | "
    "by {new} | the brand from {old} to {new} | by {new}, not by {old}",
    "season": "for {new} instead of {old} | for {new} rather than {old} | "
    "for {new} | the season from {old} to {new} | for {new}, not for {old}",
    "material": "made of {new} instead of {old} | made of {new} rather than {old} | "
    "made of {new} | the material from {old} to {new} | made of {new}, not of {old}",
    "type": "as {new} instead of {old} | {new} rather than {old} | "
    "as {new} | the type from {old} to {new} | as {new}, not as {old}",
    "gender": "for {new} instead of {old} | for {new} rather than {old} | "
    "for {new} | the wearer from {old} to {new} | for {new}, not for {old}",
    "usage": "for {new} wear instead of {old} wear | for {new} rather than {old} wear | "
    "for {new} wear | the use from {old} to {new} | for {new} wear, not {old}",
    "other": "with the {entity} {new} instead of {old} | of the {entity} {new} rather than {old} | "
    "with the {entity} {new} | the {entity} from {old} to {new} | with the {entity} {new}, not {old}",
}
_TAILS = {kind: tails.split(" | ") for kind, tails in _WORDED.items()}
_KINDS = {  # names of tags in catalogues, spelled by `plain_name` -> kind of change
    **dict.fromkeys(("color", "basecolor"), "colour"),
    **dict.fromkeys(("brand", "maker", "designer"), "brand"),
    "season": "season",
    **dict.fromkeys(("composition", "material", "fabric"), "material"),
    **dict.fromkeys(PLACES, "type"),
    "gender": "gender",
    **dict.fromkeys(("usage", "occasion"), "usage"),
}
_DESCRIBED = {  # a tag's wording in a description
    "colour": "in {}",
    "brand": "by {}",
    "season": "for {}",
    "material": "made of {}",
    "gender": "for {}",
    "usage": "for {} wear",
}
_FRAMES = ("{}", "show me {}", "I am looking for {}", "it should be {}", "{}, please")


class Change(NamedTuple):
    """One tag and its two values."""

    entity: str
    old: str
    new: str


def wish(changes: Sequence[Change], wording: int) -> str:
    """Words a change of one or several tags, in one of the five wordings.

    Example:
        >>> wish([Change("colour", "Navy Blue", "Black")], 0)
        'in black instead of navy blue'
    """
    tails = []
    for change in changes:
        kind = kind_of(change.entity)
        old, new = (_spoken(kind, value) for value in (change.old, change.new))
        tails.append(_TAILS[kind][wording].format(old=old, new=new, entity=change.entity.replace("_", " ")))
    return _LEADS[wording] + _JOINERS[wording].join(tails)


def description(tags: dict[str, str], wording: int) -> str:
    """Describes a product by all its tags.

    Example:
        >>> description({"colour": "Red", "sub_category": "Dress", "brand": "Zeta"}, 1)
        'show me a dress in red by Zeta'
    """
    thing, qualities = "something", []
    for entity, value in tags.items():
        kind = kind_of(entity)
        if kind == "type":
            thing = _spoken(kind, value)
        else:
            qualities.append(_DESCRIBED.get(kind, f"with the {entity.replace('_', ' ')} {{}}").format(_spoken(kind, value)))
    return _FRAMES[wording].format(" ".join([thing, *qualities]))


def kind_of(entity: str) -> str:
    """Kind of change that a tag's name implies."""
    return _KINDS.get(plain_name(entity), "other")


def _spoken(kind: str, tag: str) -> str:
    """Words a tag inside a sentence: brands keep their capitals, single things get an article, several values an *and*."""
    return " and ".join(_spoken_value(kind, value) for value in values_of(tag))


def _spoken_value(kind: str, value: str) -> str:
    if kind == "brand":
        return value
    value = value.lower()
    if kind == "gender" and value == "unisex":
        return "everyone"
    if kind == "type" and (not value.endswith("s") or value.endswith("ss")):
        return f"{'an' if value[:1] in 'aeiou' else 'a'} {value}"
    return value
