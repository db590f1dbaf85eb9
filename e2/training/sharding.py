"""Shards weights, gradients and optimizer moments over the processes (FSDP), for models too large for one device.

Enabled by accelerate's configuration (``distributed_type: FSDP``). Done here rather than by accelerate, because FSDP cannot
shard scalars such as CLIP's logit scale: these stay whole in every process.
"""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from e2.errors import InputError
from e2.methods import Method

BLOCKS = ("ResidualAttentionBlock", "CustomResidualAttentionBlock", "Block")  # open_clip's and timm's transformer blocks


def shard(method: Method, device: torch.device, processes: int, blocks: Sequence[str] = BLOCKS) -> None:
    """Shards every transformer block, and the rest as one more unit, over the processes; parameters become ``DTensor``.

    ``blocks`` are class names of the units that are gathered, used and dropped one after the other.
    """
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)  # about in-place changes, which we do not make
    mesh = init_device_mesh(device.type, (processes,))
    units = [module for module in method.modules() if type(module).__name__ in blocks]
    if not units:
        raise InputError(f"FSDP found no {' or '.join(blocks)} in the model; correct fsdp_transformer_layer_cls_to_wrap")
    for unit in units:
        fully_shard(unit, mesh=mesh)
    fully_shard(method, mesh=mesh, ignored_params={p for p in method.parameters() if p.ndim == 0})
    for name in ("image_features", "text_features", "losses"):
        register_fsdp_forward_method(method, name)


def sharded_norms(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Norms of the whole, partly sharded gradients (P,): the same in every process."""
    return torch.stack([_norm(p.grad) for p in parameters if p.grad is not None])


def scale_down(parameters: Iterable[nn.Parameter], limit: float, norm: float) -> None:
    """Clips the whole gradient, whose norm is given, to the limit."""
    if norm > limit:
        for p in parameters:
            if p.grad is not None:
                p.grad.mul_(limit / (norm + 1e-6))


def _norm(gradient: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(gradient)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
