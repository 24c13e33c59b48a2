"""What hypothesis draws the cases of the collectives' tests from."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from harness.layout import LAYOUTS, Layout
from support.tensors import DTYPES, FORMS


@dataclass(frozen=True)
class Case:
    """One collective call: where it runs, and on what tensors."""

    layout: str
    dtype: str
    numel: int
    form: str = "contiguous"
    seed: int = 0

    @property
    def ranks(self) -> range:
        return Layout.parse(self.layout).ranks

    @property
    def world_size(self) -> int:
        return Layout.parse(self.layout).world_size


# Around what an implementation may cut at: vectors, cache lines, pages, frames; and anything in between.
EDGES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 4096, 8191, 16384, 65537)
SIZES = st.sampled_from(EDGES) | st.integers(0, 300) | st.integers(300, 100_000)

CASES = st.builds(
    Case,
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(DTYPES),
    numel=SIZES,
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 1 << 16),
)
