"""An index's address as it may be printed."""

import re

USER = re.compile(r"^(\w+://).*@")  # user and password of a URI


def shown(address: str) -> str:
    """Shows an index's address in messages and records: a URI without user and password."""
    return USER.sub(r"\1", address)
