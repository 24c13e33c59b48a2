"""The communication hooks that torch ships train over ring as they do over gloo, or are refused alike.

Without `from __future__ import annotations`: DDP looks at the types that a hook is annotated with.
"""

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import BuiltinCommHookType, GradBucket
from torch.distributed.algorithms.ddp_comm_hooks import (
    default_hooks,
    powerSGD_hook,
    quantization_hooks,
)
from torch.nn.parallel import DistributedDataParallel

from harness import Pools
from support.training import batches, check_pairs, make_model, over_both, parameters_of

STEPS = 5
DEADLINE = (
    15.0  # seconds: PowerSGD's callbacks wait for collectives, and if that hangs, it shall not take long
)
Register = Callable[[DistributedDataParallel, dist.ProcessGroup], None]


def train(group: dist.ProcessGroup, register: Register, bucket_mb: float = 0.001) -> torch.Tensor:
    parallel = DistributedDataParallel(make_model(), process_group=group, bucket_cap_mb=bucket_mb)
    register(parallel, group)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for inputs in batches(STEPS):
        optimizer.zero_grad()
        parallel(inputs).square().mean().backward()
        optimizer.step()
    return parameters_of(parallel)


def all_reduce(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel.register_comm_hook(group, default_hooks.allreduce_hook)


def fp16(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel.register_comm_hook(group, default_hooks.fp16_compress_hook)


def bf16_by_its_name(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel.register_comm_hook(group, default_hooks.bf16_compress_hook)


def bf16_under_another_name(
    group: dist.ProcessGroup, bucket: GradBucket
) -> torch.futures.Future[torch.Tensor]:
    return default_hooks.bf16_compress_hook(group, bucket)


def bf16(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel.register_comm_hook(group, bf16_under_another_name)


def fp16_power_sgd(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    state = powerSGD_hook.PowerSGDState(group, matrix_approximation_rank=2, start_powerSGD_iter=2)
    parallel.register_comm_hook(state, default_hooks.fp16_compress_wrapper(powerSGD_hook.powerSGD_hook))


def power_sgd(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    state = powerSGD_hook.PowerSGDState(group, matrix_approximation_rank=2, start_powerSGD_iter=2)
    parallel.register_comm_hook(state, powerSGD_hook.powerSGD_hook)


def batched_power_sgd(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    state = powerSGD_hook.PowerSGDState(group, matrix_approximation_rank=2, start_powerSGD_iter=2)
    parallel.register_comm_hook(state, powerSGD_hook.batched_powerSGD_hook)


def built_in_all_reduce(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel._register_builtin_comm_hook(BuiltinCommHookType.ALLREDUCE)  # type: ignore[no-untyped-call]


def built_in_fp16(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel._register_builtin_comm_hook(BuiltinCommHookType.FP16_COMPRESS)  # type: ignore[no-untyped-call]


def quantization_per_tensor(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel.register_comm_hook(group, quantization_hooks.quantization_pertensor_hook)


def quantization_per_channel(parallel: DistributedDataParallel, group: dist.ProcessGroup) -> None:
    parallel.register_comm_hook(group, quantization_hooks.quantization_perchannel_hook)


# With how far the results of more than two ranks may differ: the ranks are added in another order.
HOOKS: dict[Register, float] = {
    all_reduce: 1e-5,
    fp16: 1e-3,
    bf16: 1e-2,
    power_sgd: 1e-3,
    fp16_power_sgd: 1e-2,
    built_in_all_reduce: 1e-5,
    built_in_fp16: 1e-3,
}


# In some releases or builds of torch broken, or refused on CPU; with the error.
MAY_BE_REFUSED: dict[Register, str] = {
    bf16_by_its_name: "TypeError: BF16 all reduce",
    batched_power_sgd: "AssertionError",
    quantization_per_tensor: "IndexError",
    quantization_per_channel: "IndexError",
}


def compare(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    # PowerSGD's callbacks start collectives beside those of the next buckets: on tensors of the CPU, where a
    # callback runs when its collective is done, their order would not be the same on all ranks.
    bucket_mb = 25 if "power" in name else 0.001
    return over_both(lambda group: train(group, globals()[name], bucket_mb))


def model_or_error(group: dist.ProcessGroup, register: Register) -> torch.Tensor | str:
    try:
        return train(group, register, bucket_mb=25)
    except (RuntimeError, TypeError, AssertionError) as error:
        # Which thread ran a callback that failed is left to chance, and so is the traceback.
        message = str(error).partition("\n\nAt:")[0]
        return f"{type(error).__name__}: {message}"


def compare_errors(name: str) -> tuple[torch.Tensor | str, torch.Tensor | str]:
    return over_both(lambda group: model_or_error(group, globals()[name]))


@pytest.mark.parametrize("hook", [hook.__name__ for hook in HOOKS])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_as_over_gloo(pools: Pools, layout: str, hook: str) -> None:
    pairs = pools.get(layout).run(compare, hook, deadline=DEADLINE)
    check_pairs(pairs, HOOKS[globals()[hook]])
    for ours, _ in pairs:
        assert torch.equal(ours, pairs[0][0]), "the ranks trained different models"


@pytest.mark.parametrize("hook", [hook.__name__ for hook in MAY_BE_REFUSED])
def test_trains_or_is_refused_as_over_gloo(pools: Pools, hook: str) -> None:
    for ours, theirs in pools.get("1x2").run(compare_errors, hook):
        if isinstance(ours, str):
            assert MAY_BE_REFUSED[globals()[hook]] in ours
            assert ours == theirs
        else:
            assert isinstance(theirs, torch.Tensor), f"over gloo: {theirs}"
            assert torch.equal(ours, theirs)
