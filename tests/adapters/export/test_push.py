"""What would go to the hub, its card, and the way up and back, offline."""

import json
import shutil

import pytest
from numpy.testing import assert_array_equal

from e2.adapters.export.card import model_card
from e2.adapters.export.push import repository_folder, upload, without_paths
from e2.checkpoint import weights_sha256
from e2.errors import InputError
from tests.adapters.export.conftest import encoder_of
from tests.command import names_in, run_command


def metrics_of(checkpoint, **changes):
    record = {
        "benchmark": "retrieval",
        "protocol": "full",
        "dataset": "/home/me/secret/shop.parquet",
        "split": "test",
        "text": "caption",
        "n": 1200,
        "model": {"weights_sha256": weights_sha256(checkpoint)},
        "metrics": {"image_to_text_R@1": 31.24},
        "ci95": {"image_to_text_R@1": [29.9, 32.6]},
        "truncated_texts": 7,
    }
    return {**record, **changes}


@pytest.fixture
def metrics(e2_checkpoint, tmp_path):
    folder = tmp_path / "measured"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics_of(e2_checkpoint)))
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder: what is pushed lies in the cache that is read offline."""
    import huggingface_hub
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    class FolderApi:
        def create_repo(self, repo_id, *, private, exist_ok):
            assert exist_ok
            return f"https://huggingface.co/{repo_id}"

        def upload_folder(self, *, repo_id, folder_path, ignore_patterns, commit_message):
            home = tmp_path / "hub" / f"models--{repo_id.replace('/', '--')}"
            ignored = shutil.ignore_patterns(*ignore_patterns)
            shutil.copytree(folder_path, home / "snapshots" / "abc", ignore=ignored)
            (home / "refs").mkdir()
            (home / "refs" / "main").write_text("abc")

    monkeypatch.setattr(huggingface_hub, "HfApi", FolderApi)


def test_what_is_pushed_loads_from_the_hub(e2_checkpoint, metrics, hub):
    answer = run_command("push", "--model", e2_checkpoint, "--repo", "shop/fine-clip", "--metrics", metrics)
    assert answer.status == 0 and answer.out.strip() == "pushed to https://huggingface.co/shop/fine-clip", answer.err
    ours, theirs = encoder_of(e2_checkpoint), encoder_of("hf-hub:shop/fine-clip")
    assert theirs.tags == ours.tags and theirs.info["weights_sha256"] == ours.info["weights_sha256"]
    assert_array_equal(theirs.encode_texts(["a red tee"]), ours.encode_texts(["a red tee"]))


def test_other_formats_are_pushed_too(clip_checkpoint, hub, tmp_path):
    for format in ("open_clip", "transformers"):
        repository_folder(clip_checkpoint, f"shop/{format}", tmp_path / format, format=format)
        upload(tmp_path / format, f"shop/{format}")
        theirs, ours = encoder_of(f"hf-hub:shop/{format}"), encoder_of(clip_checkpoint)
        assert abs(theirs.encode_texts(["a red tee"]) - ours.encode_texts(["a red tee"])).max() < 1e-5
        assert f'shop/{format}"' in (tmp_path / format / "README.md").read_text()


def test_the_dry_run_writes_the_folder_and_tells_no_places(e2_checkpoint, metrics, tmp_path):
    out = tmp_path / "folder"
    options = ("--metrics", metrics, "--license", "cc-by-4.0", "--dry-run", "--out", out)
    answer = run_command("push", "--model", e2_checkpoint, "--repo", "shop/fine-clip", *options)
    assert answer.status == 0, answer.err
    assert names_in(out) == ["README.md", "config.json", "model.safetensors"]
    texts = (out / "README.md").read_text() + (out / "config.json").read_text()
    assert "secret" not in texts and "shop.parquet" in texts


def test_the_card_says_what_the_files_say(e2_checkpoint):
    from huggingface_hub import ModelCard

    options = {"metrics": [metrics_of(e2_checkpoint)], "licence": "cc-by-4.0"}
    text = model_card(e2_checkpoint, "shop/fine-clip", "e2", **options)
    for said in (
        "31.2 | 29.9 to 32.6",
        "1,200 products",
        "in `shop.parquet` that cut 7",
        "32 x 32 pixels",
        "brand, season, colour",
    ):
        assert said in text, said
    header = ModelCard(text).data
    assert header.license == "cc-by-4.0" and header.eval_results[0].metric_value == 31.24
    unknown = model_card(e2_checkpoint, "shop/fine-clip", "e2", metrics=[], licence=None)
    assert "None was stated" in unknown and "Not measured" in unknown and ModelCard(unknown).data.license == "other"


def test_text_of_others_stays_text_in_the_card(e2_checkpoint):
    record = metrics_of(e2_checkpoint, dataset="x`<script>\n# y")
    text = model_card(e2_checkpoint, "shop/fine-clip", "e2", metrics=[record], licence=None)
    assert "`x'<script> # y`" in text  # inside a code span


def test_places_are_cut_to_their_last_part():
    assert without_paths({"a": ["/x/y.parquet", "boutique"], "b": {"c": "/z"}}) == {
        "a": ["y.parquet", "boutique"],
        "b": {"c": "z"},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--repo", "fine-clip"), "write ORG/NAME"),
        (("--repo", "shop/../clip"), "--repo shop/../clip"),
        (("--repo", "shop/clip", "--format", "zip"), "--format 'zip': choose e2, onnx, open_clip or transformers"),
        (("--repo", "shop/clip", "--metrics", "nowhere"), "nowhere is missing"),
    ],
)
def test_bad_input_is_refused(e2_checkpoint, tmp_path, options, message):
    answer = run_command("push", "--model", e2_checkpoint, "--dry-run", "--out", tmp_path / "folder", *options)
    assert answer.status == 2 and message in answer.line and not (tmp_path / "folder").exists()


def test_metrics_of_another_model_are_refused(clip_checkpoint, metrics, tmp_path):
    with pytest.raises(InputError, match="measured on other weights"):
        repository_folder(clip_checkpoint, "shop/clip", tmp_path / "folder", metrics=[metrics])


def test_a_hub_out_of_reach_is_told(tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="cannot push to shop/clip"):
        upload(tmp_path, "shop/clip")
