"""``clip-pooled`` and ``multifield-pooled``: E2's tokens and parameters without its supervision, as controls.

As many learned queries pool the same features of the photo and reach the image embedding by the same gates and heads, but no
tag teaches them what to choose. What ``e2`` gains over these is due to *selection taught by tags*; what these gain over
``clip`` and ``multifield`` is due to capacity and a second look at the photo. With ``model.selector=uniform`` they choose
nothing and take the mean of all locations.
"""

from e2.methods.clip import Clip
from e2.methods.region import MultiField


class PooledClip(Clip):
    """Descriptions only, as ``clip``."""

    needs_tags = True  # for as many tokens as ``e2`` has
    uses_tokens = True


class PooledMultiField(MultiField):
    """Descriptions and tags contrasted with the image embedding, as ``multifield``."""

    uses_tokens = True
