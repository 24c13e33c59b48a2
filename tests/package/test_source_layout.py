"""The rules of the source tree: layers point downwards, libring knows no torch, files stay short."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RING = ROOT / "csrc" / "ring"

# What each layer may include besides itself.
LAYERS: dict[str, set[str]] = {
    "base": set(),
    "kernels": {"base"},
    "device": {"base"},
    "topology": {"base"},
    "transport": {"base", "kernels"},
    "collectives": {"base", "kernels", "topology", "transport"},
    "fault": {"base", "topology", "transport"},
    "engine": {"base", "kernels", "topology", "transport", "collectives", "fault"},
}
# What each folder of Python may import besides itself; tests may import all.
PYTHON: dict[str, set[str]] = {
    "torch_ring": set(),
    "examples": set(),
    "harness": set(),
    "benchmarks": {"torch_ring", "harness"},
    "support": {"torch_ring", "harness"},
}
WORDS = ("Call", "Context", "Report", "Machine", "Place", "Layout")
FOREIGN = re.compile(r"^(torch|ATen|c10|caffe2|pybind11)/|^Python\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)

SOURCE_FOLDERS = ("csrc", "torch_ring", "harness", "benchmarks", "tests", "scripts", "examples")
SOURCE_SUFFIXES = {".py", ".cc", ".h", ".inc", ".cu", ".cuh", ".sh", ""}
MAX_LINES = 600


def ring_files() -> list[Path]:
    files = sorted(path for path in RING.rglob("*") if path.suffix in {".cc", ".h", ".inc", ".cu", ".cuh"})
    assert files, "csrc/ring is empty"
    return files


def includes(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text())


def test_every_file_of_libring_is_in_a_layer() -> None:
    assert {path.relative_to(RING).parts[0] for path in ring_files()} <= set(LAYERS)


def test_libring_includes_nothing_of_torch_or_python() -> None:
    wrong = [f"{path}: {name}" for path in ring_files() for name in includes(path) if FOREIGN.search(name)]
    assert not wrong


def test_layers_point_downwards() -> None:
    wrong = []
    for path in ring_files():
        layer = path.relative_to(RING).parts[0]
        for name in includes(path):
            if name.startswith("ring/"):
                if name.split("/")[1] not in LAYERS[layer] | {layer}:
                    wrong.append(f"{path} includes {name}")
            elif ".." in Path(name).parts:
                wrong.append(f"{path} includes {name}: write it from csrc on")
    assert not wrong


def folders_imported(path: Path) -> set[str]:
    """The project's own folders of Python that a file imports from, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names & set(PYTHON)


def test_folders_of_python_import_in_one_direction() -> None:
    wrong = []
    for folder, allowed in PYTHON.items():
        parent = ROOT / "tests" if folder == "support" else ROOT
        files = sorted((parent / folder).rglob("*.py"))
        assert files, folder
        for path in files:
            wrong += [f"{path} imports {name}" for name in folders_imported(path) - allowed - {folder}]
    assert not wrong
    assert not list((ROOT / "scripts").rglob("*.py")), "what is written in Python has a folder of its own"


def test_every_benchmark_is_in_the_help() -> None:
    done = subprocess.run([ROOT / "benchmarks" / "run", "--help"], capture_output=True, text=True, timeout=20)
    listed = re.findall(r"^  ([a-z]+)   ", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py"))


def test_a_word_names_one_thing() -> None:
    """In Python, the declarations of the compiled module among it."""
    files = [path for folder in (*PYTHON, "tests") for path in (ROOT / folder).rglob("*.py*")]
    text = "".join(path.read_text() for path in files if path.suffix in (".py", ".pyi"))
    classes = Counter(re.findall(r"^ *class (\w+)", text, re.MULTILINE))
    assert {"Report", "Machine", "Place", "Layout"} <= set(classes)
    assert [word for word in WORDS if classes[word] > 1] == []


def test_no_source_file_is_too_long() -> None:
    files = [
        path
        for folder in SOURCE_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in SOURCE_SUFFIXES and "__pycache__" not in path.parts
    ]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}
