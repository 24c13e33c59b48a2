"""Builds torch_ring._C with CMake; everything else is in pyproject.toml.

`pip install --no-build-isolation -e .` builds against the torch that is installed, in build/, where the
next build finds what has not changed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def is_of_another_folder(build: Path) -> bool:
    """Whether a clone was moved or copied with what it had built, which CMake refuses to go on with."""
    cache = build / "CMakeCache.txt"
    return cache.exists() and f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n" not in cache.read_text()


class CMakeBuild(build_ext):
    """Runs CMake for the one extension there is."""

    def build_extension(self, ext: Extension) -> None:
        try:
            import torch
            from torch.utils.cpp_extension import include_paths, library_paths
        except ImportError as error:
            raise SystemExit(
                "torch_ring is built against the torch you use: install torch first, then run "
                "pip with --no-build-isolation"
            ) from error
        why = "this version has none yet" if shutil.which("nvcc") else "no nvcc on this machine"
        print(f"torch_ring: building for CPU tensors; CUDA kernels are left out: {why}")
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = ROOT / "build" / f"torch-{torch.__version__}-{sys.implementation.cache_tag}"
        if is_of_another_folder(build):
            shutil.rmtree(build)
        build.mkdir(parents=True, exist_ok=True)
        # The same place in every build, wherever torch is: so ccache knows its headers again.
        link = build / "torch"
        link.unlink(missing_ok=True)
        link.symlink_to(torch.__path__[0])
        includes = [path.replace(torch.__path__[0], str(link)) for path in include_paths()]
        includes.append(sysconfig.get_paths()["include"])
        options = {
            "RING_TORCH": "ON",
            "RING_TORCH_INCLUDES": ";".join(includes),
            "RING_TORCH_LIBDIR": ";".join(library_paths()),
            "RING_EXT_SUFFIX": sysconfig.get_config_var("EXT_SUFFIX"),
            "RING_TORCH_VERSION": torch.__version__,
        }
        configure = ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(build)]
        subprocess.run(configure + [f"-D{key}={value}" for key, value in options.items()], check=True)
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        subprocess.run(["cmake", "--build", str(build), "--parallel", jobs], check=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: a process that has the old one mapped must not see it change.
        staged = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copy2(build / target.name, staged)
        staged.replace(target)
        # An editable install takes only the extension itself out of the build folder.
        package = ROOT / "torch_ring" if self.editable_mode else target.parent
        (package / "_build.py").write_text(
            '"""Written by setup.py: what torch_ring._C was built for."""\n\n'
            f'TORCH_VERSION = "{torch.__version__}"\n'
        )


setup(ext_modules=[Extension("torch_ring._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
