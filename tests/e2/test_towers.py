"""Image towers behind the seam: timm's (SigLIP's attention pool, mean, class token with registers), native ones, odd sizes."""

import copy

import open_clip
import pytest
import torch
from open_clip.model import resize_pos_embed
from torch.testing import assert_close

import e2
from e2.backbones import create_backbone
from e2.config import ModelConfig
from e2.model import E2
from e2.towers import open_tower
from tests.conftest import SIGLIP, TAGS, TINY

TOWERS = {
    "siglip": {"timm_model_name": "vit_e2_tiny", "timm_pool": "map", "timm_proj": "none"},
    "map with projection": {"timm_model_name": "vit_e2_tiny", "timm_pool": "map", "timm_proj": "linear"},
    "mean": {"timm_model_name": "vit_e2_tiny", "timm_pool": "avg", "timm_proj": "linear"},
    "class token": {"timm_model_name": "vit_e2_tiny_cls", "timm_pool": "token", "timm_proj": "linear"},
    "classifier as projection": {"timm_model_name": "vit_e2_tiny_cls", "timm_pool": "token", "timm_proj": ""},
    "native mean": {**TINY["vision_cfg"], "pool_type": "avg"},
    "native": TINY["vision_cfg"],
}
NO_CLASS_TOKEN = ("siglip", "mean", "native mean")


def build(tower: str, size=32, **options) -> E2:
    """A model on one of the towers, no parameter of which is zero or one by chance of its initialisation."""
    torch.manual_seed(0)
    dim = 16 if "projection" in tower else 32
    config = {**SIGLIP, "embed_dim": dim, "vision_cfg": {"image_size": 32, **TOWERS[tower]}}
    clip, _ = create_backbone("test", config=config, force_image_size=size)
    for p in clip.visual.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return E2(clip, ModelConfig(tags=TAGS, **options)).eval()


def photos(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=list(TOWERS))
def model(request, timm_vits) -> E2:
    return build(request.param)


def test_before_training_the_image_embedding_is_the_backbones(model):
    for training in (False, True):  # training draws noise for the selection, which must not reach the embedding yet
        model.train(training)
        with torch.no_grad():
            assert_close(model.encode_image(photos()), model.clip.encode_image(photos()), atol=1e-5, rtol=0)


def test_closed_gates_keep_the_tokens_out_and_open_ones_let_them_in(model):
    before = model.encode_image(photos())
    torch.nn.init.normal_(model.reader.tokens, std=5)
    assert_close(model.encode_image(photos()), before, atol=1e-5, rtol=0)
    for gate in model.reader.gates.values():
        torch.nn.init.ones_(gate)
    assert (model.encode_image(photos()) - before).abs().max() > 1e-2


def test_gradients_reach_everything_that_is_new_once_the_way_is_open(model):
    for p in (*model.reader.gates.values(), model.reader.shares, *[f.value_up.weight for f in model.reader.fusions.values()]):
        torch.nn.init.normal_(p, std=0.1)
    model.train()
    reading = model.read(photos())
    (reading.image.pow(3).sum() + reading.regions.pow(3).sum()).backward()
    for name, p in model.reader.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name
    silent = [n for n, p in model.clip.visual.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # The key's bias shifts all logits of a query alike, so a softmax does not see it.
    assert [name for name in silent if not name.endswith("k_norm.bias")] == []


@pytest.mark.parametrize("tower", NO_CLASS_TOKEN)
def test_without_class_token_the_pooled_output_takes_in_the_gated_summaries(tower, timm_vits):
    model = build(tower, layers=(4,))  # the last block: what is read there is what the regions are made of
    torch.nn.init.normal_(model.reader.gates["4"], std=0.02)
    with torch.no_grad():
        model.reader.heads.copy_(torch.eye(32).expand_as(model.reader.heads))
        summaries = model.encode_regions(photos())  # (B, E, D), with these heads the summaries themselves
        read = 10 * (summaries * model.reader.gates["4"]).sum(dim=1)
        visual = model.visual
        if isinstance(visual, open_clip.transformer.VisionTransformer):
            expected = model.clip.encode_image(photos()) + read @ visual.proj
        else:
            trunk = visual.trunk
            pooled = trunk.pool(trunk.forward_features(photos()))
            expected = visual.head(trunk.head(trunk.fc_norm(pooled + read)))
        assert_close(model.encode_image(photos()), expected, atol=1e-4, rtol=1e-4)


def test_regions_start_from_the_backbones_own_norm_and_projection(model):
    tower = open_tower(model.visual)
    for norm, head in zip(model.reader.norms, model.reader.heads, strict=True):
        assert_close(norm.weight, tower.norm.weight)
        assert_close(head, tower.proj)
    pooled = torch.randn(5, tower.width)
    if not isinstance(model.visual, open_clip.transformer.VisionTransformer):
        trunk = model.visual.trunk
        bias = trunk.head.bias if isinstance(trunk.head, torch.nn.Linear) else 0
        assert_close(pooled @ tower.proj + bias, model.visual.head(trunk.head(pooled)))


def test_an_entity_is_summarised_by_siglips_own_pool(timm_vits):
    model = build("siglip")
    tokens = torch.randn(2, 6, 32)
    means = model.reader.entity_means(open_tower(model.visual), tokens)
    pool, norm = model.visual.trunk.attn_pool, model.reader.norms[1]
    assert_close(means[:, 1], pool(norm(tokens[:, 2:4])))


@pytest.mark.parametrize("tower", ["native", "siglip", "class token"])
def test_lower_precision_stays_close(tower, timm_vits):
    model = build(tower)
    with torch.no_grad():
        exact = model.encode_image(photos(), normalize=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            close = model.encode_image(photos(), normalize=True)
    assert (exact * close.float()).sum(dim=-1).min() > 0.99


@pytest.mark.parametrize("tower", ["native", "siglip", "class token"])
def test_gradient_checkpointing_changes_no_gradient(tower, timm_vits):
    model = build(tower)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model.encode_regions(photos()).pow(2).sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert open_tower(model.visual).checkpointing
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert_close(gradients[1][name], gradient)


@pytest.mark.parametrize("tower", ["native", "siglip", "class token"])
@pytest.mark.parametrize(("groups", "some"), [(0, False), (2, True)])
def test_locking_leaves_the_last_groups_and_the_reader_free(tower, timm_vits, groups, some):
    model = build(tower)
    model.lock_image_tower(groups)
    trunk = getattr(model.visual, "trunk", model.visual)
    assert any(p.requires_grad for p in trunk.parameters()) == some
    assert not next(trunk.parameters()).requires_grad
    assert all(p.requires_grad for p in model.reader.parameters())
    model.lock_text_tower(0)
    assert not any(p.requires_grad for p in model.clip.text.parameters())


def test_logits_and_features_carry_siglips_bias(timm_vits):
    model = build("siglip")
    tokens = torch.randint(2, 80, (4, 16))
    image, text, scale, bias = model(photos(), tokens)
    assert bias is model.clip.logit_bias and bias == -10
    logits, transposed = model.get_logits(photos(), tokens)
    assert_close(logits, scale * image @ text.T - 10)
    assert_close(transposed, logits.T)
    assert_close(logits, model.clip.get_logits(photos(), tokens)[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tower", ["native", "siglip", "class token"])
def test_other_sizes_give_their_own_grid(tower, timm_vits):
    model = build(tower, size=(48, 32))
    weights = model.selections(photos(48, 32))["season"][3]
    assert weights.shape == (3, 2, 12, 8)  # two locations along each side of a patch
    assert_close(weights.sum(dim=(-2, -1)), torch.ones(3, 2))
    with torch.no_grad():
        assert_close(model.encode_image(photos(48, 32)), model.clip.encode_image(photos(48, 32)), atol=1e-5, rtol=0)


def test_a_selected_patch_lies_where_the_photo_differs(tiny):
    """Rows and columns of the selection map follow the photo's, not the other way round."""
    torch.manual_seed(0)
    model = e2.create_model_and_transforms(tiny, tags=("brand",), image_size=(48, 32), layers=(1,), locations="patches")[
        0
    ].eval()
    tower = open_tower(model.visual)
    blank, marked = torch.zeros(1, 3, 48, 32), torch.zeros(1, 3, 48, 32)
    marked[:, :, 40:48, 8:16] = 3.0  # row 5, column 1
    change = (tower.embed(marked) - tower.embed(blank)).norm(dim=-1)[0, 1:].unflatten(0, tower.grid)
    assert change.argmax() == 5 * 4 + 1
    assert change.count_nonzero() == 1


def test_position_grids_are_resampled_by_open_clips_rule(tiny, tmp_path):
    square = e2.create_model_and_transforms(tiny)[0].clip
    torch.save(square.state_dict(), tmp_path / "square.pt")
    tall = e2.create_model_and_transforms(tiny, str(tmp_path / "square.pt"), image_size=(48, 32))[0].clip
    expected = {"visual.positional_embedding": square.visual.positional_embedding.detach().clone()}
    resize_pos_embed(expected, tall)
    assert expected["visual.positional_embedding"].shape == (25, 32)
    assert_close(tall.visual.positional_embedding.detach(), expected["visual.positional_embedding"])


def test_timm_grids_are_resampled_as_open_clip_does_it(siglip):
    square, _ = create_backbone(f"local-dir:{siglip}")
    tall, _ = create_backbone(f"local-dir:{siglip}", force_image_size=(48, 32))
    expected = copy.deepcopy(square.visual)
    expected.set_input_size((48, 32))
    assert_close(tall.visual.trunk.pos_embed, expected.trunk.pos_embed)
    assert tall.visual.trunk.pos_embed.shape == (1, 24, 32)


@pytest.mark.parametrize("size", [0, (4, 32), (32, -1), (32, 32, 32)])
def test_impossible_sizes_are_refused(tiny, size):
    with pytest.raises(e2.InputError, match="image size"):
        e2.create_model_and_transforms(tiny, image_size=size)


def test_towers_that_cannot_be_read_are_refused_in_one_line(timm_vits):
    refusals = {
        "pools by attention .CoCa.": {**TINY["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2},
        "ConvNeXt of timm is not supported": {"timm_model_name": "test_convnext", "timm_proj": "linear", "image_size": 160},
        "Mlp head is not supported": {"timm_model_name": "vit_e2_tiny", "timm_pool": "avg", "timm_proj": "mlp"},
    }
    for message, vision in refusals.items():
        clip, _ = create_backbone("test", config={**SIGLIP, "vision_cfg": {"image_size": 32, **vision}})
        E2(clip, ModelConfig())  # as a plain backbone any will do
        with pytest.raises(e2.InputError, match=message):
            E2(clip, ModelConfig(tags=TAGS))
    with pytest.raises(e2.InputError, match="needs a class token"):
        build("siglip", reader="paper")


def test_the_published_layout_runs_on_a_timm_tower_with_class_token(timm_vits):
    reading = build("class token", reader="paper").read(photos())
    assert reading.image.shape == (3, 32) and reading.regions.shape == (3, 3, 32)
