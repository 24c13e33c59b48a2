"""What happens between `import torch` and init_process_group("ring"), when all is well and when it is not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch.distributed as dist

JOIN = """
import torch, torch.distributed as dist
dist.init_process_group({name!r}, store=dist.HashStore(), rank=0, world_size=1)
tensor = torch.arange(5.0)
dist.all_reduce(tensor)
assert tensor.tolist() == [0, 1, 2, 3, 4]
"""

# Ends with what the error says, if there is one where it is expected: not at `import torch`.
TRY_TO_JOIN = """
import torch, torch.distributed as dist
print("torch is imported")
try:
    dist.init_process_group("ring", store=dist.HashStore(), rank=0, world_size=1)
except Exception as error:
    print(f"{type(error).__name__}: {error}")
else:
    print("joined")
"""


def python(code: str, **env: str) -> str:
    """What a fresh interpreter prints, outside of the source tree; fails the test if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | env,
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_torch_registers_ring_without_loading_it() -> None:
    python(
        "import sys, torch, torch.distributed as dist\n"
        "assert 'ring' in dist.Backend.backend_list\n"
        "assert 'torch_ring._C' not in sys.modules\n"
        "assert 'gloo' == dist.Backend.default_device_backend_map['cpu']\n"
    )


def test_import_torch_is_not_slowed() -> None:
    seconds = python(
        "import time, torch\n"
        "started = time.perf_counter()\n"
        "torch._import_device_backends()\n"
        "print(time.perf_counter() - started)\n",
        TORCH_DEVICE_BACKEND_AUTOLOAD="0",
    )
    assert float(seconds) < 0.2


@pytest.mark.parametrize("name", ["ring", "cpu:ring"])
def test_no_import_is_needed(name: str) -> None:
    python(JOIN.format(name=name) + "dist.destroy_process_group()")


def test_a_process_may_end_without_destroying_its_group() -> None:
    python(JOIN.format(name="ring"))


def test_without_autoload_an_import_registers() -> None:
    # Since 2.14 torch looks for a backend by its name, too, whatever that variable says.
    by_name = hasattr(dist.Backend, "_ensure_backend_registered")
    shown = python(TRY_TO_JOIN, TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert ("joined" if by_name else "AssertionError") in shown
    assert "joined" in python("import torch_ring\n" + TRY_TO_JOIN, TORCH_DEVICE_BACKEND_AUTOLOAD="0")


@pytest.mark.parametrize("first", ["torch", "torch_ring"])
def test_any_order_of_imports(first: str) -> None:
    assert "joined" in python(f"import {first}, torch_ring\n" + TRY_TO_JOIN)


def test_a_broken_extension_breaks_ring_and_not_torch(tmp_path: Path) -> None:
    package = importlib.util.find_spec("torch_ring")
    extension = importlib.util.find_spec("torch_ring._C")
    assert package and package.origin and extension and extension.origin
    copy = tmp_path / "torch_ring"
    shutil.copytree(Path(package.origin).parent, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (copy / Path(extension.origin).name).write_bytes(b"this is no shared object")
    output = python(TRY_TO_JOIN, PYTHONPATH=str(tmp_path))
    assert output.startswith("torch is imported\n")
    assert "joined" not in output
    assert "torch_ring" in output and "_C" in output, output


def test_a_clone_that_was_not_built_says_where_it_is(tmp_path: Path) -> None:
    """It hides an installed torch_ring from a Python that is started in it."""
    package = importlib.util.find_spec("torch_ring")
    assert package and package.origin
    copy = tmp_path / "torch_ring"
    shutil.copytree(Path(package.origin).parent, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    # Were it missing, an editable install would put the clone's in its place.
    (copy / "_build.py").write_text("raise ImportError('no such module')")
    assert f"the torch_ring in {copy} has not been built" in python(TRY_TO_JOIN, PYTHONPATH=str(tmp_path))


def test_an_extension_of_another_torch_is_refused() -> None:
    from torch_ring._backend import check_torch_version

    check_torch_version("2.13.0+cpu", "2.13.0+cpu")
    check_torch_version("2.13.0+cpu", "2.13.0+cu130")
    with pytest.raises(Exception, match=r"2\.12\.1.*2\.13\.0|2\.13\.0.*2\.12\.1") as caught:
        check_torch_version("2.12.1", "2.13.0+cpu")
    assert "torch_ring" in str(caught.value) or "torch-ring" in str(caught.value)


def test_errors_are_torchs_own() -> None:
    import torch_ring

    names = ("RingMismatchError", "RingPeerError", "RingTimeoutError", "RingConfigError")
    errors = {name: getattr(torch_ring, name) for name in names}
    assert all(issubclass(error, dist.DistBackendError) for error in errors.values())
    assert issubclass(errors["RingConfigError"], ValueError)
    assert len(set(errors.values())) == len(names)


def test_under_torchrun(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import torch, torch.distributed as dist\n"
        "dist.init_process_group('ring')\n"
        "tensor = torch.full((3,), float(dist.get_rank() + 1))\n"
        "dist.all_reduce(tensor)\n"
        "assert tensor.tolist() == [3.0] * 3\n"
        "print(f'rank {dist.get_rank()} is done', flush=True)\n"
        "dist.destroy_process_group()\n"
    )
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert all(f"rank {rank} is done" in done.stdout for rank in (0, 1))
