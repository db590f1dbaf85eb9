"""Frozen layers run once: a pass from kept activations equals one from pixels, and what is kept survives kills."""

import contextlib
import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig

import e2
from e2.activations import stack_photos
from e2.config import DataConfig, LossConfig, ModelConfig, OptimConfig
from e2.data.loader import TrainingViews
from e2.data.product import Product
from e2.data.transforms import photo_transform
from e2.errors import InputError
from e2.frozen_texts import AT_ONCE, FrozenTexts
from e2.methods import METHODS
from e2.model import E2
from e2.packing import encode_packed
from e2.text_front import WholeTower, text_front
from e2.texts import cut_to_longest, text_keys
from e2.towers import open_tower
from e2.training import fill_cache
from e2.training.fill_texts import fill_texts
from e2.training.optim import freeze_towers
from e2.training.run import start_run
from e2.training.tower_cache import TowerCache, require_fixed
from e2.training.validation import FirstPhotos
from tests.benchmarks.stubs import Shelf
from tests.conftest import TAGS, TINY, jpeg
from tests.e2.training.batches import random_batch


def make(backbone, method, frozen, **options):
    """A method in training mode, all but the last groups of its image tower frozen."""
    torch.manual_seed(0)
    kind = METHODS[method]
    options = {"selector": "hard", **options} if kind.uses_tokens else {}
    model = e2.create_model_and_transforms(backbone, tags=TAGS if kind.uses_tokens else (), **options)[0]
    for p in model.new_parameters():  # gates and shares start at zero
        nn.init.normal_(p, std=0.1)
    freeze_towers(model, OptimConfig(image_layers=frozen))
    return kind(model, LossConfig(distill_weight=0.5), TAGS).train()


def make_batch(method, count=6, texts=9):
    tokens = torch.randint(1, 70, (texts, method.model.context_length))
    return random_batch(method, tokens, count)


def gradients(method, batch):
    method.zero_grad()
    losses = method(batch)
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in method.named_parameters() if p.grad is not None}


LAYOUTS = [
    ("clip", {}),
    ("multifield", {}),
    ("filip", {}),
    *(("e2", {"locations": where, "gates": gates}) for where in ("local", "patches") for gates in ("stream", "pooled")),
    ("e2", {"locations": "patches", "layers": (1, 3, 4)}),
]


@pytest.mark.parametrize(("method", "layout"), LAYOUTS, ids=[f"{m}-{'-'.join(map(str, o.values()))}" for m, o in LAYOUTS])
@pytest.mark.parametrize("groups", [0, 1, 2, 3])
@pytest.mark.parametrize("backbone", ["test-tiny", "siglip"])
def test_gradients_from_activations_are_those_from_pixels(tiny, siglip, backbone, groups, method, layout):
    backbone = f"local-dir:{siglip}" if backbone == "siglip" else backbone
    made = make(backbone, method, groups, **layout)
    front, batch = made.front(), make_batch(made)
    losses, expected = gradients(made, batch)
    activations = front.run(open_tower(made.model.visual), batch.images)
    activations.pixels = batch.images if front.pixels else None
    assert set(activations.tensors()) == set(front.fields(open_tower(made.model.visual), (32, 32)))
    batch.images = activations
    found_losses, found = gradients(made, batch)
    assert found.keys() == expected.keys()
    assert not any(name.startswith("model.visual.") and name.split(".")[2] in ("conv1", "ln_pre") for name in found)
    for name, value in losses.items():
        torch.testing.assert_close(found_losses[name], value)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_the_front_ends_where_learning_or_a_token_begins(tiny):
    for groups, pooled, blocks in ((0, True, 4), (1, True, 4), (2, False, 3), (3, False, 2)):
        front = make(tiny, "clip", groups).front()
        assert (front.blocks, front.pooled, front.depths) == (blocks, pooled, () if pooled else (blocks,))
    front = make(tiny, "e2", 0, layers=(2, 4)).front()  # the class token takes in tokens after two blocks
    assert (front.blocks, front.depths, front.pooled, front.pixels) == (2, (2,), False, True)
    front = make(tiny, "e2", 0, layers=(2, 4), gates="pooled", locations="patches").front()
    assert (front.blocks, front.depths, front.pooled, front.pixels) == (4, (2, 4), True, False)
    front = make(tiny, "e2", 3, layers=(1, 4), gates="pooled", locations="patches").front()
    assert (front.blocks, front.depths, front.pooled) == (2, (1, 2), False)
    for layout in ({"attention": "one-way"}, {"attention": "full"}, {"reader": "paper"}):
        assert make(tiny, "e2", 0, **layout).front().blocks == 0
    assert make(tiny, "clip", None).front().blocks == 0


OPTIONS = {"data.tags": ",".join(TAGS), "data.batch_size": 16, "data.workers": 0, "device": "cpu", "eval_every": 4}
FROZEN = ["optim.image_layers=0", "optim.text_layers=0", "model.gates=pooled", "model.locations=patches"]


def run(shop, tiny, out, *settings, **options):
    return start_run(out, {**OPTIONS, "data.data": str(shop), "backbone": tiny, "steps": 6, **options}, settings=settings)


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*.safetensors")}


@pytest.mark.parametrize("text_layers", [0, 2])
def test_a_run_from_the_cache_ends_as_one_without(shop, tiny, tmp_path, text_layers):
    settings = [*FROZEN, "data.views=2", "optim.lr=1e-3", f"optim.text_layers={text_layers}"]
    plain = run(shop, tiny, tmp_path / "plain", *settings)
    cached = run(shop, tiny, tmp_path / "cached", *settings, **{"data.cache": str(tmp_path / "cache")})
    left, right = (load_file(tmp_path / name / "last.safetensors") for name in ("plain", "cached"))
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        # Activations are kept in half precision, and Adam makes a step's width of what is nearly zero.
        torch.testing.assert_close(right[name], tensor, atol=4e-3, rtol=2e-2)
        close = torch.isclose(right[name], tensor, atol=2e-4, rtol=2e-2)
        assert close.float().mean() > 0.99, name
    assert cached["history"][-1]["SumR"] == pytest.approx(plain["history"][-1]["SumR"], abs=20)
    kinds = {path.parent.name for path in files(tmp_path / "cache")}
    assert {"stream-3", "stream-4", "pooled", "found"} <= kinds and "pixels" not in kinds
    assert {path.parent.parent.name for path in files(tmp_path / "cache")} >= {"view-0", "view-1"}
    (texts,) = {path.parent for path in files(tmp_path / "cache") if path.parent.parent == tmp_path / "cache"}
    kept = [load_file(path) for path in texts.glob("*.safetensors")]
    rows, lengths = (torch.cat([each[kind] for each in kept]) for kind in ("rows", "lengths"))
    assert rows.shape == (lengths.sum(), 16) and (lengths > 1).all() == bool(text_layers)


def test_autocast_reaches_no_process_that_reads_the_cache(shop, tiny, tmp_path):
    options = {"precision": "bf16", "data.workers": 1, "data.cache": str(tmp_path / "cache")}
    assert run(shop, tiny, tmp_path / "run", *FROZEN, **options)["step"]


def test_runs_share_a_cache_and_add_what_they_need(shop, tiny, tmp_path):
    cache = {"data.cache": str(tmp_path / "cache"), "data.augment": "light"}
    run(shop, tiny, tmp_path / "a", *FROZEN, **cache)
    first = files(tmp_path / "cache")
    run(shop, tiny, tmp_path / "b", *FROZEN, method="clip", **cache)
    run(shop, tiny, tmp_path / "c", *FROZEN, seed=0, steps=3, **cache)
    assert files(tmp_path / "cache") == first
    run(shop, tiny, tmp_path / "d", *FROZEN, "model.locations=local", **cache)
    second = files(tmp_path / "cache")
    assert {path.parent.name for path in second.keys() - first.keys()} == {"pixels"} | {"pooled", "found"} - {
        "pooled",
        "found",
    }
    run(shop, tiny, tmp_path / "e", *FROZEN, "data.views=2", **cache)
    third = files(tmp_path / "cache")
    assert {path.parent.parent.name for path in third.keys() - second.keys()} == {"view-1"}


def test_shares_of_processes_stay_the_same_while_others_write(tmp_path, monkeypatch):
    monkeypatch.setattr("e2.training.tower_cache.SHARD", 4)
    cache = TowerCache(tmp_path, {"pooled": (8,)}, photos=18, views=2, transform=None)
    shares = [cache.missing(rank, 2) for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == cache.missing() and len(cache.missing()) == 10
    for name in ("pooled", "found"):  # the first process is ahead
        path = cache.file(*shares[0][0], name)
        path.parent.mkdir(parents=True)
        path.touch()
    assert cache.missing(0, 2) == shares[0][1:] and cache.missing(1, 2) == shares[1]


@pytest.mark.parametrize("count", [3, AT_ONCE, AT_ONCE + 7])
def test_a_new_cache_of_texts_encodes_each_once(bert_clip, tmp_path, monkeypatch, count):
    tokens = torch.arange(1, count + 1).unsqueeze(1) % 90 * torch.ones(12, dtype=torch.long)
    tokens[:, 1] = torch.arange(count) // 80 + 1
    texts, ran = FrozenTexts(WholeTower(bert_clip.eval())), []
    run_front = WholeTower.run
    monkeypatch.setattr(WholeTower, "run", lambda self, part: ran.append(len(part)) or run_front(self, part))
    fill_texts(texts, tmp_path, list(map(str, range(count))), lambda names: tokens[list(map(int, names))], "fp32")
    assert sum(ran) == count
    torch.testing.assert_close(texts(tokens), encode_packed(bert_clip, tokens))


def test_texts_of_the_same_tokens_are_kept_once(bert_clip, tmp_path):
    known = {"Nike": 1, "nike": 1, "tee": 2, "Tee ": 2, "red": 3}

    def tokenizer(texts):
        tokens = torch.zeros(len(texts), 12, dtype=torch.long)
        tokens[:, 0] = torch.tensor([known[text] for text in texts])
        return tokens

    expected = encode_packed(bert_clip.eval(), tokenizer(list(known)))
    for folder in (tmp_path, tmp_path):  # written, then read
        texts = FrozenTexts(WholeTower(bert_clip))
        fill_texts(texts, folder, sorted(known), tokenizer, "fp32")
        assert texts.unknown(text_keys(tokenizer(list(known))).tolist()) == []
        torch.testing.assert_close(texts(tokenizer(list(known))), expected)
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(InputError, match=f"{file.name} is damaged"):
        fill_texts(FrozenTexts(WholeTower(bert_clip)), tmp_path, sorted(known), tokenizer, "fp32")


def test_a_killed_filling_goes_on_where_it_was(shop, tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("e2.training.tower_cache.SHARD", 16)
    cache, write = {"data.cache": str(tmp_path / "cache")}, fill_cache.CacheFiller._write
    written = []

    def stop_at_the_third(self, where, rows):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(where)
        write(self, where, rows)

    monkeypatch.setattr(fill_cache.CacheFiller, "_write", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(shop, tiny, tmp_path / "run", *FROZEN, **cache)
    before = files(tmp_path / "cache")
    assert written == [(0, 0), (0, 1), (0, 2)]
    assert "60 photos through the frozen layers" in capfd.readouterr().err
    monkeypatch.setattr(fill_cache.CacheFiller, "_write", write)
    run(shop, tiny, tmp_path / "run", *FROZEN, **cache)
    after = files(tmp_path / "cache")
    assert before.items() <= after.items() and len(after) > len(before)
    assert "12 photos through the frozen layers" in capfd.readouterr().err  # the last of 4 files of 16


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
def test_a_photo_lost_meanwhile_is_named_or_replaced(tiny, tmp_path, monkeypatch, on_bad_row):
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "e2cache"))
    for split, count in (("train", 20), ("val", 4)):
        for number in range(count):
            (tmp_path / f"{split}{number}.jpg").write_bytes(jpeg((9 * number, 90, 160), number))
        rows = [{"product_id": f"{split}{i}", "image": f"{split}{i}.jpg", "caption": f"tee {i}"} for i in range(count)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    check = fill_cache.CacheFiller.fill

    def lose(self):
        (tmp_path / "train3.jpg").write_bytes(b"broken")
        check(self)

    monkeypatch.setattr(fill_cache.CacheFiller, "fill", lose)
    options = {"method": "clip", "data.cache": str(tmp_path / "cache"), "data.on_bad_row": on_bad_row, "data.tags": ""}
    if on_bad_row == "error":
        with pytest.raises(InputError, match="'train3'"):
            run(tmp_path, tiny, tmp_path / "run", "optim.image_layers=0", **options)
    else:
        run(tmp_path, tiny, tmp_path / "run", "optim.image_layers=0", **options)


def test_a_product_shows_each_of_its_photos_from_the_cache(tiny, tmp_path):
    photos = [[jpeg((60 * i, 90, 200), i) for i in range(1 + row)] for row in range(3)]
    shelf = Shelf([Product(f"p{row}", own, (f"tee {row}",)) for row, own in enumerate(photos)])
    made = make(tiny, "clip", 0)
    transform = photo_transform(made.model.visual.preprocess_cfg)
    views = TrainingViews(shelf, transform, (), text="caption", prompt="{tag}", seed=0, views=1)
    fill = {"views": 1, "precision": "fp32", "workers": 0, "context": contextlib.nullcontext}
    fill_cache.read_from_cache(views.fixed, tmp_path, made.model.eval(), made.front(), **fill)
    own = [[views.fixed.cache.read(0, row).pooled for row in rows] for rows in ([0], [1, 2], [3, 4, 5])]
    shown = [{turn: views[(turn, row)].image.pooled for turn in range(30)} for row in range(3)]
    for kept, turns in zip(own, shown, strict=True):
        met = [[torch.equal(photo, seen) for photo in kept].index(True) for seen in turns.values()]
        assert set(met) == set(range(len(kept)))
    expected = made.model.visual(transform(shelf[2].images[1])[None])[0]
    pooled = views.fixed.cache.read(0, 4).pooled.float()
    torch.testing.assert_close(pooled @ made.model.visual.proj, expected, atol=2e-3, rtol=0)


def test_a_photo_of_val_that_is_lost_meanwhile_is_a_blank_one(tiny, tmp_path):
    shelf = Shelf([Product(f"p{row}", [jpeg((60 * row, 90, 200), row) if row else b"broken"], ("tee",)) for row in range(2)])
    made = make(tiny, "clip", 0)
    photos = FirstPhotos(shelf, photo_transform(made.model.visual.preprocess_cfg), "caption")
    plain = [photos[row] for row in range(2)]
    fill = {"views": 1, "precision": "fp32", "workers": 0, "context": contextlib.nullcontext}
    fill_cache.read_from_cache(photos.photos, tmp_path, made.model.eval(), made.front(), **fill)
    for row, (photo, text, lost) in enumerate(plain):
        kept, same_text, told = photos[row]
        assert text == same_text and bool(told) == bool(lost) == (row == 0)
        expected, found = (made.model.encode_image(x.unsqueeze(0) if x is photo else stack_photos([x])) for x in (photo, kept))
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_one_kept_view_is_that_of_evaluation_unless_told(tmp_path):
    for given, kind in (({}, "light"), ({"cache": "c"}, "none"), ({"cache": "c", "views": 2}, "light")):
        assert DataConfig(data="boutique", **given).augmentation == kind
        assert DataConfig(data="boutique", augment="strong", **given).augmentation == "strong"


def test_what_cannot_be_kept_is_refused(shop, tiny, tmp_path, monkeypatch):
    cache = {"data.cache": str(tmp_path / "cache")}
    with pytest.raises(InputError, match="optim.image_layers"):
        run(shop, tiny, tmp_path / "run", **cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(InputError, match="has room for 0 MB; name another folder"):
        run(shop, tiny, tmp_path / "run", *FROZEN, **cache)


def test_a_cache_that_cannot_be_written_is_named(shop, tiny, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "in it"):
        with pytest.raises(InputError, match=r"--cache .*file.*cannot be written"):
            run(shop, tiny, tmp_path / "run", *FROZEN, **{"data.cache": str(folder)})


def test_a_front_that_drops_at_random_is_refused(tiny):
    made = make(tiny, "clip", 3)
    require_fixed(made.model, made.front())
    made.model.visual.patch_dropout = open_clip.transformer.PatchDropout(0.5)
    with pytest.raises(InputError, match="patch_dropout"):
        require_fixed(made.model, made.front())


def test_activations_beyond_half_precision_are_refused(shop, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(open_clip.transformer.VisionTransformer, "_embeds", lambda self, x: torch.full((len(x), 17, 32), 1e6))
    with pytest.raises(InputError, match="half precision"):
        run(shop, tiny, tmp_path / "run", *FROZEN, **{"data.cache": str(tmp_path / "cache")})


@pytest.fixture
def bert_clip(tmp_path):
    """A CLIP whose text tower is a small BERT with dropout."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 90}
    BertConfig(**small).save_pretrained(tmp_path / "bert")
    text = {"hf_model_name": str(tmp_path / "bert"), "hf_pooler_type": "mean_pooler", "hf_proj_type": "linear"}
    text |= {"hf_model_pretrained": False, "context_length": 12, "hf_tokenizer_name": str(tmp_path / "bert")}
    torch.manual_seed(0)
    clip = open_clip.CustomTextCLIP(embed_dim=16, vision_cfg=TINY["vision_cfg"], text_cfg=text)
    clip.lock_text_tower(0)
    return clip


def test_texts_of_a_frozen_tower_are_encoded_once(bert_clip, tiny, monkeypatch):
    native = e2.create_model_and_transforms(tiny)[0].clip
    assert text_front(native) is None
    native.lock_text_tower(0)
    for clip in (bert_clip.eval(), native.eval()):
        front = text_front(clip)
        assert isinstance(front, WholeTower)
        texts, tokens = FrozenTexts(front), torch.randint(1, 90, (AT_ONCE + 7, clip.context_length))
        expected = encode_packed(clip, tokens)
        torch.testing.assert_close(texts(tokens), expected)
        texts.add(text_keys(tokens).tolist(), texts.encode(tokens))
        with monkeypatch.context() as patch:
            patch.setattr(FrozenTexts, "encode", None)  # all are known
            order = torch.randperm(len(tokens))
            torch.testing.assert_close(texts(tokens[order]), expected[order])
    bert_clip.text.proj.weight.grad = None
    FrozenTexts(WholeTower(bert_clip))(tokens[:, :12] % 90).sum().backward()
    assert bert_clip.text.proj.weight.grad is not None


def test_padding_of_a_transformers_tower_is_cut(bert_clip):
    tokens = torch.randint(1, 90, (5, 12))
    tokens[:, 6:] = 0
    tokens[2, 3:] = 0
    cut = cut_to_longest(bert_clip.eval(), tokens)
    assert cut.shape == (5, 8)
    torch.testing.assert_close(bert_clip.encode_text(cut), bert_clip.encode_text(tokens))
    tokens[3, 10:] = torch.tensor([5, 6])  # of another length: encoded apart
    torch.testing.assert_close(encode_packed(bert_clip, tokens), bert_clip.encode_text(tokens))


def test_frozen_layers_stay_at_inference_in_training(bert_clip):
    model = E2(bert_clip, ModelConfig())
    model.lock_image_tower(2)
    model.train()
    assert not bert_clip.text.transformer.training and bert_clip.text.proj.training
    blocks = bert_clip.visual.transformer.resblocks
    assert [block.training for block in blocks] == [False, False, False, True]


def test_texts_of_all_lengths_share_one_lookup_and_keep_their_gradients(bert_clip):
    tokens = torch.randint(1, 90, (6, 12))
    tokens[::2, 5:] = 0
    weight = bert_clip.eval().text.transformer.get_input_embeddings().weight.requires_grad_()
    together, apart = encode_packed(bert_clip, tokens), bert_clip.encode_text(tokens)
    cotangent = torch.randn_like(apart)
    gradients = [torch.autograd.grad((output * cotangent).sum(), weight)[0] for output in (together, apart)]
    torch.testing.assert_close(*gradients)
    assert lookups(encode_packed(bert_clip, tokens), weight) == 1


def lookups(output: torch.Tensor, weight: torch.Tensor) -> int:
    """Number of operations in the graph of ``output`` that read ``weight``."""
    nodes, known, count = [output.grad_fn], set(), 0
    while nodes:
        for node, _ in nodes.pop().next_functions:
            count += getattr(node, "variable", None) is weight
            if node is not None and node not in known:
                known.add(node)
                nodes.append(node)
    return count
