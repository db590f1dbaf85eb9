"""Which other split of a catalogue settings are found on, so that none is chosen on the products that are measured."""

from e2.errors import InputError

PREFERRED = ("val", "train")


def tuning_split(spec: str, measured: str | None, purpose: str) -> str:
    """``val`` where there is one that is not measured, else ``train``.

    Args:
        spec: of the data source.
        measured: the split that the metrics are of.
        purpose: what is found on the other one, for the message.

    Raises:
        InputError: there is no other split.
    """
    from e2.data import splits_of

    others = [name for name in PREFERRED if name in splits_of(spec) and name != measured]
    if not others:
        there = ", ".join(splits_of(spec))
        raise InputError(
            f"{purpose} on val or train, but {spec} has {there} and {measured} is measured; give a folder with both"
        )
    return others[0]
