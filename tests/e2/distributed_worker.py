"""What ``test_distributed`` runs alone and in two processes at once: everything that several processes share."""

import sys
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

import e2.training.prepare
from e2.adapters.embeddings.write import write_embeddings
from e2.adapters.encoder import load_encoder
from e2.benchmarks.retrieval.evaluate import evaluate_retrieval
from e2.checkpoint import weights_of, whole
from e2.config import TrainConfig
from e2.data import open_catalogue
from e2.distributed import processes
from e2.methods import METHODS
from e2.settings import merged
from e2.training.optim import set_rates
from e2.training.prepare import prepare
from e2.training.run import start_run
from e2.training.sharding import shard
from e2.training.splits import open_splits
from e2.training.state import load_state, save_state, state_tensors
from e2.training.step import clip_gradients, draw_noise, find_gradients
from e2.training.train import batches

TAGS = ["brand", "season", "colour"]
SIGMOID = [("clip", None), ("clip", 3), ("e2", None), ("multifield", 3), ("filip", None), ("clip-lite", None)]
CASES = [*((method, None) for method in METHODS), ("multifield", 3), ("e2", 3)]


def settings(shop: Path, **changes) -> TrainConfig:
    """11 products a step: one of two processes gets 6, the other 5."""
    data = {"data": str(shop), "tags": TAGS, "batch_size": 11, "workers": 0, **changes.pop("data", {})}
    return merged(TrainConfig(), {"backbone": "test-tiny", "device": "cpu", "steps": 5, "data": data, **changes})


def step_gradients(
    shop: Path, method: str, chunk: int | None = None, sharded: bool = False, half: bool = False, backbone: str = "test-tiny"
):
    """One step's gradients from the untrained model, and the run."""
    dropped = 0.5 if (method, chunk) == ("multifield", 3) else 0.0
    optim, precision = {"patch_dropout": dropped, "bf16_weights": half}, "bf16" if half else "fp32"
    config = settings(shop, method=method, data={"chunk_size": chunk}, optim=optim, precision=precision, backbone=backbone)
    if sharded:  # accelerate knows FSDP on GPUs only
        e2.training.prepare.spread = lambda accelerator, method: shard(method, accelerator.device, accelerator.num_processes)
    run = prepare(config, *open_splits(config), Path("unused"))
    assert run.sharded == sharded
    batch = next(batches(run))
    run.method.train()
    draw_noise(run, batch)
    losses = find_gradients(run, batch)
    named = {name: whole(p.grad).clone() for name, p in run.method.named_parameters() if p.grad is not None}
    return {**named, **{f"loss/{name}": value.detach().reshape(1) for name, value in losses.items()}}, run


def sharded_step(shop: Path, out: Path) -> None:
    """Gradients with sharded weights; then a step, and its state through a file."""
    gradients, run = step_gradients(shop, "e2", 3, sharded=True)
    losses = {name: tensor.squeeze() for name, tensor in gradients.items() if name.startswith("loss/")}
    clip_gradients(run, losses)
    write({**gradients, "norm": torch.tensor([run.watch.latest.norm])}, out / "gradients-sharded.safetensors")
    set_rates(run.optimizer, 0, 5, run.config.optim)
    run.optimizer.step()
    before = {name: tensor.clone() for name, tensor in state_tensors(run.method, run.optimizer).items()}
    if processes().is_main_process:
        save_state(out, before, run.progress, {})
    processes().wait_for_everyone()
    run.optimizer.step()
    load_state(out / "training" / "step-00000000", run.method, run.optimizer)
    after = state_tensors(run.method, run.optimizer)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    write(weights_of(run.model), out / "weights-sharded.safetensors")


def write(tensors: dict[str, torch.Tensor], path: Path) -> None:
    if processes().is_main_process:
        save_file(tensors, path)


def write_gradients(shop: Path, out: Path) -> None:
    for method, chunk in CASES:
        write(step_gradients(shop, method, chunk)[0], out / f"gradients-{method}-{chunk}.safetensors")
    write(step_gradients(shop, "e2", half=True)[0], out / "gradients-half.safetensors")
    for method, chunk in SIGMOID:
        found, run = step_gradients(shop, method, chunk, backbone="test-sigmoid")
        assert run.method.goes_round == (processes().num_processes > 1 and method in ("clip", "e2", "multifield"))
        write(found, out / f"gradients-sigmoid-{method}-{chunk}.safetensors")


def work(shop: Path, out: Path) -> None:
    write_gradients(shop, out)
    options = {"data.data": str(shop), "data.tags": ",".join(TAGS), "data.batch_size": 11, "data.workers": 0}
    fixed = {"backbone": "test-tiny", "device": "cpu", "steps": 5, "eval_every": 5, "optim.lr": 1e-4}
    start_run(out / "run", {**options, **fixed})
    encoder = load_encoder(out / "run", device="cpu", batch_size=5, workers=0)
    products = open_catalogue(str(shop), "train", tags=TAGS)
    for place in ("vectors", "vectors.parquet"):  # 8 shards, each written by one process
        options = {"what": ("image", "text", "region"), "shard_size": 8, "progress": False}
        manifest = write_embeddings(encoder, products, out / place, **options)
        assert (manifest is not None) == processes().is_main_process
    evaluate_retrieval([encoder], products, out=out / "retrieval", resamples=10)


def main() -> None:
    configs, shop, out = map(Path, sys.argv[1:4])
    torch.set_num_threads(1)
    open_clip.add_model_config(configs)
    processes(on_cpu=True)
    if sys.argv[4:] == ["gradients"]:
        write_gradients(shop, out)
    else:
        work(shop, out)
        sharded_step(shop, out)


if __name__ == "__main__":
    main()
