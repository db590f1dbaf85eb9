"""The README as a package index shows it: there, a link or a picture that is relative to the repository leads nowhere."""

import re
from pathlib import Path

from setuptools import setup


def stand_alone(text: str) -> str:
    """Markdown without relative pictures (a line each), and with the words of relative links in their place."""
    text = re.sub(r"^!\[[^\]]*\]\((?!\w+:)[^)]*\)\n+(\*[^*]+\*\n+)?", "", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]+)\]\((?!\w+:|#)[^)]*\)", r"\1", text)


if __name__ == "__main__":
    readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    setup(long_description=stand_alone(readme), long_description_content_type="text/markdown")
