"""Writes proposed rules as YAML that a person edits, with counts in comments."""

from collections.abc import Iterable, Iterator

import yaml

from e2.counting import counted
from e2.data.entities.propose import Proposal
from e2.errors import printable

MOST_UNSORTED = 40  # values that no list knows, named so that a person may sort them
WIDTH = 100  # characters of a comment


def rules_yaml(proposals: Iterable[Proposal], spec: str, products: int) -> str:
    """Rules of a catalogue of a given size for `e2.data.entities.rules.read_rules`."""
    proposals = list(proposals)
    lines = [f"# Proposed by e2 data entities {printable(spec)} ({counted(products, 'product')}).", *_HOW]
    for proposal in proposals:
        lines += ["", *_rule(proposal, products)]
    unsorted = {one.rule.column: one.unsorted for one in proposals if one.unsorted}
    for column, counts in unsorted.items():
        lines += ["", f"# In {printable(column)}, not sorted (add what belongs to an entity, or make a new one):"]
        lines += _wrapped(f"{printable(value)} {count:,}" for value, count in counts.most_common(MOST_UNSORTED))
    return "\n".join(lines) + "\n"


_HOW = (
    "# Edit it: drop entities and values, rename, merge (a value's list holds its other spellings); then --tags THIS_FILE.",
)


def _rule(proposal: Proposal, products: int) -> Iterator[str]:
    rule = proposal.rule
    share = round(100 * proposal.products / max(1, products))
    found = f"{counted(proposal.products, 'product')} ({share} %), {counted(len(proposal.counts), 'value')}"
    yield f"{_scalar(proposal.entity)}: # {found}"
    for name in ("column", "separator", "part", "find"):
        value = getattr(rule, name)
        if value != type(rule).model_fields[name].default:
            yield f"  {name}: {_scalar(value)}"
    if rule.values is None:
        examples = ", ".join(f"{printable(value)} {count:,}" for value, count in proposal.counts.most_common(8))
        yield f"  # every value counts: {examples}{', ...' if len(proposal.counts) > 8 else ''}"
        return
    yield "  values:"
    for value, count in proposal.counts.most_common():
        others = ", ".join(map(_scalar, rule.values[value]))
        yield f"    {_scalar(value)}: [{others}] # {count:,}"


def _scalar(value: object) -> str:
    """A value as YAML writes it in a flow, on one line."""
    text = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True).strip()
    return text.removeprefix("[").removesuffix("]")


def _wrapped(words: Iterable[str]) -> Iterator[str]:
    line = "#"
    for word in words:
        if len(line) + len(word) > WIDTH:
            yield line
            line = "#"
        line += f" {word},"
    yield line.rstrip(",")
