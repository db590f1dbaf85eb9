"""An index's address as it may be printed."""

import re

USER = re.compile(r"^(\w+://).*@")  # user and password of a URI


def shown(place: str) -> str:
    """Shows an index's place in messages and records: a URI without user and password."""
    return USER.sub(r"\1", place)
