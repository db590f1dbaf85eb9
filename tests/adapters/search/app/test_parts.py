"""What the app is made of, by hand: batching from many threads, where a grid lies on a photo, filters, the command line."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from e2.adapters.search.app.batching import ModelThread, Remembered
from e2.adapters.search.app.geometry import looked_at, parts_of, seen_box
from e2.adapters.search.app.server import hosts_of, is_loopback
from e2.adapters.search.app.service import without_folders
from tests.command import run_command


def test_a_crowd_is_answered_in_few_passes_each_with_its_own():
    sizes = []

    def run(items):
        sizes.append(len(items))
        time.sleep(0.02)
        return [item * 10 for item in items]

    ask = ModelThread().batched(run, most=16)
    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(ask, range(200))) == [item * 10 for item in range(200)]
    assert sum(sizes) == 200 and max(sizes) <= 16 and len(sizes) < 60


def test_kinds_of_one_model_never_run_together():
    thread, running = ModelThread(), []

    def kind(number):
        def run(items):
            running.append(number)
            assert len(running) == 1 and {item % 3 for item in items} == {number}
            time.sleep(0.001)
            running.pop()
            return items

        return run

    asks = [thread.batched(kind(number)) for number in range(3)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: asks[i % 3](i), range(60))) == list(range(60))


def test_a_fault_reaches_those_who_asked_and_no_one_later():
    ask = ModelThread().batched(lambda items: [1 / item for item in items])
    with pytest.raises(ZeroDivisionError):
        ask(0)
    assert ask(2) == 0.5


def test_remembered_forgets_the_longest_unused():
    asked = []
    ask = Remembered(lambda item: asked.append(item) or item, str, kept=2)
    for item in (1, 2, 1, 3, 1, 2):
        assert ask(item) == item
    assert asked == [1, 2, 3, 2]


@pytest.mark.parametrize(
    ("photo", "size", "mode", "box"),
    [
        ((300, 100), (64, 64), "squash", (0, 0, 1, 1)),
        ((200, 100), (64, 64), "shortest", (0.25, 0, 0.75, 1)),
        ((100, 200), (64, 64), "longest", (-0.5, 0, 1.5, 1)),
        ((100, 100), (64, 32), "shortest", (0.25, 0, 0.75, 1)),
    ],
)
def test_where_the_grid_lies(photo, size, mode, box):
    assert seen_box(photo, size, mode) == pytest.approx(box)


def test_parts_lie_where_the_tokens_looked():
    """A quarter of the weight at each corner of a square of 4 x 2 patches, a patch around it, in the seen middle."""
    weights = np.zeros((10, 10))
    weights[2, 4:6] = weights[5, 4:6] = 0.25
    assert looked_at(weights, (0, 0, 1, 1)) == (0.3, 0.1, 0.7, 0.7)
    assert looked_at(weights, (0.25, 0, 0.75, 1)) == (0.4, 0.1, 0.6, 0.7)
    weights[0, 0] = 0.05  # a stray patch
    assert looked_at(weights, (0, 0, 1, 1)) == (0.3, 0.1, 0.7, 0.7)
    assert looked_at(np.eye(10)[:1], (-0.5, 0, 1.5, 1)) == (0, 0, 0, 1)  # beside the photo, in what was padded


def test_parts_that_are_nearly_the_same_are_one():
    boxes = {"colour": (0.1, 0.1, 0.5, 0.9), "sleeve": (0.5, 0, 1, 0.5), "fit": (0.1, 0.15, 0.5, 0.9)}
    boxes |= {"brand": (0, 0, 1, 0.9), "season": (0, 0, 0, 1)}  # no choice, nothing
    assert parts_of(boxes) == [(["colour", "fit"], boxes["colour"]), (["sleeve"], boxes["sleeve"])]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/me/runs/shop", "shop"),
        ("products:/srv/my shop/autumn/", "products:autumn/"),
        ("runs/shop", "runs/shop"),
        ("/srv/caf\udce9.csv", "caf\\xe9.csv"),
        ("hf-hub:shop/fashion-clip", "hf-hub:shop/fashion-clip"),
        ("boutique:train=60,val=20", "boutique:train=60,val=20"),
    ],
)
def test_visitors_see_no_folders_of_the_server(name, shown):
    assert without_folders(name) == shown


def test_loopback():
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.2", "shop")] == [
        True
    ] * 3 + [False] * 3


def test_an_address_of_this_machine_may_be_called_by_itself():
    assert {"127.0.0.2", "localhost"} < set(hosts_of("127.0.0.2")) and "[::1]" in hosts_of("::1")
    assert hosts_of("0.0.0.0") == ("*",)


def test_the_command_line_tells_what_is_wrong(tmp_path):
    assert "choose what to search in" in run_command("app").line
    assert "not an index" in run_command("app", "--index", tmp_path).line
    assert run_command("app", "--index", tmp_path, "--demo").status == 2
