"""Mappers, losses, gradients: against the originals' fixtures, and the layout of prompts against a plain model."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from e2.adapters.captioning.config import CaptionerConfig
from e2.adapters.captioning.mappers import make_mapper
from e2.adapters.captioning.model import IGNORED, CaptionModel, pretrained_language_model
from e2.errors import InputError
from tests.adapters.captioning.reference import reference_model
from tests.shared import FIXTURES, shared_path


@pytest.fixture
def model() -> CaptionModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=30, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return CaptionModel(make_mapper("mlp", 8, 16, 3), GPT2Model(config)).eval()


def test_context_pads_in_front_and_changes_nothing_for_the_text(model):
    features, prompts = torch.randn(3, 8), [[4, 5, 6], [], [7]]
    context, mask = model.context(features, prompts)
    assert mask.sum(dim=1).tolist() == [6, 3, 4]
    for row, prompt in enumerate(prompts):
        expected = torch.cat([model.mapper(features[row : row + 1])[0], model.language_model.wte(torch.tensor(prompt).long())])
        torch.testing.assert_close(context[row][mask[row]], expected)
        assert mask[row].tolist() == sorted(mask[row].tolist())  # padding in front


def test_loss_is_of_the_labels_alone_whatever_pads(model):
    features = torch.randn(2, 8)
    tokens = torch.tensor([[4, 5, 6, 7, 2], [8, 9, 2, 0, 0]])
    labels = torch.tensor([[IGNORED, IGNORED, 6, 7, 2], [IGNORED, 9, 2, IGNORED, IGNORED]])
    each = []
    for row, length in ((0, 5), (1, 3)):
        logits = model.logits(features[row : row + 1], tokens[row : row + 1, :length])[0]
        each.append(F.cross_entropy(logits, labels[row, :length], ignore_index=IGNORED, reduction="sum"))
    torch.testing.assert_close(model(features, tokens, labels), sum(each) / 5)


def test_mappers_have_their_shape_and_unknown_ones_are_refused():
    for kind in ("linear", "mlp", "transformer"):
        assert make_mapper(kind, 8, 16, 3, layers=1, heads=2)(torch.randn(5, 8)).shape == (5, 3, 16)
    with pytest.raises(InputError, match="unknown mapper 'magic'; choose one of linear, mlp, transformer"):
        CaptionerConfig(mapper="magic")
    with pytest.raises(InputError, match="do not divide"):
        make_mapper("transformer", 8, 15, 3)


def test_pretrained_folder_gives_the_same_logits_and_what_is_no_gpt2_is_refused(tmp_path):
    torch.manual_seed(0)
    plain = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=16, n_embd=16, n_layer=1, n_head=2)).eval()
    plain.save_pretrained(tmp_path / "gpt2")
    loaded = CaptionModel(torch.nn.Identity(), pretrained_language_model(str(tmp_path / "gpt2"))).eval()
    ids, prefix = torch.tensor([[3, 4, 5]]), torch.randn(1, 2, 16)
    expected = plain(inputs_embeds=torch.cat([prefix, plain.transformer.wte(ids)], dim=1)).logits[:, 1:-1]
    torch.testing.assert_close(loaded.logits(prefix, ids), expected)
    with pytest.raises(InputError, match="no language model"):
        pretrained_language_model(str(tmp_path / "absent"))
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="no GPT-2"):
        pretrained_language_model(str(tmp_path / "bert"))


@pytest.mark.parametrize(
    "options",
    [{"method": "x"}, {"max_tokens": 1}, {"width": 30}, {"variance": -1.0}, {"steps": 0}, {"tag_dropout": 2.0}],
)
def test_settings_that_cannot_work_are_refused(options):
    with pytest.raises(InputError):
        CaptionerConfig(**options)


def right_padded(tokens: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens, and labels that ignore id 0 as the originals do."""
    tokens = torch.from_numpy(tokens)
    return tokens, tokens.where(tokens != 0, IGNORED)


def test_fixture_decap_train_loss():
    model = reference_model(load_file(FIXTURES / "captioning/decap_decoder.safetensors"), heads=4)
    given = np.load(shared_path("fixtures/captioning/decap_train_loss.npz"))
    features, (tokens, labels) = torch.from_numpy(given["clip_embedding"]), right_padded(given["tokens"])
    np.testing.assert_allclose(model.logits(features, tokens).detach(), given["logits"], atol=1e-4)
    loss = model(features, tokens, labels, label_smoothing=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(float(given["loss"]), abs=1e-5)
    np.testing.assert_allclose(model.mapper.model[0].weight.grad, given["grad_clip_project_weight"], atol=1e-5)
    assert model.language_model.wte.weight.grad.norm().item() == pytest.approx(float(given["grad_wte_norm"]), rel=1e-4)
    total = torch.stack([p.grad.norm() for p in model.parameters()]).norm().item()
    assert total == pytest.approx(float(given["grad_total_norm"]), rel=1e-4)


@pytest.mark.parametrize("kind", ["transformer", "mlp"])
def test_fixture_capdec_mapper_loss(kind):
    mapper = load_file(shared_path(f"fixtures/captioning/capdec_mapper_{kind}.safetensors"))
    gpt2 = load_file(shared_path("fixtures/captioning/capdec_gpt2_train.safetensors"))
    tensors = {f"clip_project.{n}": t for n, t in mapper.items()} | {f"gpt.{n}": t for n, t in gpt2.items()}
    model = reference_model(tensors, heads=4, mapper_heads=8)
    given = np.load(shared_path("fixtures/captioning/capdec_mapper_loss.npz"))
    prefix, (tokens, labels) = torch.from_numpy(given["prefix_in"]), right_padded(given["tokens"])
    np.testing.assert_allclose(model.mapper(prefix).detach(), given[f"mapper_{kind}_out"], atol=1e-4)
    real = given["mask"][:, 9:21].astype(bool)  # behind the end the original masks its padding, which no loss reads
    np.testing.assert_allclose(model.logits(prefix, tokens).detach()[real], given[f"logits_{kind}"][real], atol=1e-4)
    loss = model(prefix, tokens, labels)
    loss.backward()
    assert loss.item() == pytest.approx(float(given[f"loss_{kind}"]), abs=1e-5)
    total = torch.stack([p.grad.norm() for p in model.parameters()]).norm().item()
    assert total == pytest.approx(float(given[f"gradnorm_{kind}"]), rel=1e-4)


def test_fixture_reference_layout_with_spare_rows_and_old_buffers():
    tensors = dict(load_file(FIXTURES / "captioning/decap_decoder.safetensors"))
    features, tokens = torch.randn(2, 64), torch.tensor([[298, 5, 6], [298, 9, 299]])
    before = reference_model(tensors, heads=4).logits(features, tokens)
    name = "decoder.transformer.wte.weight"
    tensors[name] = torch.cat([tensors[name], torch.randn(9, 64)])  # as 50257 rows for 49408 tokens
    tensors["decoder.transformer.h.0.attn.bias"] = torch.ones(1, 1, 64, 64)
    tensors["decoder.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    after = reference_model(tensors, heads=4).logits(features, tokens)
    torch.testing.assert_close(after[..., :300], before)
    assert after.shape[-1] == 309
    with pytest.raises(InputError, match="no DeCap or CapDec weights"):
        reference_model({}, heads=4)
