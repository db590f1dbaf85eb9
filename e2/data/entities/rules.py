"""Rules that read an entity out of a column: ``--tags FILE.yaml``.

```yaml
colour:
  column: tags
  separator: "|"          # between several values in a cell
  values:                 # the ones that count, each with its other spellings; without it all do
    beige: [nude, tan]
    black: []
category:
  column: category        # Apparel > Shoes > Boots
  separator: ">"
  part: -1                # of the path: 1 is the first, -1 the last
composition:
  column: description
  find: fibres            # 95 % polyester, 5 % elastane
```
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from e2.errors import InputError, printable
from e2.json_once import first_repeated

ENDINGS = (".yaml", ".yml")
LARGEST = 4 << 20  # bytes of a file of rules
FIBRE = re.compile(
    r"(?<![\d.,])\d{1,3}(?:[.,]\d+)?\s?%\s+(?:of\s+)?((?:[^\W\d_]+[- ]){0,2}?[^\W\d_]{3,})(?=\s*(?:[,;.:/()&+|]|\d|and\b|$))"
)


class EntityRule(BaseModel):
    """Rule for one entity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    separator: str | None = None  # None: a cell is one value, or the list that it holds
    part: int | None = None  # of a path, from 1, or from the end: -1
    values: dict[str, tuple[str, ...]] | None = None  # value -> its other spellings; None: all values count
    find: Literal["cell", "words", "fibres"] = "cell"  # whole values; words within a text; fibres after a percentage

    @field_validator("values", mode="before")
    @classmethod
    def _listed(cls, values: Any) -> Any:
        """Lets values be a list, and spellings be left out."""
        if isinstance(values, list):
            return dict.fromkeys(_texts(values), ())
        if isinstance(values, dict):
            return dict(zip(_texts(list(values)), map(_texts, values.values()), strict=True))
        return values

    @field_validator("separator", "part")
    @classmethod
    def _not_nothing(cls, value: Any) -> Any:
        if value == "" or value == 0:
            raise ValueError("may not be empty or 0")
        return value

    @model_validator(mode="after")
    def _unambiguous(self) -> "EntityRule":
        """Refuses values that could never be read, and spellings of two values."""
        if self.values == {} or (self.values is None and self.find == "words"):
            raise ValueError("values: name at least one" + ("" if self.find == "words" else ", or leave them out: all count"))
        meant: dict[str, str] = {}
        for value, others in (self.values or {}).items():
            for spelling in (value, *others):
                if not key_of(spelling):
                    raise ValueError("values: an empty one; quote what begins with #")
                if meant.setdefault(key_of(spelling), value) != value:
                    raise ValueError(
                        f"values: {spelling!r} stands for {meant[key_of(spelling)]!r} and for {value!r}; keep one"
                    )
        return self

    def read(self, texts: Iterable[str]) -> list[str]:
        """Values in the texts of a cell, each once.

        >>> EntityRule(column="tags", separator="|", values={"grey": ["gray"]}).read(["gray | casual | Grey"])
        ['grey']
        >>> EntityRule(column="text", find="fibres").read(["Made of 95 % polyester, 5 % elastane."])
        ['polyester', 'elastane']
        """
        return list(dict.fromkeys(value for text in texts for value in self._in(text)))

    def _in(self, text: str) -> Iterator[str]:
        if self.find == "words":
            yield from (self._spelled[found.casefold()] for found in self._pattern.findall(_plain(text)))
            return
        for part in self._parts(text):
            phrases = phrases_of(key_of(part)) if self.find == "fibres" else (key_of(part),)
            if self.values is None:
                yield part
            elif known := next((self._spelled[phrase] for phrase in phrases if phrase in self._spelled), None):
                yield known

    def _parts(self, text: str) -> list[str]:
        if self.find == "fibres":
            return fibres_in(text)
        parts = [part for part in map(str.strip, text.split(self.separator) if self.separator else [text]) if part]
        if self.part is None:
            return parts
        place = self.part - 1 if self.part > 0 else self.part
        return parts[place : place + 1 or None]

    @functools.cached_property
    def _spelled(self) -> dict[str, str]:
        """Key of each spelling -> value."""
        return {key_of(spelling): value for value, others in (self.values or {}).items() for spelling in (*others, value)}

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._spelled, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)


def _texts(spellings: Any) -> tuple[str, ...]:
    """One text, several, or none."""
    texts = () if spellings is None else tuple(spellings) if isinstance(spellings, list | tuple) else (spellings,)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("write each as a text, without a list or mapping inside")
    return texts


def _plain(text: str) -> str:
    return " ".join(text.replace("-", " ").casefold().split())


@functools.lru_cache(maxsize=1 << 16)
def key_of(text: str) -> str:
    """Key that all spellings of a value share: case, hyphens, underscores and blanks do not count.

    >>> key_of(" Off-White ") == key_of("off white")
    True
    """
    return " ".join(re.sub(r"[-_\s]+", " ", text.casefold()).split())


def fibres_in(text: str) -> list[str]:
    """Names after percentages, in lower case.

    >>> fibres_in("Shell: 80% recycled Polyamide, 20 % elastane. Wash cold")
    ['recycled polyamide', 'elastane']
    """
    return [found.casefold().replace("-", " ") for found in FIBRE.findall(text)]


def phrases_of(text: str) -> list[str]:
    """A text, its beginnings and its ends, longest first.

    >>> phrases_of("spandex ribbed knit")
    ['spandex ribbed knit', 'spandex ribbed', 'spandex', 'ribbed knit', 'knit']
    """
    words = text.split()
    parts = [words[:end] for end in range(len(words), 0, -1)] + [words[start:] for start in range(1, len(words))]
    return [" ".join(part) for part in parts]


def read_rules(file: Path) -> dict[str, EntityRule]:
    """Reads entity -> rule from a file that `e2 data entities` wrote or a person.

    Raises:
        InputError: missing, not YAML, or not such rules.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(f"--tags {file}: {file.stat().st_size:,} bytes are not rules; name what e2 data entities wrote")
        content = _PlainLoader(file.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise InputError(f"--tags {file}: {error.strerror}; write one by e2 data entities SPEC --out {file}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"--tags {file} is not valid YAML: {printable(' '.join(str(error).split()))[:200]}") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"--tags {file}: no entities in it; write NAME: {{column: COLUMN}}, or use e2 data entities")
    return {str(entity): _rule(str(entity), settings, file) for entity, settings in content.items()}


def _rule(entity: str, settings: Any, file: Path) -> EntityRule:
    settings = {"column": settings} if isinstance(settings, str) else settings
    try:
        return EntityRule.model_validate(settings)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # a misspelt name explains the rest
        place = ": ".join([entity, *filter(None, [".".join(map(str, first["loc"]))])])
        raise InputError(f"--tags {file}: {printable(place)}: {printable(_reason(first))}") from None


def _reason(found: Mapping[str, Any]) -> str:
    """Says what is wrong with a setting, in our words where they are ours."""
    if found["type"] == "extra_forbidden":
        return f"there are {', '.join(EntityRule.model_fields)}"
    return str(found["ctx"]["error"]) if found["type"] == "value_error" else found["msg"].lower()


class _PlainLoader(yaml.SafeLoader):
    """Loader that takes scalars as they are written (``yes``, ``0012``, ``1:30``) and refuses keys that occur twice, of which
    PyYAML takes the last, and aliases, by which a small file may stand for a huge one.
    """

    yaml_implicit_resolvers = {
        first: [each for each in resolvers if each[0].endswith(":null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if (twice := first_repeated(names)) is not None:
            raise yaml.YAMLError(f"{twice!r} occurs twice on one level; keep one")
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken")
        return super().compose_node(parent, index)


def encoded(rule: EntityRule) -> str:
    """Writes a rule in place of a column's name, so that a run's settings keep it."""
    return rule.model_dump_json(exclude_defaults=True)


@functools.lru_cache(maxsize=256)
def decoded(column: str) -> EntityRule | None:
    """Rule that stands in place of a column's name; None for a name."""
    if not column.startswith('{"column":'):
        return None
    try:
        return EntityRule.model_validate_json(column)
    except ValidationError:
        return None
