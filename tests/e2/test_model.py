import pytest
import torch
from torch.testing import assert_close

import e2
from e2.config import ModelConfig
from e2.locations import PatchLocations
from e2.losses import contrastive_loss, region_loss
from e2.model import E2
from e2.targets import tag_targets
from tests.conftest import TAGS, TINY


def photos(count: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_before_training_the_image_embedding_is_the_backbones(model):
    with torch.no_grad():
        assert_close(model.encode_image(photos()), model.clip.encode_image(photos()), atol=1e-5, rtol=0)
        model.train()  # training draws noise for the selection, which must not reach the embedding yet
        assert_close(model.encode_image(photos()), model.clip.encode_image(photos()), atol=1e-5, rtol=0)


def test_training_can_open_the_way_from_the_tokens_to_the_embedding(model):
    model.encode_image(photos()).pow(2).sum().backward()
    assert all(gate.grad.abs().sum() > 0 for gate in model.reader.gates.values())
    for gate in model.reader.gates.values():
        torch.nn.init.ones_(gate)
    with torch.no_grad():
        assert (model.encode_image(photos()) - model.clip.encode_image(photos())).abs().max() > 1e-3


def test_class_token_and_patches_never_see_the_tokens_but_through_the_gate(model):
    before = model.encode_image(photos())
    torch.nn.init.normal_(model.reader.tokens, std=5)
    assert_close(model.encode_image(photos()), before, atol=1e-5, rtol=0)


def test_two_calls_at_inference_give_the_same_bits_and_training_calls_do_not(tiny):
    model = e2.create_model_and_transforms(tiny, tags=TAGS, selector="hard")[0].eval()
    with torch.no_grad():
        assert torch.equal(model.encode_regions(photos()), model.encode_regions(photos()))
        model.train()
        assert not torch.equal(model.encode_regions(photos()), model.encode_regions(photos()))


@pytest.mark.parametrize(("locations", "side"), [("local", 8), ("patches", 4)])
def test_hard_selections_are_one_location_per_token_on_the_grid(tiny, locations, side):
    model = e2.create_model_and_transforms(tiny, tags=TAGS, selector="hard", locations=locations)[0].eval()
    selections = model.selections(photos())
    assert list(selections) == list(TAGS)
    for layers in selections.values():
        assert list(layers) == [3, 4]  # 2/3 and 11/12 of four blocks
        for weights in layers.values():
            assert weights.shape == (3, 2, side, side)
            assert_close(weights.sum(dim=(-2, -1)), torch.ones(3, 2))
            assert ((weights == 0) | (weights == 1)).all()


def test_regions_have_one_embedding_per_entity(model):
    regions = model.encode_regions(photos(), normalize=True)
    assert regions.shape == (3, len(TAGS), TINY["embed_dim"])
    assert_close(regions.norm(dim=-1), torch.ones(3, len(TAGS)))


def test_token_counts_per_entity_and_fusion_layers_are_settable(tiny):
    model = e2.create_model_and_transforms(tiny, tags=TAGS, tokens={"brand": 5, "season": 1}, layers=(2, 3, 4))[0]
    selections = model.selections(photos())
    assert [weights[2].shape[1] for weights in selections.values()] == [5, 1, 2]
    assert list(selections["brand"]) == [2, 3, 4]


def test_a_token_kept_apart_knows_of_the_photo_only_what_it_chose(tiny):
    """With every location alike, photos differ to tokens that see the image, and do not to tokens kept apart."""
    for attention in ("apart", "one-way"):
        model = e2.create_model_and_transforms(tiny, tags=TAGS, attention=attention)[0].eval()
        model.reader.locations.forward = lambda images, local=model.reader.locations: torch.ones(
            len(images), 64, local.channels
        )
        with torch.no_grad():
            first, second, third = model.encode_regions(photos())
        assert torch.allclose(first, second, atol=1e-6) == torch.allclose(first, third, atol=1e-6) == (attention == "apart")


def test_full_attention_and_no_fusion_block_are_there_for_comparison(tiny):
    bare = e2.create_model_and_transforms(tiny, tags=TAGS, attention="one-way", layers=())[0]
    assert bare.selections(photos()) == {tag: {} for tag in TAGS} and isinstance(bare.reader.locations, PatchLocations)
    full = e2.create_model_and_transforms(tiny, tags=TAGS, attention="full")[0]
    before = full.encode_image(photos())
    torch.nn.init.normal_(full.reader.tokens, std=5)
    assert (full.encode_image(photos()) - before).abs().max() > 1e-3  # the image sees the tokens


def test_random_selection_depends_on_chance_in_training_and_on_nothing_afterwards(tiny):
    model = e2.create_model_and_transforms(tiny, tags=TAGS, selector="random")[0].eval()
    assert all((w == 1 / 64).all() for layers in model.selections(photos()).values() for w in layers.values())
    model.train()
    weights = model.selections(photos())["brand"][3]
    assert (weights.flatten(2).max(-1).values == 1).all() and not torch.equal(weights, model.selections(photos())["brand"][3])


@pytest.mark.parametrize("selector", ["hard", "soft", "top-k"])
def test_every_selector_passes_gradients_to_tokens_queries_and_keys(tiny, selector):
    torch.manual_seed(0)
    model = e2.create_model_and_transforms(tiny, tags=TAGS, selector=selector)[0].train()
    model.encode_regions(photos()).pow(3).sum().backward()
    first = model.reader.fusions["3"]
    for parameter in (model.reader.tokens, first.query.weight, first.key.weight, model.reader.heads):
        assert parameter.grad.abs().sum() > 0


def test_new_parameters_are_all_and_only_what_e2_adds(model):
    new = {id(p) for p in model.new_parameters()}
    old = {id(p) for p in model.clip.parameters()}
    assert not new & old
    assert new | old == {id(p) for p in model.parameters()}
    plain = E2(model.clip, ModelConfig())
    assert list(plain.new_parameters()) == []
    assert torch.equal(plain.encode_image(photos()), model.clip.encode_image(photos()))


@pytest.mark.parametrize(
    ("name", "locations", "share"),
    [("ViT-B-32", "patches", 1.45), ("ViT-B-32", "local", 1.73), ("ViT-B-16", "patches", 1.46), ("ViT-B-16", "local", 1.57)],
)
def test_share_of_new_parameters_at_vit_b(name, locations, share):
    with torch.device("meta"):
        import open_clip

        config = open_clip.get_model_config(name)
        clip = open_clip.CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
        model = E2(clip, ModelConfig(tags=("brand", "season", "sub_category", "composition"), locations=locations))
    assert model.reader.layers == (8, 11)
    new, old = (sum(p.numel() for p in some) for some in (model.new_parameters(), model.clip.parameters()))
    assert round(100 * new / old, 2) == share


def test_the_models_calls_are_those_of_open_clip(model):
    tokens = e2.get_tokenizer("e2-nano")(["a red tee", "blue jeans", "a coat"])
    image, text, scale = model(photos(), tokens)
    assert_close(image, model.encode_image(photos(), normalize=True))
    assert_close(text, model.clip.encode_text(tokens, normalize=True))
    assert_close(scale, model.logit_scale.exp())
    logits, transposed = model.get_logits(photos(), tokens)
    assert_close(logits, scale * image @ text.T)
    assert_close(transposed, logits.T)


def test_open_clips_own_loss_on_our_features_is_our_global_loss(model):
    import open_clip

    tokens = e2.get_tokenizer("e2-nano")(["a red tee", "blue jeans", "a coat"])
    features = model(photos(), tokens)
    ours = contrastive_loss(model.encode_image(photos()), model.encode_text(tokens), model.logit_scale.exp())
    assert_close(ours, open_clip.loss.ClipLoss()(*features))


def test_unknown_options_are_refused_by_name(tiny):
    with pytest.raises(e2.InputError, match="tokenz"):
        e2.create_model_and_transforms(tiny, tags=TAGS, tokenz=3)
    with pytest.raises(e2.InputError, match="unknown backbone"):
        e2.create_model_and_transforms("ViT-B-33")
    with pytest.raises(e2.InputError, match="laion9"):
        e2.create_model_and_transforms("ViT-B-32", "laion9")
    with pytest.raises(e2.InputError, match="choose 1 to 4"):
        e2.create_model_and_transforms(tiny, tags=TAGS, layers=(5,))
    with pytest.raises(e2.InputError, match="RN50|ModifiedResNet"):
        e2.create_model_and_transforms("RN50", tags=TAGS)


def test_a_paper_model_trains_too(tiny):
    torch.manual_seed(0)
    model = e2.create_model_and_transforms(tiny, tags=TAGS, reader="paper")[0].train()
    reading = model.read(photos())
    index = torch.tensor([[0, 1, 2]] * 3)
    region_loss(reading.regions, torch.randn(3, 16), tag_targets(index), torch.tensor(10.0)).backward()
    assert model.reader.fusions["3"].query.grad.abs().sum() > 0
