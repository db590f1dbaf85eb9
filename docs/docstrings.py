"""How our docstrings become what mkdocstrings reads: Sphinx's roles lose their colons, ``Example:`` holds code."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:(?=`)")
EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites each docstring once it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", ROLE.sub("", obj.docstring.value))
