"""Small inputs that many tests share: a tiny backbone, drawn photos, a table on disk."""

import functools
import gc
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

# One thread each, in the processes that tests start as well: models are tiny, and several processes share the machine.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait double the time on a busy machine

# transformers copies the code that a folder brings into one Python package: here, one for each process, not the user's.
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="e2-tests-modules-")

import numpy as np
import pytest
import torch
import typer
from PIL import Image

import e2

# A full collection goes through a million objects of imported modules, which stay: a tenth of the time of all tests.
gc.set_threshold(700, 10, 1000)

EXPORTS = ("tests/adapters/export/", "tests/e2/test_backbones.py")
LONGEST = (*EXPORTS, "test_train", "test_kill", "test_distributed", "test_extras", "test_processes")


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_MODULES_CACHE"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Files that take long come first, then those of many tests: so the processes end at about the same time."""
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (not any(name in item.nodeid.partition("::")[0] for name in LONGEST), -sizes[item.path]))


def pytest_make_parametrize_id(val, argname):
    """Names bytes by their argument: packed ones hold the time of packing, and processes must agree on the names of tests."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A process for each file, as ``--dist loadfile``; one for all exports: what traces their graphs starts slowly."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return EXPORTS[0] if nodeid.startswith(EXPORTS) else super()._split_scope(nodeid)

    return Scheduling(config, log)


TAGS = ("brand", "season", "colour")
TINY = {  # an open_clip configuration that runs in milliseconds
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 4, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
SIGLIP = {  # a SigLIP in small: timm tower without class token, bidirectional text tower, SentencePiece
    "embed_dim": 32,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": 32, "timm_model_name": "vit_e2_tiny", "timm_pool": "map", "timm_proj": "none"},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 80,
        "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 16,
        "heads": 2,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    },
}
WORDS = [
    "a",
    "red",
    "green",
    "blue",
    "grey",
    "tee",
    "coat",
    "dress",
    "number",
    "nike",
    "puma",
    "levi's",
    "summer",
    "winter",
    "of",
    "silk",
    "with",
    "and",
    "belt",
]


def vit_e2_tiny(pretrained: bool = False, **options):
    """A timm ViT that runs in milliseconds; like SigLIP's it has no class token."""
    from timm.models.vision_transformer import _create_vision_transformer

    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
    fixed = {**sizes, "class_token": False, "global_pool": "map"}
    return _create_vision_transformer("vit_tiny_patch16_224", pretrained=pretrained, **{**fixed, **options})


def vit_e2_tiny_cls(pretrained: bool = False, **options):
    """One with class token, registers, layer scale and a norm in front of the blocks."""
    extras = {"class_token": True, "reg_tokens": 2, "init_values": 0.1, "pre_norm": True, "qk_norm": True}
    return vit_e2_tiny(pretrained, **{"global_pool": "token", **extras, **options})


def vit_e2_tiny_mean(pretrained: bool = False, **options):
    """One with class token and registers that pools by the mean of its patches."""
    return vit_e2_tiny_cls(pretrained, **{"global_pool": "avg", **options})


@pytest.fixture(scope="session")
def timm_vits() -> None:
    """Makes the towers known to timm."""
    from timm.models import is_model, register_model

    for tower in (vit_e2_tiny, vit_e2_tiny_cls, vit_e2_tiny_mean):
        if not is_model(tower.__name__):
            register_model(tower)


@pytest.fixture(scope="session")
def siglip(timm_vits, tmp_path_factory) -> Path:
    """A folder as ``local-dir:`` takes it: a small SigLIP with random weights and a SentencePiece tokenizer."""
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("siglip")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": SIGLIP, "preprocess_cfg": preprocess}))
    sentencepiece_tokenizer(folder)
    torch.manual_seed(0)
    clip = open_clip.create_model(f"local-dir:{folder}")
    for p in clip.parameters():  # timm starts some at zero
        torch.nn.init.normal_(p, std=0.1)
    save_file(clip.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def sentencepiece_tokenizer(folder: Path) -> None:
    """Trains a tokenizer of SigLIP's kind on a few words and saves it as transformers does."""
    import sentencepiece
    from transformers import SiglipTokenizer

    lines = [" ".join(np.random.default_rng(i).permutation(WORDS)[:6]) for i in range(200)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(folder / "spiece"),
        vocab_size=80,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    SiglipTokenizer(str(folder / "spiece.model")).save_pretrained(folder)


BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "tee"]


def bert_config():
    """Configuration of a text encoder of transformers that runs in milliseconds."""
    from transformers import BertConfig

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return BertConfig(vocab_size=len(BERT_WORDS), max_position_embeddings=24, **sizes)


def bert_tokenizer():
    """Its tokenizer, of a few words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(BERT_WORDS)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture
def bert(tmp_path) -> Path:
    """A folder with a text encoder of transformers: configuration, random weights, tokenizer."""
    from transformers import BertModel

    torch.manual_seed(5)
    BertModel(bert_config()).save_pretrained(tmp_path / "bert-encoder")
    bert_tokenizer().save_pretrained(tmp_path / "bert-encoder")
    return tmp_path / "bert-encoder"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test sees, or leaves anything in, the user's cache or that of tests that run beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_command_line():
    """The parser of all commands is built once: that takes longer than many a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="module")
def browser():
    """A Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


def axe_faults(page) -> list:
    """Lists what axe-core finds on a page: rule and elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    found = axe.run(page).response["violations"]
    return [(fault["id"], [node["html"] for node in fault["nodes"]][:3]) for fault in found]


@pytest.fixture
def two_threads():
    """For tests of what could depend on which thread is the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> str:
    """Name of a tiny backbone, registered through open_clip's own mechanism."""
    import open_clip

    path = tmp_path_factory.mktemp("configs") / "test-tiny.json"
    path.write_text(json.dumps(TINY))
    open_clip.add_model_config(path)
    return "test-tiny"


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return e2.create_model_and_transforms(tiny, tags=TAGS)[0].eval()


def jpeg(colour: tuple[int, int, int], seed: int, size: int = 40) -> bytes:
    """A noisy photo of one colour."""
    noise = np.random.default_rng(seed).integers(-20, 20, (size, size, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Path:
    """A folder with train.parquet (60 products) and val.parquet (12): colour decides photo, text and tags."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("shop")
    colours = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200), "grey": (120, 120, 120)}
    names = list(colours)
    for split, count in (("train", 60), ("val", 12)):
        rows = []
        for i in range(count):
            colour = names[i % 4]
            brand = None if i % 7 == 0 else ("Nike", "Puma", "Levi's")[i % 3]
            rows.append(
                {
                    "product_id": f"{split}-{i}",
                    "image": {"bytes": jpeg(colours[colour], i), "path": None},
                    "caption": f"A {colour} tee number {i}",
                    "brand": brand,
                    "season": ("Summer", "Winter")[i % 2],
                    "colour": colour,
                }
            )
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
    return folder
