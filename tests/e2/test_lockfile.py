"""Locks that leave nothing behind and are never taken from whoever holds them."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from filelock import Timeout

from e2.errors import InputError
from e2.lockfile import LockFile


def add_one(counter: Path) -> None:
    for _ in range(100):
        with LockFile(counter.with_name("lock")).held():  # made and removed by each of them, again and again
            counter.write_text(str(int(counter.read_text()) + 1))


def test_nobody_holds_a_removed_file(tmp_path):
    """Lets only one process count at a time, although the file goes away under those who wait for it."""
    (tmp_path / "counter").write_text("0")
    with ProcessPoolExecutor(4, get_context("fork")) as pool:
        list(pool.map(add_one, [tmp_path / "counter"] * 4))
    assert (tmp_path / "counter").read_text() == "400"
    assert list(tmp_path.iterdir()) == [tmp_path / "counter"]


def test_folders_made_for_a_lock_go_with_it(tmp_path):
    lock = LockFile(tmp_path / "runs" / "a" / "lock")
    with pytest.raises(ZeroDivisionError), lock.held():
        assert lock.path.exists()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with lock.held():
        (tmp_path / "runs" / "mine").touch()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine"]


def test_a_refused_lock_leaves_the_other_ones_file(tmp_path):
    with LockFile(tmp_path / "lock").held():
        other = LockFile(tmp_path / "lock")
        with pytest.raises(Timeout):
            other.acquire(timeout=0)
        other.release()
        with pytest.raises(InputError, match="busy there"):
            other.acquire_for(tmp_path / "out", "busy there")
        del other
        assert (tmp_path / "lock").exists()


def test_what_a_killed_process_left_is_taken_over(tmp_path):
    if not (child := os.fork()):
        lock = LockFile(tmp_path / "lock")
        lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / "lock").exists()
    with LockFile(tmp_path / "lock").held():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_fork_lets_go_of_nothing(tmp_path):
    lock = LockFile(tmp_path / "lock")
    lock.acquire()
    if not (child := os.fork()):
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(Timeout):
        LockFile(tmp_path / "lock").acquire(timeout=0)


def test_a_new_file_of_another_is_not_removed(tmp_path):
    """Somebody cleared the folder while the lock was held, and another process has begun there."""
    first, second = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    first.acquire()
    (tmp_path / "lock").unlink()
    second.acquire(timeout=0)
    first.release()
    with pytest.raises(Timeout):
        LockFile(tmp_path / "lock").acquire(timeout=0)
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_goes_with_its_object(tmp_path):
    LockFile(tmp_path / "lock").acquire()
    assert list(tmp_path.iterdir()) == []
