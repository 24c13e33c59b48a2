"""How the ranks of a job are spread over hosts."""

from __future__ import annotations

from dataclasses import dataclass

# One host and several, even and uneven, with the local or the remote stage left out; no powers of 2 alone.
LAYOUTS = ("1x1", "1x2", "1x3", "1x4", "1x8", "4x1", "2x2", "2+1", "3x2")


@dataclass(frozen=True)
class Layout:
    """Ranks per host; ranks are numbered host after host."""

    ranks_per_host: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Reads "3x2" (3 hosts of 2 ranks each) or "2+1" (a host of 2 ranks and a host of 1)."""
        if "x" in text:
            hosts, ranks = text.split("x")
            return cls((int(ranks),) * int(hosts))
        return cls(tuple(int(ranks) for ranks in text.split("+")))

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

    def host_of(self, rank: int) -> int:
        return self._place_of(rank)[0]

    def local_rank_of(self, rank: int) -> int:
        return self._place_of(rank)[1]

    def _place_of(self, rank: int) -> tuple[int, int]:
        first = 0
        for host, ranks in enumerate(self.ranks_per_host):
            if rank < first + ranks:
                return host, rank - first
            first += ranks
        raise ValueError(f"layout {self} has no rank {rank}")
