"""Query presets: how papers join the captions of a wish, and what they put around a pseudo-word.

FashionIQ gives two captions a query, and each choice here moves R@10 by points; so each has a name that stands in results.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from e2.errors import InputError

_MARKS = ".?, "  # what SEARLE strips off both ends of a caption


@dataclass(frozen=True)
class QueryPreset:
    """One way to write a query.

    Attributes:
        name: as users type it.
        joiner: between captions.
        stripped: whether captions lose full stops, commas, question marks and spaces at both ends.
        capitalised: whether the first caption is capitalised (which lower-cases the rest of it).
        orders: ``forward``, ``reversed`` or both (queries averaged).
        around: what stands before and behind a pseudo-word, the wish following; None = no place for one.
    """

    name: str
    joiner: str = " and "
    stripped: bool = True
    capitalised: bool = False
    orders: tuple[str, ...] = ("forward",)
    around: tuple[str, str] | None = None

    def join(self, captions: Sequence[str]) -> list[str]:
        """The captions of one wish -> one wish for each order."""
        if not captions:
            raise InputError("a wish of no captions; give at least one")
        parts = [caption.strip(_MARKS) for caption in captions] if self.stripped else list(captions)
        if self.capitalised:
            parts[0] = parts[0].capitalize()
        directions = {"forward": parts, "reversed": parts[::-1]}
        return [self.joiner.join(directions[order]) for order in self.orders]

    def around_word(self, wish: str) -> tuple[str, str]:
        """What stands before and behind the pseudo-word in the wish's sentence.

        Raises:
            InputError: the preset has no place for a pseudo-word.
        """
        before, _, behind = self.prompt("\0", wish).partition("\0")
        return before, behind

    def prompt(self, word: str, wish: str) -> str:
        """A pseudo-word (or the word that holds its place) and the wish in one sentence.

        Raises:
            InputError: the preset has no place for a pseudo-word.
        """
        if self.around is None:
            raise InputError(f"query preset {self.name!r} has no place for a pseudo-word; choose {', '.join(WITH_WORD)}")
        before, behind = self.around
        return f"{before}{word}{behind}{wish}"


_SEARLE = ("a photo of ", " that ")
PRESETS = {
    preset.name: preset
    for preset in (
        QueryPreset("bare"),  # CIReVL's joining, too
        QueryPreset("pic2word", stripped=False, orders=("reversed",), around=("a photo of ", " , ")),
        QueryPreset("searle", orders=("forward", "reversed"), around=_SEARLE),
        QueryPreset("searle_forward", around=_SEARLE),
        QueryPreset("clip4cir", capitalised=True),
        QueryPreset("fame_vil", joiner=", ", stripped=False),
    )
}
WITH_WORD = tuple(name for name, preset in PRESETS.items() if preset.around)


def query_preset(name: str) -> QueryPreset:
    """The preset of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"unknown query preset {name!r}; choose {', '.join(PRESETS)}")
    return PRESETS[name]
