"""``clip``: the global image-text loss only, i.e. plain fine-tuning (CLIP-FT)."""

from e2.methods.base import Method


class Clip(Method):
    may_go_round = True
