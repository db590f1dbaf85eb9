"""Makes any encoder a model of MTEB (and MIEB, its image half), version 2: ``mteb.evaluate(MtebEncoder("runs/mine"),
tasks)``.
"""

from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder, load_encoder
from e2.extras import extra

with extra("programs", "MTEB's wrapper"):
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction


class MtebEncoder(AbsEncoder):
    """Encodes texts, photos, or both: then an item's embedding is the sum of the two, as in MTEB's own CLIP models.

    Args:
        model_name: as for :func:`e2.adapters.encoder.load_encoder`.
        revision: recorded in the results; None: the hash of the weights.
        device: cpu, cuda or auto.
        options: further ones of :class:`e2.adapters.encoder.Encoder`.
    """

    mteb_model_meta: ModelMeta  # never None here, which the base class allows

    def __init__(self, model_name: str, revision: str | None = None, *, device: str | None = None, **options: Any):
        self.model = load_encoder(model_name, device=device or "auto", **options)
        self.mteb_model_meta = model_meta(self.model, revision)

    def encode(self, inputs: Any, *, show_progress_bar: bool = False, **_: Any) -> np.ndarray:
        """Encodes batches of MTEB's loader, with ``text`` or ``image`` or both: (N, D)."""
        parts: dict[str, list] = {"text": [], "image": []}
        for batch in inputs:
            for name, items in parts.items():
                items.extend(batch.get(name, ()))
        vectors = []
        if parts["text"]:
            vectors.append(self.model.encode_texts(parts["text"], progress=show_progress_bar))
        if parts["image"]:
            vectors.append(self.model.encode_images(parts["image"], progress=show_progress_bar))
        return np.sum(vectors, axis=0)


def model_meta(encoder: Encoder, revision: str | None = None) -> ModelMeta:
    """Metadata for MTEB's results; unknown facts stay unknown."""
    path = str(encoder.info["path"])
    return ModelMeta(
        loader=MtebEncoder,
        loader_kwargs={},
        name="e2/" + path.rstrip("/").replace(":", "/").rpartition("/")[2],  # MTEB wants ORG/NAME
        revision=revision or encoder.info["weights_sha256"],
        release_date=None,
        languages=None,
        n_parameters=sum(encoder.num_parameters.values()),
        memory_usage_mb=None,
        max_tokens=encoder.tokenizer.context_length,
        embed_dim=encoder.encode_texts(["a"], progress=False).shape[1],
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=False,
        training_datasets=None,
        modalities=["text", "image"],
    )
