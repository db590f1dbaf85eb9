"""The fenced blocks of a Markdown page."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One block: its language, what follows the language on the fence, and its text."""

    language: str
    heading: str
    text: str


def blocks(page: Path, language: str) -> list[Block]:
    """All blocks of a language, in the order of the page."""
    return [block for block in map(Block._make, FENCE.findall(page.read_text(encoding="utf-8"))) if block.language == language]
