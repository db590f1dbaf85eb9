"""Writes the README.md of an exported folder, with a few lines of code that run, from ``templates/readme.md.jinja``."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from e2.adapters.export.record import Exported
from e2.counting import counted

PAGES = Environment(
    loader=PackageLoader("e2.adapters.export"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
PAGES.filters["counted"] = counted


def readme(exported: Exported, rule: dict, name: str) -> str:
    """Writes the text for a folder of that name; ``rule`` is the preprocessing."""
    facts = {"exported": exported, "rule": rule, "name": name, "words": exported.further.get("tokenizer")}
    return PAGES.get_template("readme.md.jinja").render(facts)
