"""Run by ``test_milvus_kills.py``: builds, updates or deletes, and on the way kills itself or the server.

``python -m tests.adapters.search.milvus_worker PLACE TABLE ACTION CALL [COMMAND]``: before the ``CALL``-th call of the server
it runs ``COMMAND``, which kills the server; without one it kills itself.
"""

import itertools
import os
import signal
import subprocess
import sys

from e2.adapters.search import build
from e2.adapters.search.build import build_index, update_index
from e2.adapters.search.index import open_index
from e2.adapters.search.milvus_server import Server
from e2.data import open_catalogue
from e2.errors import InputError
from tests.adapters.search.test_build import TAGS, Stub

BLOCK = 8
DELETED = [f"train-{number}" for number in range(0, 60, 5)]


def act(place: str, table: str, action: str) -> None:
    catalogue = open_catalogue(table, tags=TAGS)
    if action == "delete":
        index = open_index(place)
        index.delete(DELETED)
        index.close()
    elif action == "update":
        update_index(Stub(), catalogue, place)
    else:
        build_index(Stub(), catalogue, place, resume=action == "resume", overwrite=action == "overwrite")


def main(place: str, table: str, action: str, at: str, command: str = "") -> None:
    numbers, call = itertools.count(1), Server.call

    def killing(server, *arguments, **options):
        if next(numbers) == int(at):
            if command:
                subprocess.run(command, shell=True, check=True)
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(server, *arguments, **options)

    Server.call = killing
    build.BLOCK = BLOCK
    try:
        act(place, table, action)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
