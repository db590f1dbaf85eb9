"""The short prompt that tells a decoder which tags the photo shows.

``tags``: entity and value, e.g. ``brand Nike, colour Red:``. ``entities``: ViECap's sentence (arXiv 2307.16525), e.g.
``There are Nike, Red in image.``. In training the true tags of the text stand there, each left out now and then, so that the
decoder learns to do with fewer; at inference the tags that were read off the photo.
"""

from collections.abc import Mapping

import numpy as np

PROMPTS = ("none", "tags", "entities")


def prompt_text(kind: str, tags: Mapping[str, str]) -> str:
    """The prompt of one text or photo; never empty except for ``none``, so that the decoder knows where it ends."""
    if kind == "none":
        return ""
    if kind == "tags":
        return ", ".join(f"{entity} {value}" for entity, value in tags.items()) + ":"
    return f"There are {', '.join(tags.values())} in image." if tags else "There is something in image."


def drop_tags(tags: Mapping[str, str], dropout: float, random: np.random.Generator) -> dict[str, str]:
    """Each tag stays with probability 1 - dropout."""
    keep = random.random(len(tags)) >= dropout
    return {entity: value for (entity, value), kept in zip(tags.items(), keep, strict=True) if kept}
