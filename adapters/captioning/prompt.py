"""Writes the short prompt that names the photo's tags to the decoder.

``tags``: entity and value, e.g. ``brand Nike, colour Red:``. ``entities``: ViECap's sentence (arXiv 2307.16525), e.g. ``There
are Nike, Red in image.``. In training it names the true tags, some dropped at random, so that the decoder copes with fewer; at
inference, the tags read from the photo.
"""

from collections.abc import Mapping

import numpy as np


def prompt_text(kind: str, tags: Mapping[str, str]) -> str:
    """Writes the prompt of one text or photo; never empty except for ``none``, so that the decoder knows where it ends."""
    if kind == "none":
        return ""
    if kind == "tags":
        return ", ".join(f"{entity} {value}" for entity, value in tags.items()) + ":"
    return f"There are {', '.join(tags.values())} in image." if tags else "There is something in image."


def drop_tags(tags: Mapping[str, str], dropout: float, random: np.random.Generator) -> dict[str, str]:
    """Keeps each tag with probability 1 - dropout."""
    keep = random.random(len(tags)) >= dropout
    return {entity: value for (entity, value), kept in zip(tags.items(), keep, strict=True) if kept}
