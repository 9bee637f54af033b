"""Data-parallel training under `torchrun`: every process takes its share of each batch and makes the same update.

Gradients are summed over the processes before the step and table rows are gathered, so that weights and table stay equal
in all of them without a broadcast. Alone, every function here is the identity. Only the first process writes and speaks.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def start() -> bool:
    """Joins the group when `torchrun` started this process; true where it did. Backend gloo, which needs no GPU."""
    if dist.is_torchelastic_launched() and not dist.is_initialized():
        dist.init_process_group("gloo")
        return True
    return False


def finish() -> None:
    dist.destroy_process_group()


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def mine(items: Sequence[T]) -> list[T]:
    """This process's share, every size-th item; may be empty."""
    return list(items[dist.get_rank() :: size()]) if dist.is_initialized() else list(items)


def mine_by(items: Sequence[T], key: Callable[[T], Hashable]) -> list[T]:
    """This process's share where items of one key must stay together."""
    own = set(mine(list(dict.fromkeys(map(key, items)))))
    return [one for one in items if key(one) in own]


def whole(shares: list[T]) -> list[list[T]]:
    """The `shares` of all processes, each in the order of its process."""
    if not dist.is_initialized():
        return [shares]
    out: list[list[T]] = [[] for _ in range(size())]
    dist.all_gather_object(out, shares)
    return out


def in_order(shares: list[T]) -> list[T]:
    """Undoes `mine`: the results of all items in the order the items had."""
    parts = whole(shares)
    out: list[T] = []
    for k in range(max(map(len, parts))):
        out += [part[k] for part in parts if k < len(part)]
    return out


def add(values: Sequence[float]) -> list[float]:
    """Sums over the processes, in float64."""
    if not dist.is_initialized():
        return list(values)
    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total)
    out: list[float] = total.tolist()
    return out


def add_gradients(parameters: Iterable[Tensor]) -> None:
    """Sums `.grad` over the processes, one without a gradient counting as 0. One message for all of them."""
    if not dist.is_initialized():
        return
    trained = [p for p in parameters if p.requires_grad]
    add_tensors([torch.zeros_like(p) if p.grad is None else p.grad for p in trained], into=trained)


def add_tensors(tensors: list[Tensor], into: list[Tensor] | None = None) -> list[Tensor]:
    """Sums over the processes; with `into` they are left as the gradients of these."""
    if not dist.is_initialized():
        return tensors
    flat = torch.cat([one.detach().flatten() for one in tensors])
    dist.all_reduce(flat)
    out, at = [], 0
    for one in tensors:
        out.append(flat[at : at + one.numel()].view_as(one).clone())
        at += one.numel()
    for target, one in zip(into or [], out, strict=False):
        target.grad = one
    return out


def wait() -> None:
    if dist.is_initialized():
        dist.barrier()
