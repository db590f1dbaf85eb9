"""Chooses a split for tuning, so that no setting is chosen on the evaluated products."""

from e2.errors import InputError

PREFERRED = ("val", "train")


def tuning_split(spec: str, measured: str | None, purpose: str) -> str:
    """Returns ``val`` if SPEC has it and it is not the ``measured`` split, else ``train``; ``purpose`` begins the message.

    Raises:
        InputError: there is no other split.
    """
    from e2.data import splits_of

    others = [name for name in PREFERRED if name in splits_of(spec) and name != measured]
    if not others:
        there = ", ".join(splits_of(spec))
        raise InputError(
            f"{purpose} on val or train, but {spec} has {there} and {measured} is evaluated; give a folder with both"
        )
    return others[0]
