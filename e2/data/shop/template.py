"""Captions from several fields: ``"{title}. {description}"``."""

import re
from collections.abc import Mapping, Sequence

from e2.errors import InputError

FIELD = re.compile(r"\{([^{}]*)\}")
STOPS = (".", "!", "?", "…")


class Template:
    """A caption with the names of fields in braces.

    >>> caption = Template("{title}. {description} Brand: {brand}")
    >>> caption({"title": "Red dress!", "description": "", "brand": "Nike"}), caption({"brand": "Nike"}), caption({})
    ('Red dress! Brand: Nike', 'Nike', '')
    """

    def __init__(self, text: str):
        self.text = text
        literals, self.fields = FIELD.split(text)[::2], [name.strip() for name in FIELD.findall(text)]
        if not self.fields or not all(self.fields) or any(set(literal) & set("{}") for literal in literals):
            raise InputError(
                f"--caption {text!r} is not a template; write columns in braces, e.g. '{{title}}. {{description}}'"
            )
        *self._leads, self._end = literals

    def __call__(self, values: Mapping[str, str]) -> str:
        """Fills in the values; a missing one goes with what stands before it."""
        caption = ""
        for place, (lead, name) in enumerate(zip(self._leads, self.fields, strict=True)):
            if value := values.get(name, ""):
                caption = _without_doubled_stop(caption, lead if caption or not place else "") + value
        return _without_doubled_stop(caption, self._end).strip() if caption else ""

    def named(self, names: Sequence[str], resolve: Mapping[str, str]) -> "Template":
        """Same template with the fields under our ``names``; ``resolve`` maps others, in lower case, to them."""
        for name in self.fields:
            if name not in names and resolve.get(name.casefold()) not in names:
                raise InputError(
                    f"--caption {self.text!r} names {name!r}, which is not a column; there are {', '.join(names)}"
                )
        ours = {name: name if name in names else resolve[name.casefold()] for name in self.fields}
        return Template(FIELD.sub(lambda found: f"{{{ours[found[1].strip()]}}}", self.text))


def _without_doubled_stop(text: str, following: str) -> str:
    return text + (following.removeprefix(".") if text.endswith(STOPS) else following)
