"""Reads a folder of text as a character-level corpus for train_gpt.py.

The same folder always gives the same corpus: files are read in a fixed order up to a fixed number of bytes.
A batch is a function of (seed, step, rank) alone, so it does not depend on the backend, and a resumed run
draws what the uninterrupted run would have drawn.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

MAX_BYTES = 4_000_000
MAX_SYMBOLS = 256
UNKNOWN = "\ufffd"  # stands for bytes that are not UTF-8 and for characters too rare for the vocabulary
SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages"}


class CorpusError(Exception):
    """The folder cannot be trained on; the message says why and what to do."""


@dataclass(frozen=True)
class Corpus:
    """Encoded text, the last tenth of it held out for validation, and the vocabulary that decodes it."""

    vocabulary: str
    train: NDArray[np.int64]
    validation: NDArray[np.int64]

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.vocabulary[token] for token in tokens)


def _files(folder: Path) -> list[Path]:
    """All files, in the order of a hash of their names: the first few are a cross-section of the folder."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: sha256(os.fsencode(path.relative_to(folder))).digest())


def _read_text(folder: Path) -> str:
    pieces: list[bytes] = []
    room = MAX_BYTES
    for path in _files(folder):
        if not path.is_file():  # a broken link, a socket, a pipe
            continue
        try:
            with path.open("rb") as file:
                piece = file.read(room)
        except OSError:
            continue
        if b"\0" in piece:  # a binary file
            continue
        pieces.append(piece)
        room -= len(piece)
        if room <= 0:
            break
    return b"".join(pieces).decode("utf-8", errors="replace")


def load_corpus(folder: Path, block_size: int) -> Corpus:
    """Reads and encodes the text of a folder; raises CorpusError where it cannot serve."""
    if not folder.is_dir():
        raise CorpusError(f"no folder at '{folder}': give --data a folder of text files")
    text = _read_text(folder)
    if not text:
        raise CorpusError(f"no text in '{folder}': give --data a folder with UTF-8 text files")
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    symbols, first, inverse, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    # The most frequent first; among equals the one seen first.
    order = [i for i in np.lexsort((first, -counts)) if chr(symbols[i]) != UNKNOWN][: MAX_SYMBOLS - 1]
    token_of = np.zeros(len(symbols), dtype=np.int64)  # 0 is the unknown symbol
    token_of[order] = np.arange(1, len(order) + 1)
    tokens = token_of[inverse]
    split = len(tokens) - len(tokens) // 10
    corpus = Corpus(UNKNOWN + "".join(chr(symbols[i]) for i in order), tokens[:split], tokens[split:])
    if len(corpus.validation) < block_size + 1:
        raise CorpusError(
            f"'{folder}' has only {len(tokens)} characters of text, and --block-size {block_size} needs "
            f"{10 * (block_size + 1)}: add text or lower --block-size"
        )
    return corpus


def sample_batch(
    part: NDArray[np.int64], batch_size: int, block_size: int, key: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws inputs and their next-character targets; equal keys draw equal batches."""
    starts = np.random.default_rng(key).integers(0, len(part) - block_size, batch_size)
    windows = torch.from_numpy(np.stack([part[s : s + block_size + 1] for s in starts]))
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
