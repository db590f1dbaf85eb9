"""Frame of every report page: one HTML file that opens offline, in light and dark mode, on paper, phone and desktop.

Texts of catalogues and captioners are untrusted. Jinja2 escapes every value; data for scripts travels as JSON in which ``<``,
``>``, ``&`` and quotes are escaped; scripts set text by ``textContent`` only; and the page's content security policy forbids
anything from the network.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from e2.errors import printable
from e2.files import atomic_path
from e2.version import __version__


def render(template: str, **values: Any) -> str:
    """Renders a template that extends ``page.html``, which requires ``title``."""
    environment = Environment(
        loader=PackageLoader("e2.benchmarks.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(version=__version__, **values)
    return text.encode("utf-8", "replace").decode()  # surrogates have no UTF-8


def write_page(path: Path, template: str, **values: Any) -> None:
    """Writes the page, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(render(template, **values), encoding="utf-8")


def shortened(text: str, most: int) -> str:
    """One line of a stranger's text, cut at ``most`` characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
