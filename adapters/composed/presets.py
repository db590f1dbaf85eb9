"""Query presets of papers: joining of a wish's captions, and the text around a pseudo-word.

FashionIQ gives two captions per query, and each choice here moves R@10 by points, so its name is in the results.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from e2.errors import InputError, require_choice

_MARKS = ".?, "  # characters that SEARLE strips off both ends of a caption


@dataclass(frozen=True)
class QueryPreset:
    """Style of writing a query.

    Attributes:
        name: the preset's name for users.
        joiner: between captions.
        stripped: whether captions lose full stops, commas, question marks and spaces at both ends.
        capitalised: whether the first caption is capitalised (which lower-cases the rest of it).
        orders: ``forward``, ``reversed`` or both (queries averaged).
        around: text before and after a pseudo-word, followed by the wish; None = no pseudo-word.
    """

    name: str
    joiner: str = " and "
    stripped: bool = True
    capitalised: bool = False
    orders: tuple[str, ...] = ("forward",)
    around: tuple[str, str] | None = None

    def join(self, captions: Sequence[str]) -> list[str]:
        """Joins the captions of one wish, once for each order."""
        if not captions:
            raise InputError("a wish of no captions; give at least one")
        parts = [caption.strip(_MARKS) for caption in captions] if self.stripped else list(captions)
        if self.capitalised:
            parts[0] = parts[0].capitalize()
        directions = {"forward": parts, "reversed": parts[::-1]}
        return [self.joiner.join(directions[order]) for order in self.orders]

    def around_word(self, wish: str) -> tuple[str, str]:
        """Text before and after the pseudo-word in the wish's sentence.

        Raises:
            InputError: the preset has no place for a pseudo-word.
        """
        before, _, behind = self.prompt("\0", wish).partition("\0")
        return before, behind

    def prompt(self, word: str, wish: str) -> str:
        """Joins a pseudo-word (or its placeholder) and the wish in one sentence.

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
    """Returns the preset of that name.

    Raises:
        InputError: there is none.
    """
    require_choice("query preset", name, PRESETS)
    return PRESETS[name]
