"""``amazon-fashion:DIR``: what `e2 data amazon-fashion` built."""

from pathlib import Path

from e2.data.shards import ShardSource
from e2.errors import InputError

STATISTICS = "statistics.json"  # written last: where it is, the build is whole


class AmazonSource(ShardSource):
    """Tar shards of products with a title and a brand; ``argument`` is what follows the colon of the SPEC."""

    entities = ("brand",)

    def __init__(self, argument: str):
        folder = Path(argument).expanduser()
        if not (folder / STATISTICS).is_file():
            raise InputError(
                f"amazon-fashion:{argument}: no finished build in there; make one by "
                "e2 data amazon-fashion --meta FILE --out DIR (--resume goes on with a stopped one)"
            )
        super().__init__(argument)
