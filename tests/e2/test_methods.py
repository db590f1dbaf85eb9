"""The methods beside ``clip`` and ``e2``: their parts against plain loops, and each through the real entry point."""

import copy
import json
import math
from dataclasses import replace

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import logsigmoid, normalize
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typer.testing import CliRunner

import e2
from e2 import late_interaction, losses
from e2.batch import Batch, Features
from e2.config import LossConfig
from e2.late_interaction import late_interaction_loss, late_similarities
from e2.losses import contrastive_loss
from e2.methods import METHODS
from e2.training.grad_cache import CachedFeatures
from e2.training.run import start_run
from e2.words import read_words, word_positions
from tests.conftest import TAGS, TINY

NEW = ("filip", "clip-lite", "ei-clip")
SCALE = torch.tensor(7.0)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def a_batch(products: int = 6) -> Batch:
    """Products of a few descriptions and tags; one without any tag, one description twice."""
    texts = ["a red tee!", "a blue dress with a very long hem", "brown boots", "Nike", "Puma", "Summer", "red", "blue"]
    tokens = open_clip.get_tokenizer("e2-nano")(texts)
    text_index = torch.tensor([0, 1, 2, 0, 1, 2])[:products]
    tag_index = torch.tensor([[3, 5, 6], [4, -1, 7], [-1, -1, -1], [3, 5, 6], [3, 5, 7], [4, 5, -1]])[:products]
    return Batch(draw(products, 3, 32, 32).detach(), tokens, text_index, tag_index, torch.arange(len(texts)))


def plain_model(tiny):
    torch.manual_seed(0)
    return e2.create_model_and_transforms(tiny)[0]


@pytest.fixture
def method(tiny):
    def make(name, **loss):
        model = plain_model(tiny)
        return METHODS[name](model, LossConfig(**loss), TAGS)

    return make


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory) -> str:
    """A tiny model of the sigmoid kind: a logit bias, and a scale of 117.7 like the published SigLIP's."""
    path = tmp_path_factory.mktemp("configs") / "test-tiny-sigmoid.json"
    path.write_text(json.dumps({**TINY, "init_logit_scale": 4.7677, "init_logit_bias": -10.0}))
    open_clip.add_model_config(path)
    return "test-tiny-sigmoid"


# --- filip ----------------------------------------------------------------------------------------------------------


def naive_late(patches, words, mask):
    """Photo by photo, text by text, token by token."""
    to_text, to_photo = [], []
    for photo in patches:
        rows = []
        for text, valid in zip(words, mask, strict=True):
            real = text[valid]
            cosines = torch.stack([torch.stack([normalize(p, dim=0) @ normalize(w, dim=0) for w in real]) for p in photo])
            rows.append((cosines.max(dim=1).values.mean(), cosines.max(dim=0).values.mean()))
        to_text.append(torch.stack([row[0] for row in rows]))
        to_photo.append(torch.stack([row[1] for row in rows]))
    return torch.stack(to_text), torch.stack(to_photo)


MASK = torch.arange(5) < torch.tensor([[5], [2], [1], [4]])


@pytest.mark.parametrize("tile", [1 << 20, 2 * 2 * 3 * 5, 1])
def test_late_interaction_equals_the_loop_by_any_tiles(monkeypatch, tile):
    patches, words, scale = draw(4, 3, 8), draw(4, 5, 8, seed=1), SCALE.clone().requires_grad_()
    photos = naive_late(patches, words, MASK)
    monkeypatch.setattr(late_interaction, "CPU_TILE", tile)
    ours = late_similarities(patches, words, MASK)
    for mine, theirs in zip(ours, photos, strict=True):
        assert_close(mine, theirs)
    targets = torch.arange(4)
    cross_entropy = torch.nn.functional.cross_entropy
    naive = (cross_entropy(scale * photos[0], targets) + cross_entropy(scale * photos[1].T, targets)) / 2
    loss = late_interaction_loss(patches, words, MASK, scale)
    assert_close(loss, naive)
    leaves = [patches, words, scale]
    for mine, theirs in zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(naive, leaves), strict=True):
        assert_close(mine, theirs)


def test_padded_words_take_no_part():
    patches, words = draw(4, 3, 8), draw(4, 5, 8, seed=1)
    other = torch.where(MASK.unsqueeze(-1), words, 100 * draw(4, 5, 8, seed=2))
    assert_close(late_similarities(patches, other, MASK), late_similarities(patches, words, MASK))
    gradient = torch.autograd.grad(late_interaction_loss(patches, words, MASK, SCALE), words)[0]
    assert gradient[~MASK].abs().sum() == 0 and (gradient[MASK].abs().sum(dim=-1) > 0).any()


class Largest(TorchDispatchMode):
    """Notes the most elements that any operation's result has."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


def test_late_interaction_never_holds_all_cosines(monkeypatch):
    patches, words = draw(32, 10, 4), draw(32, 8, 4, seed=1)
    whole, tile = 32 * 10 * 32 * 8, 4000
    monkeypatch.setattr(late_interaction, "CPU_TILE", tile)
    with Largest() as seen:
        late_interaction_loss(patches, words, torch.ones(32, 8, dtype=torch.bool), SCALE).backward()
    assert tile / 2 < seen.elements <= tile < whole / 20


def test_the_sigmoid_loss_never_holds_all_logits(monkeypatch):
    monkeypatch.setattr(losses, "BLOCK", 8)
    with Largest() as seen:
        losses.sigmoid_loss(draw(64, 4), draw(64, 4, seed=1), torch.arange(64), SCALE, torch.tensor(-10.0)).backward()
    assert seen.elements == 8 * 64


@pytest.mark.parametrize("length", [16, 77])
def test_words_of_a_causal_tower(tiny, length):
    clip = plain_model(tiny).clip
    tokens = open_clip.get_tokenizer(tiny)(["a red tee!", "boots", "! ! !"])[:, :length]
    text, words, mask = read_words(clip, tokens)
    whole = clip.encode_text(torch.nn.functional.pad(tokens, (0, 77 - length)))
    assert_close(text, whole)
    ends = tokens.argmax(dim=-1)
    assert mask.sum(dim=1).tolist() == (ends + 1).tolist() == [6, 3, 5]  # with start and end; "!" is token 0, like padding
    assert_close(words[torch.arange(3), ends], whole)  # the answer is read at the end mark


def test_words_of_a_bidirectional_tower_with_its_own_padding():
    text_cfg = {**TINY["text_cfg"], "context_length": 8, "vocab_size": 20, "no_causal_mask": True, "pool_type": "last"}
    text_cfg |= {"proj_bias": True}
    torch.manual_seed(0)
    clip = open_clip.CustomTextCLIP(TINY["embed_dim"], TINY["vision_cfg"], text_cfg)
    tokens = torch.tensor([[5, 6, 7, 1, 1, 1, 1, 1], [5, 6, 7, 8, 9, 10, 11, 1], [5, 6, 7, 8, 9, 10, 11, 12]])
    text, words, mask = read_words(clip, tokens)
    assert_close(text, clip.encode_text(tokens))
    assert_close(words[:, -1], text)
    assert mask.sum(dim=1).tolist() == [4, 8, 8]


def test_a_text_tower_without_words_is_refused_before_training(tiny):
    model = plain_model(tiny)
    model.clip.text = torch.nn.Linear(2, 2)  # as Hugging Face's towers: nothing of open_clip's own inside
    with pytest.raises(e2.InputError, match="gives no words"):
        METHODS["filip"](model, LossConfig())


def test_eos_pooling_ends_at_the_eos_token():
    cfg = {**TINY["text_cfg"], "context_length": 6, "vocab_size": 20, "eos_id": 2, "pool_type": "eos"}
    clip = open_clip.CLIP(TINY["embed_dim"], TINY["vision_cfg"], cfg)
    assert word_positions(clip, torch.tensor([[9, 7, 2, 0, 0, 0], [9, 2, 19, 0, 0, 0]])).sum(dim=1).tolist() == [3, 2]


def test_patches_are_open_clips_own_normed_and_projected(method):
    filip = method("filip").eval()
    images, visual = a_batch().images, filip.model.visual
    features = filip.image_features(images)
    theirs = visual.forward_intermediates(images, indices=1, normalize_intermediates=True, output_fmt="NLC")
    assert_close(features["patches"], theirs["image_intermediates"][0] @ visual.proj)
    assert_close(features["image"], visual(images))


def test_patches_of_a_tower_that_pools_by_attention_are_pooled_alone(siglip):
    torch.manual_seed(0)
    filip = METHODS["filip"](e2.create_model_and_transforms(f"local-dir:{siglip}")[0], LossConfig()).eval()
    images, trunk = a_batch(2).images, filip.model.visual.trunk
    features = filip.image_features(images)
    states = trunk.forward_features(images)  # (2, N, W)
    for photo in range(2):
        for patch in range(states.shape[1]):
            alone = trunk.attn_pool(states[photo, patch].view(1, 1, -1))[0]
            assert_close(features["patches"][photo, patch], alone, rtol=1e-4, atol=1e-4)
    assert_close(features["image"], filip.model.encode_image(images))


def test_filip_loss_is_made_of_its_parts(method):
    filip, batch = method("filip", late_weight=0.3, global_weight=2.0), a_batch(3)
    features = filip.features(batch)
    _, words, mask = read_words(filip.model.clip, batch.tokens)
    late = naive_late(features.images["patches"], words[:3], mask[:3])
    scale, targets = 1 / 0.07, torch.arange(3)
    cross_entropy = torch.nn.functional.cross_entropy
    late = (cross_entropy(scale * late[0], targets) + cross_entropy(scale * late[1].T, targets)) / 2
    plain = contrastive_loss(features.images["image"], features.texts["text"][:3], filip.model.logit_scale.exp())
    losses = filip.losses(features, batch)
    assert_close(losses, {"global_loss": 2.0 * plain, "late_loss": 0.3 * late})


def test_words_of_parts_cut_to_other_lengths_fit_together(method):
    filip, batch = method("filip"), a_batch()
    whole = filip.losses(filip.features(batch), batch)
    shorter = [filip.text_features(batch.tokens[rows, :length]) for rows, length in ((slice(0, 3), 16), (slice(3, 8), 8))]
    texts = {name: torch.cat([part[name] for part in shorter]) for name in shorter[0]}
    assert_close(filip.losses(Features(filip.image_features(batch.images), texts), batch), whole)


# --- clip-lite ------------------------------------------------------------------------------------------------------


def test_e2_contrasts_tags_with_the_image_embedding_too_if_asked_to(tiny):
    torch.manual_seed(0)
    model, batch = e2.create_model_and_transforms(tiny, tags=TAGS)[0].eval(), a_batch()
    both = METHODS["e2"](model, LossConfig(image_tag_weight=0.5, region_weight=2.0), TAGS)
    image_alone = METHODS["multifield"](model, LossConfig(region_weight=0.5), TAGS)
    features = both.features(batch)
    losses = both.losses(features, batch)
    assert list(losses) == ["global_loss", "region_loss", "image_tag_loss"]
    assert_close(losses["region_loss"], 2.0 * both.tag_loss(features.images["regions"], features, batch))
    assert_close(losses["image_tag_loss"], image_alone.losses(features, batch)["region_loss"])
    assert "image_tag_loss" not in METHODS["e2"](model, LossConfig(), TAGS).losses(features, batch)


def test_clip_lite_negatives_never_share_description_or_tag(method):
    """With all features alike, each pair costs softplus(-s) or softplus(s): a wrong negative would show in the value."""
    lite, batch = method("clip-lite", negatives=2), a_batch()
    images = {"image": torch.ones(6, 16)}
    texts = torch.ones(8, 16) * torch.tensor([1, -1, 1, 1, -1, 1, 1, -1.0]).unsqueeze(1)
    losses = lite.losses(Features(images, {"text": texts}), batch)
    s = lite.model.logit_scale.exp()
    soft = torch.nn.functional.softplus
    # Brand: Nike (+) for 0, 3, 4, Puma (-) for 1, 5. A Nike photo is right with +, and its negatives are all Puma.
    nike, puma = soft(-s) + soft(-s), soft(s) + soft(s)
    brand = (3 * nike + 2 * puma) / 5
    season = soft(-s)  # one season only: no negatives
    colour = (2 * (soft(-s) + soft(-s)) + 2 * (soft(s) + soft(s))) / 4
    assert_close(losses["region_loss"], 3.0 * (brand + season + colour) / 3)


def test_clip_lite_needs_no_tags_and_no_softmax(method):
    lite, batch = method("clip-lite"), a_batch()
    without = replace(batch, tag_index=batch.tag_index[:, :0])
    features = lite.features(batch)
    losses = lite.losses(features, without)
    assert list(losses) == ["global_loss"]
    assert_close(losses["global_loss"], lite.losses(features, batch)["global_loss"])


# --- ei-clip --------------------------------------------------------------------------------------------------------


def test_entity_aware_text_equals_the_loop_and_is_the_plain_text_without_tags(method):
    ei, batch = method("ei-clip"), a_batch()
    torch.nn.init.normal_(ei.entities.select.query.weight)
    for branch in ei.entities.branches:
        torch.nn.init.normal_(branch.up.weight)
    features = ei.features(batch)
    aware = ei.entity_aware_texts(features, batch)
    for i in range(6):
        text = normalize(features.texts["text"][batch.text_index[i]], dim=0)
        query = ei.entities.select.query(text)
        tags = [features.texts["entities"][row, e] for e, row in enumerate(batch.tag_index[i]) if row >= 0]
        weights = torch.stack([torch.tensor(0.0), *(query @ tag for tag in tags)]).softmax(0)
        expected = text + sum(weight * tag for weight, tag in zip(weights[1:], tags, strict=True))
        assert_close(aware[i], expected)
        if not tags:
            assert_close(aware[i], text)


def test_entity_branches_start_as_the_tags_own_text(method):
    ei, batch = method("ei-clip"), a_batch()
    texts = ei.text_features(batch.tokens)
    for entity in range(3):
        assert_close(texts["entities"][:, entity], normalize(texts["text"], dim=-1))


def test_all_of_ei_clip_learns(method):
    ei, batch = method("ei-clip"), a_batch()
    for branch in ei.entities.branches:
        torch.nn.init.normal_(branch.up.weight, std=0.1)  # away from the start, where the branch's first half gets no gradient
    sum(ei(batch).values()).backward()
    own = dict(ei.entities.named_parameters())
    assert {name for name, p in own.items() if p.grad is None or not p.grad.any()} == set()
    assert len(ei.own_parameters()) == len(own)


# --- sigmoid --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clip", "multifield", "e2"])
def test_a_model_with_a_logit_bias_learns_by_the_sigmoid(tiny_siglip, name):
    torch.manual_seed(0)
    kind = METHODS[name]
    model = e2.create_model_and_transforms(tiny_siglip, tags=TAGS if kind.uses_tokens else ())[0].eval()
    method, batch = kind(model, LossConfig(region_weight=1.0), TAGS), a_batch()
    features = method.features(batch)
    image, texts = features.images["image"], features.texts["text"]
    scale, bias = model.logit_scale.exp(), model.logit_bias

    def by_pairs(features, rows):
        """The mean over the photos of the sum over the different texts of the batch."""
        kept = rows >= 0
        features, rows = features[kept], rows[kept]
        total = 0.0
        for feature, row in zip(features, rows, strict=True):
            for text in rows.unique():
                logit = scale * normalize(feature, dim=0) @ normalize(texts[text], dim=0) + bias
                total = total - logsigmoid(logit if text == row else -logit)
        return total / len(features)

    losses = method.losses(features, batch)
    assert_close(losses["global_loss"], by_pairs(image, batch.text_index))
    if kind.uses_tags:
        regions = features.images["regions"] if kind.uses_tokens else image.unsqueeze(1).expand(-1, 3, -1)
        expected = sum(by_pairs(regions[:, e], batch.tag_index[:, e]) for e in range(3)) / 3
        assert_close(losses["region_loss"], expected)
    sum(losses.values()).backward()
    assert bias.grad.abs() > 0


def test_a_sigmoid_run_keeps_the_scale_that_it_started_from(shop, tiny_siglip, tmp_path):
    run(shop, tiny_siglip, tmp_path / "run", {"method": "multifield", "steps": 2, "optim.lr": 1e-4})
    model, _, _ = e2.load(tmp_path / "run")
    assert model.logit_scale.exp() > 110 and -10.1 < model.logit_bias < -9.9 and model.logit_bias != -10


def test_the_kind_of_loss_can_be_chosen(tiny, tiny_siglip):
    model = e2.create_model_and_transforms(tiny_siglip)[0]
    method, batch = METHODS["clip"](model, LossConfig(kind="softmax")), a_batch()
    features = method.features(batch)
    expected = contrastive_loss(
        features.images["image"], features.texts["text"][batch.text_index], method.model.logit_scale.exp()
    )
    assert_close(method.losses(features, batch)["global_loss"], expected)
    with pytest.raises(e2.InputError, match="logit bias"):
        METHODS["clip"](plain_model(tiny), LossConfig(kind="sigmoid"))
    with pytest.raises(e2.InputError, match="unknown kind .hinge.; choose one of auto, softmax, sigmoid"):
        LossConfig(kind="hinge")


@pytest.mark.parametrize(("most", "scales"), [(100.0, [30.0, 100.0]), (None, [30.0, 300.0])])
def test_scales_of_the_tags_are_clamped_as_the_models_own_is_or_not_at_all(method, most, scales):
    multifield = method("multifield", max_logit_scale=most)
    assert_close(multifield.tag_scale(), torch.full((len(TAGS),), 30.0))
    with torch.no_grad():
        multifield.log_tag_scales[1] = math.log(300)
    assert_close(multifield.tag_scale()[:2], torch.tensor(scales))


# --- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEW)
def test_gradients_by_chunks_are_those_of_the_whole_batch(method, name):
    whole = method(name, distill_weight=0.5)
    torch.nn.init.normal_(whole.model.clip.visual.proj)  # away from the start model
    parts, batch = copy.deepcopy(whole), a_batch()
    sum(whole(batch).values()).backward()
    cached = CachedFeatures(parts, batch, 3)
    sum(parts.losses(cached.features, batch).values()).backward()
    cached.backward()
    for mine, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        assert (mine.grad - theirs.grad).norm() <= 1e-5 * theirs.grad.norm()


OPTIONS = {"data.tags": ",".join(TAGS), "data.batch_size": 8, "data.workers": 0, "device": "cpu", "eval_every": 3}


def run(shop, tiny, out, options, **kwargs):
    return start_run(out, {**OPTIONS, "data.data": str(shop), "backbone": tiny, "steps": 6, **options}, **kwargs)


@pytest.fixture(scope="session")
def weights_file(tiny, tmp_path_factory):
    """A file of start weights for the tiny backbone."""
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in plain_model(tiny).clip.state_dict().items()}, path)
    return str(path)


CASES = {name: {"method": name} for name in NEW}
CASES["distilled"] = {"method": "clip", "loss.distill_weight": 1.0}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("case", list(CASES))
def test_a_run_cut_short_resumes_to_the_same_bits(shop, tiny, weights_file, tmp_path, monkeypatch, case):
    options = {**CASES[case], "save_every": 2, "pretrained": weights_file}
    through = run(shop, tiny, tmp_path / "through", options)
    kind, calls = METHODS[options["method"]], iter(range(5))
    losses = kind.losses

    def power_cut(self, *inputs):
        next(calls)
        return losses(self, *inputs)

    with monkeypatch.context() as patch, pytest.raises((StopIteration, RuntimeError)):
        patch.setattr(kind, "losses", power_cut)
        run(shop, tiny, tmp_path / "cut", options)
    resumed = run(shop, tiny, tmp_path / "cut", options, resume=True)
    assert resumed["history"] == through["history"]
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("through", "cut")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert weights[0].keys() == plain_model(tiny).clip.state_dict().keys()  # nothing of the method's own, no start model


def test_distillation_holds_the_image_tower(method):
    batch, turned = a_batch(), {}
    for weight in (0.0, 20.0):
        distilled = method("clip", distill_weight=weight or 1e-9)
        optimizer = torch.optim.AdamW(distilled.parameters(), lr=2e-3)
        for _ in range(8):
            optimizer.zero_grad()
            sum(distilled(batch).values()).backward()
            optimizer.step()
        turned[weight] = distilled(batch)["distill_loss"].item() / (weight or 1e-9)
    assert turned[20.0] < turned[0.0] / 3


def test_the_start_tower_is_frozen_and_belongs_to_nobody(method):
    distilled, batch = method("clip", distill_weight=1.0), a_batch()
    names = {name for name, _ in distilled.named_parameters()} | set(distilled.state_dict())
    assert all(name.startswith("model.") for name in names) and distilled.own_parameters() == []
    assert_close(distilled(batch)["distill_loss"], torch.tensor(0.0), atol=1e-6, rtol=0)
    start = distilled.start(batch.images)
    with torch.no_grad():
        distilled.model.visual.proj.normal_()
    distilled.train()
    assert_close(distilled.start(batch.images), start)
    assert not distilled.start(batch.images).requires_grad


def test_distillation_from_nothing_is_refused(shop, tiny, tmp_path):
    with pytest.raises(e2.InputError, match="--pretrained"):
        run(shop, tiny, tmp_path / "run", {"method": "clip", "loss.distill_weight": 1.0})


def test_every_method_is_named_in_the_help():
    from e2.commands import app

    text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    assert all(name in text for name in METHODS)


# --- clip-pooled, multifield-pooled ---------------------------------------------------------------------------------


def with_tokens(tiny, name, **options):
    torch.manual_seed(0)
    return METHODS[name](e2.create_model_and_transforms(tiny, tags=TAGS, **options)[0], LossConfig(), TAGS)


@pytest.mark.parametrize(("pooled", "plain"), [("clip-pooled", "clip"), ("multifield-pooled", "multifield")])
def test_a_pooled_control_has_the_parameters_of_e2_and_the_losses_of_its_plain_method(tiny, method, pooled, plain):
    made, batch = with_tokens(tiny, pooled), a_batch()
    count = [sum(p.numel() for p in each.model.parameters()) for each in (made, with_tokens(tiny, "e2"))]
    assert count[0] == count[1]
    for name, value in method(plain)(batch).items():  # gates and shares start at zero: the same image embedding
        assert_close(made(batch)[name], value)
    with torch.no_grad():
        for p in (*made.model.reader.gates.values(), made.model.reader.shares):
            p.fill_(0.1)
    losses = made(batch)
    assert losses.keys() == method(plain)(batch).keys()
    sum(losses.values()).backward()
    assert all(fusion.query.weight.grad.any() for fusion in made.model.reader.fusions.values())


def test_uniform_selection_is_the_mean_of_all_locations(tiny):
    model = with_tokens(tiny, "clip-pooled", selector="uniform").model
    chosen = model.selections(torch.randn(2, 3, 32, 32))
    for weights in (weights for layers in chosen.values() for weights in layers.values()):
        assert_close(weights, torch.full_like(weights, 1 / weights[0, 0].numel()))
