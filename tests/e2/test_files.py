"""What is written can be read by others, whoever wrote it."""

import torch
from safetensors.torch import save_file

from e2.files import atomic_folder, atomic_path


def test_files_are_readable_by_others(tmp_path):
    with atomic_path(tmp_path / "weights.safetensors") as path:
        save_file({"a": torch.zeros(1)}, path)
    with atomic_folder(tmp_path / "captioner") as folder:
        (folder / "deeper").mkdir()
        save_file({"a": torch.zeros(1)}, folder / "deeper" / "model.safetensors")
    for file in (tmp_path / "weights.safetensors", tmp_path / "captioner" / "deeper" / "model.safetensors"):
        assert file.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "captioner").stat().st_mode & 0o777 == 0o755
