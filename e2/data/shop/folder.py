"""Folder of an import that fetches photos: unfinished, it can be resumed."""

from pathlib import Path

from e2.data.fetch.folder import database
from e2.outputs import OutputKind, State, claim, claim_file, state_of

IMPORT = OutputKind("an imported catalogue")  # one that appears whole or not at all
STATE, FAILURES, REPORT = "photos.sqlite", "failures.json", "import.json"
SHOP_IMPORT = OutputKind(IMPORT.name, finished=REPORT, begun=STATE, names=(*database(STATE), FAILURES))


def claim_import(out: Path, *, resume: bool, overwrite: bool, remove: bool = False) -> State:
    """Checks that an import may be written to a folder or .parquet file, as `e2.outputs.claim` does for one kind of output."""
    if out.suffix == ".parquet" and not out.is_dir():
        claim_file(out, overwrite=overwrite)
        return "new"
    if state_of(out, SHOP_IMPORT) == "new":
        return claim(out, IMPORT, overwrite=overwrite, remove=remove)
    return claim(out, SHOP_IMPORT, resume=resume, overwrite=overwrite, remove=remove)
