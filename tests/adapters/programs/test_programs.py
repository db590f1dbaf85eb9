"""Programs of others see through our adapters what the encoder itself sees."""

import io

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.testing import assert_allclose
from PIL import Image

from e2.errors import InputError
from tests.adapters.export.conftest import encoder_of, made_checkpoint
from tests.conftest import TAGS, jpeg

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200), "grey": (120, 120, 120)}


@pytest.fixture(scope="module")
def checkpoint(tiny, tmp_path_factory):
    return made_checkpoint(tmp_path_factory.mktemp("trained") / "fine", tiny, TAGS, "e2")


def photos():
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (50, 40, 3), dtype=np.uint8)) for _ in range(3)]


def test_mteb_runs_its_own_tasks(checkpoint):
    """Photo to text and text to photo, by its own loader and search."""
    mteb = pytest.importorskip("mteb")
    from mteb.mocks.mock_tasks import retrieval

    from e2.adapters.programs.mteb_encoder import MtebEncoder

    model = MtebEncoder(str(checkpoint), device="cpu", workers=0)
    assert isinstance(model, mteb.models.EncoderProtocol)
    assert model.mteb_model_meta.revision == encoder_of(checkpoint).info["weights_sha256"]
    for task in (retrieval.MockAny2AnyRetrievalI2TTask(), retrieval.MockAny2AnyRetrievalT2ITask()):
        (result,) = mteb.evaluate(model, task, cache=None, show_progress_bar=False, co2_tracker=False).task_results
        assert 0 <= result.get_score() <= 1


def test_mteb_gets_the_encoders_vectors(checkpoint):
    pytest.importorskip("mteb")
    from e2.adapters.programs.mteb_encoder import MtebEncoder

    model, encoder = MtebEncoder(str(checkpoint), device="cpu", workers=0), encoder_of(checkpoint)
    texts = ["red", "grey tee", "a coat"]
    batches = [{"text": texts[:2]}, {"text": texts[2:]}]
    assert_allclose(model.encode(batches), encoder.encode_texts(texts), atol=1e-6)
    both = model.encode([{"text": texts, "image": photos()}])
    assert_allclose(both, encoder.encode_texts(texts) + encoder.encode_images(photos()), atol=1e-6)


@pytest.fixture
def look_folder(tmp_path):
    """A LookBench data set: queries and gallery of four colours."""
    for name, count in (("query", 8), ("gallery", 12)):
        rows = [
            {"image": jpeg(COLOURS[colour], seed=i + 100 * (name == "query")), "label": list(COLOURS).index(colour)}
            for i, colour in enumerate(list(COLOURS) * (count // 4))
        ]
        pd.DataFrame(rows).to_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


def test_look_bench_runs_its_pipeline(checkpoint, look_folder):
    pytest.importorskip("look_bench")
    from look_bench.runner.runner import Runner

    import e2.adapters.programs.look_bench_model  # noqa: F401 - registers the model

    files = {name: str(look_folder / f"{name}.parquet") for name in ("query", "gallery")}
    config = {
        "global": {},
        "logging": {"level": "ERROR", "log_file": str(look_folder / "log")},
        "datasets": {"shop": {"data_root": str(look_folder), "parquet_files": files}, "batch_size": 5, "num_workers": 0},
        "pipeline": {"name": "evaluation", "model": "e2", "dataset": "shop", "args": {"num_workers": 0, "batch_size": 5}},
        "evaluation": {"metric": "recall", "top_k": [1, 5], "l2norm": True},
        "e2": {"model_name": str(checkpoint), "input_size": 32, "embedding_dim": 16, "device": "cpu"},
    }
    path = look_folder / "look.yaml"
    path.write_text(yaml.safe_dump(config))
    found = Runner.build_from_config(str(path)).run()
    images = [Image.open(io.BytesIO(row)) for row in pd.read_parquet(files["query"]).image]
    assert_allclose(found["features_info"]["query_features"], encoder_of(checkpoint).encode_images(images), atol=1e-5)
    assert found["metrics"]


def test_sentence_transformers_takes_texts_and_photos(checkpoint, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from e2.adapters.programs.sentence_transformers_module import sentence_transformer

    model, encoder = sentence_transformer(str(checkpoint), device="cpu"), encoder_of(checkpoint)
    texts = ["red", "a grey tee"]
    assert_allclose(model.encode(texts), encoder.encode_texts(texts), atol=1e-5)
    assert_allclose(model.encode(photos()), encoder.encode_images(photos()), atol=1e-5)
    assert model.similarity(model.encode(texts), model.encode(photos())).shape == (2, 3)
    model.save(str(tmp_path / "saved"))
    back = sentence_transformers.SentenceTransformer(str(tmp_path / "saved"), device="cpu", trust_remote_code=True)
    assert_allclose(back.encode(texts), model.encode(texts))


def test_an_unknown_encoder_is_told():
    pytest.importorskip("sentence_transformers")
    from e2.adapters.programs.sentence_transformers_module import sentence_transformer

    with pytest.raises(InputError, match="no encoder 'nowhere'"):
        sentence_transformer("nowhere")
