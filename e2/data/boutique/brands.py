"""The invented fashion houses: each is told from the others only by a small patch (shape, colours, place)."""

from dataclasses import dataclass

import numpy as np

# Glyphs in a square of -1..1, badges likewise with their half width and half height.
GLYPHS = {
    "star": "M 0 -1 L .26 -.34 L .95 -.31 L .42 .14 L .59 .81 L 0 .43 L -.59 .81 L -.42 .14 L -.95 -.31 L -.26 -.34 Z",
    "bolt": "M .25 -1 L -.65 .15 L -.08 .15 L -.3 1 L .65 -.3 L .06 -.3 Z",
    "leaf": "M -.8 .8 C -.9 -.4 -.1 -.95 .9 -.9 C .95 .2 .3 .95 -.5 .55 Z",
    "wave": "M -1 -.3 C -.6 -.9 -.3 -.9 0 -.3 C .3 .2 .6 .2 1 -.3 L 1 .4 C .6 .95 .3 .95 0 .4 C -.3 -.2 -.6 -.2 -1 .4 Z",
    "peak": "M -1 .75 L -.3 -.75 L .08 0 L .38 -.4 L 1 .75 Z",
    "crown": "M -.9 .7 L -.95 -.55 L -.42 .05 L 0 -.85 L .42 .05 L .95 -.55 L .9 .7 Z",
    "moon": "M .35 -.95 C -.9 -.95 -1.15 .9 .35 .95 C -.35 .5 -.35 -.5 .35 -.95 Z",
    "drop": "M 0 -1 C .3 -.45 .75 -.1 .7 .35 C .65 1.15 -.65 1.15 -.7 .35 C -.75 -.1 -.3 -.45 0 -1 Z",
    "heart": "M 0 .9 C -1.3 -.1 -.9 -.95 -.4 -.85 C -.15 -.8 0 -.55 0 -.4 C 0 -.55 .15 -.8 .4 -.85 C .9 -.95 1.3 -.1 0 .9 Z",
    "bars": (
        "M -.8 -.8 L -.4 -.8 L -.4 .8 L -.8 .8 Z M -.2 -.8 L .2 -.8 L .2 .8 L -.2 .8 Z M .4 -.8 L .8 -.8 L .8 .8 L .4 .8 Z"
    ),
    "cross": "M -.3 -.9 L .3 -.9 L .3 -.3 L .9 -.3 L .9 .3 L .3 .3 L .3 .9 L -.3 .9 L -.3 .3 L -.9 .3 L -.9 -.3 L -.3 -.3 Z",
    "arrow": "M 0 -.95 L .85 .05 L .35 .05 L .35 .9 L -.35 .9 L -.35 .05 L -.85 .05 Z",
    "bird": "M -1 -.5 C -.5 -.75 -.15 -.45 0 -.05 C .15 -.45 .5 -.75 1 -.5 C .55 -.3 .35 .1 0 .7 C -.35 .1 -.55 -.3 -1 -.5 Z",
    "clover": "M 0 0 C -1.1 -.1 -.9 -1.1 0 -.65 C .9 -1.1 1.1 -.1 0 0 C 1.1 .1 .9 1.1 0 .65 C -.9 1.1 -1.1 .1 0 0 Z",
    "gem": "M -.5 -.8 L .5 -.8 L 1 -.2 L 0 .95 L -1 -.2 Z",
    "chevron": "M -.9 -.7 L 0 -.1 L .9 -.7 L .9 .05 L 0 .75 L -.9 .05 Z",
}
BADGES = {
    "round": ("M -1 0 C -1 -.5523 -.5523 -1 0 -1 C .5523 -1 1 -.5523 1 0 C 1 .5523 .5523 1 0 1 "
"C -.5523 1 -1 .5523 -1 0 Z", 1, 1),
    "square": ("M -.75 -.95 L .75 -.95 Q .95 -.95 .95 -.75 L .95 .75 Q .95 .95 .75 .95 L -.75 .95 Q -.95 .95 -.95 .75 "
               "L -.95 -.75 Q -.95 -.95 -.75 -.95 Z", 0.95, 0.95),
    "shield": ("M -.9 -.95 L .9 -.95 L .9 .1 C .85 .6 .4 .9 0 1.1 C -.4 .9 -.85 .6 -.9 .1 Z", 0.9, 1.03),
    "diamond": ("M 0 -1.2 L 1.2 0 L 0 1.2 L -1.2 0 Z", 1.2, 1.2),
    "hexagon": ("M -.55 -.95 L .55 -.95 L 1.1 0 L .55 .95 L -.55 .95 L -1.1 0 Z", 1.1, 0.95),
    "ribbon": ("M -1.3 -.72 L 1.3 -.72 L 1.3 .72 L -1.3 .72 Z", 1.3, 0.72),
    "oval": ("M -1.3 0 C -1.3 -.45 -.7 -.82 0 -.82 C .7 -.82 1.3 -.45 1.3 0 C 1.3 .45 .7 .82 0 .82 "
"C -.7 .82 -1.3 .45 -1.3 0 Z",
             1.3, 0.82),
    "pennant": ("M -1 -.95 L 1 -.95 L 1 1 L 0 .6 L -1 1 Z", 1, 0.98),
}  # fmt: skip
# Name of a colouring -> patch, glyph.
COLOURINGS = {
    "gold on black": ("#1d1c1f", "#e0b350"),
    "white on red": ("#c22f36", "#fbf7f0"),
    "white on blue": ("#2457a6", "#fbf7f0"),
    "black on white": ("#f7f4ec", "#1d1c1f"),
    "red on cream": ("#f0e3c6", "#b3272f"),
    "yellow on green": ("#1f6b4a", "#f4d35e"),
    "navy on yellow": ("#f0c33c", "#1f2c56"),
    "pink on plum": ("#5a2450", "#f3a9bd"),
    "orange on slate": ("#3b4a57", "#f08a3c"),
    "white on teal": ("#178a8c", "#fbf7f0"),
    "brown on tan": ("#cf9f66", "#4d2d1a"),
    "lime on charcoal": ("#33363a", "#b7d84b"),
}
PLACES = ("left", "right", "low")  # as the viewer sees it; each silhouette says where these lie


@dataclass(frozen=True)
class Brand:
    """A house and its mark."""

    name: str
    glyph: str
    badge: str
    colouring: str
    place: str

    @property
    def half_size(self) -> tuple[float, float]:
        """Half width and half height of the patch at scale 1."""
        return BADGES[self.badge][1], BADGES[self.badge][2]


_NAMES = (
    "Aldermoor", "Brixenholt", "Calunda", "Norvik Sund", "Eskarra", "Fennimore Row", "Galvane", "Hollin & Pike",
    "Isolde Marr", "Jorvane", "Kestrelby", "Lumacove", "Marrowgate", "Dovrelund", "Ostrelle", "Pellamy",
    "Quillonet", "Ravenmere", "Solvanti", "Tessaro", "Umberlane", "Velmora", "Wexcombe", "Xandrel",
    "Yarrowby", "Zephyrine", "Ambrelle", "Bastionne", "Corvello", "Dunmarrow", "Elmquist Dale", "Faroway",
    "Grimwald", "Havenloch", "Ilvastra", "Juniperra", "Kolbrae", "Lindqvarn", "Mistralle", "Nocturne Bay",
    "Orlandine", "Pomarelle", "Rookwell", "Sablewick", "Thistlewyn", "Ursavale", "Vantriss", "Windermoss",
)  # fmt: skip


def _houses() -> tuple[Brand, ...]:
    """Every glyph serves three houses, every badge six, every colouring four: no single trait gives a brand away."""
    glyphs, badges, colourings = list(GLYPHS), list(BADGES), list(COLOURINGS)
    return tuple(
        Brand(
            name,
            glyph=glyphs[i % 16],
            badge=badges[(i * 3 + i // 16 * 5 + i // 8) % 8],
            colouring=colourings[(i * 5 + i // 12) % 12],
            place=PLACES[(i + i // 16) % 3],
        )
        for i, name in enumerate(_NAMES)
    )


BRANDS = _houses()
_SHARES = 1.0 / (np.arange(len(BRANDS)) + 3.0) ** 0.9  # a flattened Zipf law: head 8 %, tail 0.7 %
_SHARES /= _SHARES.sum()


def sample_brand(rng: np.random.Generator) -> Brand:
    """A brand from the long tail."""
    return BRANDS[int(rng.choice(len(BRANDS), p=_SHARES))]
