"""Makes the demo once: the built-in catalogue with an encoder, a captioner and an index."""

from pathlib import Path

from rich.console import Console

from e2.adapters.captioning import fit_captioner, load_captioner
from e2.adapters.captioning.captioner import Captioner
from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.search.build import build_index
from e2.checkpoint import CONFIG
from e2.data import open_catalogue
from e2.errors import going_on_with
from e2.training.run import SUMMARY, start_run

DATA = "boutique:train=3000,val=200,test=1000,seed=0"
TRAINING = {"method": "e2", "backbone": "e2-nano", "epochs": 7.0, "precision": "bf16", "seed": 0}
TRAINING |= {"data.data": DATA, "data.batch_size": 128}
DESCRIBING = 250  # steps of its captioner; its validation loss hardly falls afterwards


def make_demo(
    folder: Path, encoder_name: str | None, captioner: Path | None = None, **encoder_options: object
) -> tuple[Encoder, Captioner, Path]:
    """Makes the missing parts, with notes on stderr: minutes the first time, seconds later. Resumes if stopped.

    Args:
        folder: folder of everything.
        encoder_name: any encoder; None = a small one is trained here.
        captioner: folder of the encoder's captioner; None = one is trained here.
        encoder_options: of `load_encoder`.

    Returns:
        Encoder, captioner and the index's folder.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if encoder_name is None:
        encoder_name = str(folder / "encoder")
        if not (folder / "encoder" / SUMMARY).exists():
            console.print(f"demo: training a small e2 on the built-in catalogue, some 3 minutes on 2 cores; kept in {folder}")
            with going_on_with("e2 app --demo"):
                start_run(folder / "encoder", TRAINING, resume=True)
    encoder = load_encoder(encoder_name, **encoder_options)
    own = encoder.info["weights_sha256"][:12]  # another encoder needs its own captioner and index
    captions = captioner or folder / f"captioner-{own}"
    if captioner is None and not (captions / CONFIG).exists():
        console.print(f"demo: learning to describe, from the catalogue's texts alone, some minutes more; kept in {captions}")
        with going_on_with("e2 app --demo"):
            fit_captioner("decap", encoder, open_catalogue(DATA, "train"), captions, name=DATA, resume=True, steps=DESCRIBING)
    index = folder / f"index-{own}"
    console.print(f"demo: the index of 1,000 products that no training saw is in {index}")
    build_index(encoder, open_catalogue(DATA, "test"), index, resume=True)
    return encoder, load_captioner(captions, encoder), index
