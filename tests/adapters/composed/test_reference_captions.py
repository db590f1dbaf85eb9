"""Captions of reference photos by an image-to-text model of transformers, a tiny random one."""

import pytest
from PIL import Image

from e2.adapters.composed.base import References
from e2.adapters.composed.reference_captions import TransformersCaptions
from e2.errors import InputError


@pytest.fixture(scope="module")
def git(tmp_path_factory) -> str:
    """A folder with a GIT captioner of two layers, its tokenizer and its image processor."""
    from transformers import BertTokenizerFast, CLIPImageProcessor, GitConfig, GitForCausalLM, GitProcessor

    folder = tmp_path_factory.mktemp("git")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "shirt", "dress"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    model = GitForCausalLM(GitConfig(vision_config=vision, vocab_size=len(words), max_position_embeddings=64, **sizes, **ends))
    model.save_pretrained(folder)
    photos = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    GitProcessor(photos, BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))).save_pretrained(folder)
    return str(folder)


def test_a_transformers_model_captions_each_photo(git):
    source = TransformersCaptions(git, batch_size=2)
    images = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "red")]
    found = source.captions(References(None, images))
    assert len(found) == 3
    assert found[0] == found[2]  # the same photo, in another batch
    assert "[" not in "".join(found)  # no special tokens
    assert source.info == {"captions": git}


def test_a_missing_model_is_named():
    with pytest.raises(InputError, match="cannot load captioner '/nowhere'"):
        TransformersCaptions("/nowhere")
