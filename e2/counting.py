"""Numbers with their nouns."""


def counted(number: float, noun: str) -> str:
    """A number and what it counts: ``1 query``, ``1,200 queries``, ``0.5 epochs``; ``noun`` is in the singular."""
    return f"{number:,} {noun if number == 1 else plural(noun)}".replace(".0 ", " ")


def plural(noun: str) -> str:
    """``product`` -> ``products``, ``query`` -> ``queries``, ``wish`` -> ``wishes``."""
    if noun.endswith("y"):
        return f"{noun[:-1]}ies"
    return f"{noun}{'es' if noun.endswith(('s', 'sh')) else 's'}"
