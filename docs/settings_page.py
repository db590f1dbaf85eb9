"""Writes the page of all settings from their classes, while the site is built."""

import json
import re
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from mkdocs.structure.files import File, Files

from e2.adapters.captioning.config import CaptionerConfig
from e2.adapters.captioning.decoding import Decoding
from e2.adapters.composed.fitting import FitConfig
from e2.config import TrainConfig
from e2.settings import to_dict

PAGE = "settings.md"
INTRO = """# Settings

Made from `e2.config`. A setting goes into a file for `--config FILE.yaml`, as in

```yaml
optim:
  lr: 5.0e-4
```

or on the command line, where it wins: `--set optim.lr=5e-4`. An unknown name is refused.
"""
FURTHER = {  # heading -> class
    "`--set` of `e2 caption fit`": CaptionerConfig,
    "options of `e2 caption write`": Decoding,
    "`--set` of `e2 compose fit`": FitConfig,
}


def on_files(files: Files, config: Any) -> Files:
    """MkDocs' hook: adds the page to the site's files."""
    files.append(File.generated(config, PAGE, content=settings_page()))
    return files


def settings_page() -> str:
    """The page in Markdown."""
    further = (line for heading, kind in FURTHER.items() for line in section("", kind, heading))
    return "\n".join([INTRO, *section("", TrainConfig, "run"), *further])


def section(prefix: str, kind: Any, heading: str) -> Iterator[str]:
    """A class's settings as a table, those of the classes within below it."""
    hints, defaults = typing.get_type_hints(kind), to_dict(kind())
    yield from (f"## {heading}", "", kind.__doc__, "")
    yield from ('<div class="settings" markdown>', "")
    yield from ("| setting | values | default | meaning |", "|---|---|---|---|")
    for name, field in kind.__pydantic_fields__.items():
        if not is_dataclass(hints[name]):
            default = json.dumps(defaults[name]).strip('"')
            yield f"| `{prefix}{name}` | {values(hints[name])} | `{default}` | {field.description} |"
    yield from ("", "</div>", "")
    for name, hint in hints.items():
        if is_dataclass(hint):
            yield from section(f"{prefix}{name}.", hint, f"{prefix}{name}")


def values(hint: Any) -> str:
    """A type for people: its choices, or what it is called."""
    words = {int: "whole number", float: "number", str: "text", bool: "true, false", type(None): "null"}
    if hint in words:
        return words[hint]
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in parts)
    if typing.get_origin(hint) is dict:
        return "mapping"
    if typing.get_origin(hint) is tuple:
        many = values(parts[0]) if values(parts[0]).startswith("`") else f"{values(parts[0])}s"  # choices have no plural
        return f"list of {many}" if parts[-1] is Ellipsis else f"{len(parts)} {many}"
    return re.sub(" or null$", ", null", " or ".join(map(values, parts)))
