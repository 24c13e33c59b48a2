"""How the ranks of a job are spread over hosts; LAYOUTS are those that most tests go over."""

from __future__ import annotations

import re
from dataclasses import dataclass

# One host and several, even and uneven, with the local or the remote stage left out; no powers of 2 alone.
LAYOUTS = ("1x1", "1x2", "1x3", "1x4", "1x8", "4x1", "2x2", "2+1", "3x2")


@dataclass(frozen=True)
class Layout:
    """Ranks per host; ranks are numbered host after host."""

    ranks_per_host: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Reads "3x2" (3 hosts of 2 ranks each) or "2+1" (a host of 2 ranks and a host of 1).

        Raises ValueError that says what is allowed.
        """
        if found := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text):
            return cls((int(found[2]),) * int(found[1]))
        if re.fullmatch(r"[1-9]\d*(\+[1-9]\d*)+", text):
            return cls(tuple(int(ranks) for ranks in text.split("+")))
        raise ValueError(f"'{text}': allowed are layouts such as 3x2 (hosts x ranks) and 2+1 (ranks by host)")

    def __str__(self) -> str:
        if len(set(self.ranks_per_host)) == 1:
            return f"{self.hosts}x{self.ranks_per_host[0]}"
        return "+".join(map(str, self.ranks_per_host))

    @property
    def hosts(self) -> int:
        return len(self.ranks_per_host)

    @property
    def world_size(self) -> int:
        return sum(self.ranks_per_host)

    @property
    def ranks(self) -> range:
        return range(self.world_size)

    def rank_env(self, rank: int) -> dict[str, str]:
        """What torchrun would tell a rank, but for where the store is."""
        host, local_rank = self._host_and_local_rank(rank)
        return {
            "RANK": str(rank),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": str(local_rank),
            "LOCAL_WORLD_SIZE": str(self.ranks_per_host[host]),
        }

    def host_of(self, rank: int) -> int:
        return self._host_and_local_rank(rank)[0]

    def local_rank_of(self, rank: int) -> int:
        return self._host_and_local_rank(rank)[1]

    def _host_and_local_rank(self, rank: int) -> tuple[int, int]:
        first = 0
        for host, ranks in enumerate(self.ranks_per_host):
            if rank < first + ranks:
                return host, rank - first
            first += ranks
        raise ValueError(f"layout {self} has no rank {rank}")
