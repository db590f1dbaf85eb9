"""Command `e2 data entities`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.options import Overwrite, TableOptions


def entities(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    table: TableOptions,
    out: Annotated[Path, typer.Option(help="file to write the rules to, for --tags")] = Path("entities.yaml"),
    overwrite: Overwrite = False,
) -> None:
    """Propose entities: columns like tags, parts of paths, sorted values of multi-valued cells, fibres in the texts.

    The file is for a person to edit; every `--tags` takes it.

    Example: `e2 data entities data/shop --out entities.yaml`
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from e2.data.entities.cells import cells_of
    from e2.data.entities.propose import NothingProposed, propose
    from e2.data.entities.writing import rules_yaml
    from e2.errors import in_brief, printable
    from e2.files import atomic_path
    from e2.outputs import claim_file

    claim_file(out, overwrite=overwrite)
    columns = cells_of(spec, table.read(None)["columns"])
    proposals = propose(columns)
    if not proposals:
        named = printable(", ".join(columns))[:300] or "none"
        raise NothingProposed(f"{spec}: no column looks like tags ({named}); name entities by --tags entity=column")
    products = max(map(len, columns.values()))
    with atomic_path(out) as temporary:
        temporary.write_text(rules_yaml(proposals, spec, products), encoding="utf-8", errors="backslashreplace")
    shown = Table("entity", "from", "products", "values", "most frequent", title_justify="left")
    for one in proposals:
        top = ", ".join(f"{in_brief(value, 20)} {count:,}" for value, count in one.counts.most_common(3))
        numbers = (f"{100 * one.products / products:.0f} %", f"{len(one.counts):,}")
        shown.add_row(escape(in_brief(one.entity, 24)), escape(in_brief(one.rule.column, 24)), *numbers, escape(top))
    Console().print(shown)
    print(f"wrote {out}: edit it, then use it by --tags {out}")
