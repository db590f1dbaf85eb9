"""More remote shards than there is room for: the bound of their copies, and the order that goes through a few at a time."""

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from e2.data import open_catalogue, room
from e2.data.draw import Portion, ShardOrder, epoch_order
from e2.data.export import import_catalogue
from e2.data.images import BadImage
from e2.data.loader import StepSampler
from e2.data.mixture import Mixture, portions_of
from e2.data.remote_shards import RemoteShard
from e2.data.shard_order import shard_order
from e2.data.shards_ahead import ForeseeingSampler
from e2.errors import InputError
from e2.lockfile import LockFile
from e2.training.run import resolve
from e2.training.splits import open_splits
from tests.adapters.embeddings.test_write import killed_at_a_write
from tests.command import run_command
from tests.e2.data.conftest import rows, write_parquet
from tests.e2.data.file_server import serving
from tests.e2.training.stops import last_weights, resumed_weights

SHARDS, EACH = 12, 5
SPEC = "webdataset:{address}/train-{{000000..000011}}.tar"
ROOM = 4.5  # shards that fit; of these two are open at a time


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of small shards."""
    folder = tmp_path_factory.mktemp("shards")
    table = write_parquet(folder / "table" / "train.parquet", rows(SHARDS * EACH)).parent
    import_catalogue(str(table), folder / "out", to="webdataset", shard_size=EACH, tags=("brand",))
    return folder / "out"


@pytest.fixture
def server(folder, reached):
    with serving(folder) as own:
        yield own


def bound_of(folder) -> float:
    """GB in which so many shards fit."""
    return ROOM * max(file.stat().st_size for file in folder.glob("*.tar")) / room.GB


def opened(server, folder, **options):
    spec = SPEC.format(address=server.address)
    return open_catalogue(spec, "train", tags=("brand",), shard_cache=bound_of(folder), progress=False, **options)


class Watch(threading.Thread):
    """Notes the most bytes that copies, and those on their way, take until it is told to stop."""

    def __init__(self, tmp_path):
        super().__init__(daemon=True)
        self.folder, self.most, self.over = tmp_path / "cache" / "remote", 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.01):
            if self.folder.exists():
                with LockFile(self.folder / ".room.lock").held():  # nothing joins, and nothing is counted twice
                    self.most = max(self.most, sum(map(self.size, self.folder.glob("[!.]*"))))

    @staticmethod
    def size(folder) -> int:
        """Bytes of a copy, by the name that it has or will have."""
        sizes = [0]
        for path in os.scandir(folder) if folder.exists() else ():
            with contextlib.suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return max(sizes)


def read_epoch(catalogue, epoch, rank=0, world=1, start=0):
    """Reads the photos of an epoch in its order; ids with what was read."""
    order = epoch_order(portions_of(catalogue, False), 3, epoch)[start:][rank::world]
    return [(catalogue[index].product_id, len(catalogue[index].images[0])) for _, index in order.tolist()]


def test_each_shard_comes_once_an_epoch_and_never_more_than_fit_are_there(server, folder, tmp_path):
    watch, truth = Watch(tmp_path), open_catalogue(f"webdataset:{folder}", "train", tags=("brand",), progress=False)
    catalogue = opened(server, folder)
    assert set(server.asked.values()) == {1} and len(server.asked) == SHARDS  # to be checked
    expected = Counter((product.product_id, len(product.images[0])) for product in truth)
    for epoch in range(3):
        server.asked.clear()
        assert Counter(read_epoch(catalogue, epoch)) == expected
        assert max(server.asked.values()) == 1 and len(server.asked) >= SHARDS - ROOM
    server.asked.clear()
    assert list(opened(server, folder).ids()) == list(truth.ids()) and not server.asked  # what was checked stays known
    watch.over.set()
    watch.join()
    assert 0 < watch.most <= bound_of(folder) * room.GB


def test_a_bound_that_holds_all_shards_changes_no_order(server):
    catalogue = open_catalogue(SPEC.format(address=server.address), "train", shard_cache=1, progress=False)
    portions = portions_of(catalogue, True)
    assert np.array_equal(epoch_order(portions, 3, 1), epoch_order([Portion(SHARDS * EACH, replacement=True)], 3, 1))


def test_killed_processes_leave_what_others_go_on_with(server, folder, tmp_path):
    catalogue, watch = opened(server, folder), Watch(tmp_path)
    truth = open_catalogue(f"webdataset:{folder}", "train", progress=False)
    for _ in range(3):
        children = [forked_reader(catalogue, rank) for rank in range(2)]
        time.sleep(0.3)
        for child in children:
            os.kill(child, signal.SIGKILL)
            assert os.waitpid(child, 0)[1] == signal.SIGKILL  # until then it read
    assert dict(read_epoch(catalogue, 0)) == {product.product_id: len(product.images[0]) for product in truth}
    watch.over.set()
    watch.join()
    assert watch.most <= bound_of(folder) * room.GB


def forked_reader(catalogue, rank) -> int:
    """Process that reads its half of one epoch after another, without end."""
    if child := os.fork():
        return child
    try:
        for epoch in range(10**6):
            read_epoch(catalogue, epoch, rank, world=2)
    finally:
        os._exit(1)


def test_only_copies_that_nobody_reads_are_removed(server, folder, tmp_path):
    catalogue = opened(server, folder)
    copies = tmp_path / "cache" / "remote"
    read = next(copies.glob("*/*.tar"))
    others = [read.with_name("mine.tar"), copies / "mine.tar"]
    for other in others:
        other.write_bytes(b"mine")
    with room.lent(read) as file:
        for epoch in range(2):
            read_epoch(catalogue, epoch)
        assert file is not None and read.exists()
    read_epoch(catalogue, 2)
    assert all(other.read_bytes() == b"mine" for other in others)


def test_what_a_killed_process_left_unfinished_is_removed(server, folder):
    catalogue = opened(server, folder)
    copy = catalogue.images.shards[0].path
    left, on_its_way = (copy.with_name(f".{copy.name}.{name}.tmp.tar") for name in ("left", "way"))
    for file in (left, on_its_way):
        file.write_bytes(b"half")
    with on_its_way.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        read_epoch(catalogue, 0)
    assert not left.exists() and on_its_way.exists()


def test_another_file_at_the_address_is_refused(server, folder, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    for file in folder.glob("*.tar"):
        (served / file.name).write_bytes(file.read_bytes())
    with serving(served) as own:
        catalogue = opened(own, folder)
        for file in served.glob("*.tar"):
            file.write_bytes(file.read_bytes() + bytes(512))
        with pytest.raises(BadImage, match="is another file than before; remove"):
            read_epoch(catalogue, 0)


def test_a_shard_larger_than_the_bound_is_refused(server):
    with pytest.raises(InputError, match=r"train-0000\d\d.tar: 0.000 GB has no place in data.shard_cache = 1e-06 GB"):
        open_catalogue(SPEC.format(address=server.address), "train", shard_cache=1e-6, progress=False)


def order_of(open_ones, shards=40, each=30) -> ShardOrder:
    return ShardOrder(np.repeat(np.arange(shards), each), [RemoteShard(str(number)) for number in range(shards)], open_ones)


def test_a_turn_opens_few_shards_at_a_time_and_mixes_these():
    found = order_of(open_ones=8)
    turn = found.turn(np.random.default_rng(1))
    assert sorted(turn) == list(range(1200)) and not np.array_equal(turn, found.turn(np.random.default_rng(2)))
    shards = found.shards[turn]
    places = [np.flatnonzero(shards == number) for number in range(40)]
    openings, endings = np.array([[place[0], place[-1]] for place in places]).T
    at_once = [int(((openings <= place) & (place <= endings)).sum()) for place in range(1200)]
    assert max(at_once) <= 8
    assert np.mean([len(set(shards[start : start + 64])) for start in range(0, 1200, 64)]) > 6.5  # of eight


def test_all_open_is_a_plain_shuffle():
    first = [order_of(40).shards[order_of(40).turn(np.random.default_rng(seed))[0]] for seed in range(300)]
    assert len(set(first)) > 35


def test_steps_resume_are_shared_and_foreseen(server, folder):
    catalogue = opened(server, folder)
    portions = portions_of(catalogue, False)
    assert portions[0].order.open_ones == 2
    through = list(StepSampler(portions, 6, start=0, stop=30, seed=4))
    assert list(StepSampler(portions, 6, start=13, stop=30, seed=4)) == through[13:]
    shares = [list(StepSampler(portions, 6, start=0, stop=30, seed=4, rank=rank, world=2)) for rank in range(2)]
    assert [sorted(left + right) for left, right in zip(*shares, strict=True)] == [sorted(batch) for batch in through]
    server.asked.clear()
    steps = iter(ForeseeingSampler(portions, 6, start=13, stop=30, seed=4))
    batches = [next(steps)]
    later = [catalogue.images.shards[number].path for number in shards_in(catalogue, through[13:15])]
    deadline = time.monotonic() + 4
    while not all(path.exists() for path in later):  # though nobody has read one of their photos
        assert time.monotonic() < deadline, server.asked
        time.sleep(0.01)
    assert batches + list(steps) == through[13:]


def shards_in(catalogue, steps) -> set[int]:
    order = shard_order(catalogue)
    assert order is not None
    return {int(order.shards[index]) for batch in steps for _, index in batch}


def test_several_catalogues_share_the_room_and_one_may_be_local(server, folder):
    local = open_catalogue(f"webdataset:{folder}", "train", tags=("brand",), progress=False)
    mixture = Mixture([local, opened(server, folder)], [1, 1])
    assert mixture.portions[0].order is None and mixture.portions[1].order.open_ones == 1
    steps = [list(kind(mixture.portions, 8, start=0, stop=3, seed=0)) for kind in (StepSampler, ForeseeingSampler)]
    assert steps[0] == steps[1]
    with pytest.raises(InputError, match="data.replacement draws among all shards"):
        portions_of(mixture, True)


def test_products_held_out_are_of_few_shards(server, folder):
    settings = {"data.data": SPEC.format(address=server.address), "data.tags": "brand", "data.shard_cache": bound_of(folder)}
    train, val = open_splits(resolve(settings, None, []))
    assert (len(train), len(val)) == (57, 3) and len({*shard_order(val).shards.tolist()}) == 1


def test_a_run_resumes_bit_for_bit(server, folder, tiny, tmp_path):
    settings, spec = f"--set data.shard_cache={bound_of(folder)}", SPEC.format(address=server.address)
    through = last_weights(settings, spec, tmp_path / "through")
    with pytest.MonkeyPatch.context() as patch:
        resumed = resumed_weights(settings, spec, tmp_path / "resumed", patch)
    assert through.keys() == resumed.keys() and all(torch.equal(through[name], resumed[name]) for name in through)


def test_embeddings_of_more_shards_than_fit_survive_kills(server, folder, tiny, tmp_path):
    line = f"embed --model open_clip:{tiny} --split train --device cpu --workers 0 --shard-size 15".split()
    remote = ["--data", SPEC.format(address=server.address), "--shard-cache", str(bound_of(folder)), "--resume"]
    watch, kills = Watch(tmp_path), 0
    while killed_at_a_write(*[(9, "after"), (14, "before")][kills % 2], [*line, *remote, "--out", str(tmp_path / "remote")]):
        kills += 1
    watch.over.set()
    watch.join()
    assert kills >= 3 and watch.most <= bound_of(folder) * room.GB  # killed while shards came, and while vectors were written
    assert run_command(*line, "--data", f"webdataset:{folder}", "--out", tmp_path / "local").status == 0
    assert pq.read_table(tmp_path / "remote").equals(pq.read_table(tmp_path / "local"))
