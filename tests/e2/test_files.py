"""What is written can be read by others, whoever wrote it."""

import os
import signal

import torch
from safetensors.torch import save_file

from e2.files import atomic_folder, atomic_path, atomic_tensors


def test_files_are_readable_by_others(tmp_path):
    with atomic_path(tmp_path / "weights.safetensors") as path:
        save_file({"a": torch.zeros(1)}, path)
    with atomic_folder(tmp_path / "captioner") as folder:
        (folder / "deeper").mkdir()
        save_file({"a": torch.zeros(1)}, folder / "deeper" / "model.safetensors")
    for file in (tmp_path / "weights.safetensors", tmp_path / "captioner" / "deeper" / "model.safetensors"):
        assert file.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "captioner").stat().st_mode & 0o777 == 0o755


def test_what_a_killed_writer_of_tensors_leaves_is_known_by_its_folder(tmp_path):
    """safetensors writes to ``.tmp`` and six letters beside the name that it is given."""
    target = tmp_path / "model.safetensors"
    child = os.fork()
    if child == 0:
        with atomic_tensors(target) as path:
            (path.parent / ".tmpAbCdEf").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = tmp_path.glob(".model.safetensors.*.tmp*")
    assert list(tmp_path.iterdir()) == [left] and left.is_dir()
    with atomic_tensors(target) as path:
        save_file({"a": torch.ones(2)}, path)
    assert target.is_file() and {each.name for each in tmp_path.iterdir()} == {left.name, target.name, ".e2-files"}
