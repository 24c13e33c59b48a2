"""What scripts/check_package runs under torchrun, in a venv: the torch_ring installed there does its work."""

import importlib.metadata
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist


def main() -> None:
    # Not imported: torch finds the backend by its entry point.
    dist.init_process_group("ring", timeout=timedelta(seconds=30))
    rank, size = dist.get_rank(), dist.get_world_size()
    tensor = torch.arange(1000.0) + rank
    dist.all_reduce(tensor)
    expected = torch.arange(1000.0) * size + sum(range(size))
    assert size > 1 and torch.equal(tensor, expected), f"all_reduce over {size} ranks: {tensor}"
    dist.destroy_process_group()

    import torch_ring

    folder = Path(torch_ring.__file__).parent
    assert folder.is_relative_to(sys.prefix), f"torch_ring is that of {folder}, not of this venv"
    assert importlib.metadata.version("torch-ring") == torch_ring.__version__
    missing = [name for name in ("py.typed", "_C.pyi") if not (folder / name).exists()]
    assert not missing, f"without {missing} a type checker knows nothing of torch_ring"


if __name__ == "__main__":
    main()
