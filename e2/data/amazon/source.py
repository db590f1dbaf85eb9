"""``amazon-fashion:DIR``: reads what `e2 data amazon-fashion` built."""

from pathlib import Path

from e2.data.shards import ShardSource
from e2.errors import InputError

STATISTICS = "statistics.json"  # written last: if it exists, the build is complete


class AmazonSource(ShardSource):
    """Tar shards of products with a title and a brand; ``argument`` is the part of the SPEC after the colon."""

    entities = ("brand",)

    def __init__(self, argument: str):
        folder = Path(argument).expanduser()
        if not (folder / STATISTICS).is_file():
            raise InputError(
                f"amazon-fashion:{argument}: no finished build in there; make one by "
                "e2 data amazon-fashion --meta FILE --out DIR (--resume continues a stopped one)"
            )
        super().__init__(argument)
