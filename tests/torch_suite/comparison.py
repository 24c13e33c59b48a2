"""Compares the outcomes of torch's suite over two backends; called by __main__.py."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

_GATE = "torch asks for the name 'gloo' before it calls the backend's own monitored_barrier"

# Tests that no backend but gloo can pass, whatever it does, and why.
EXCEPTIONS = {
    "test_ddp_logging_data_cpu": "c10d tells DDP's logger 'custom' for every backend that is not its own",
    "test_monitored_barrier_allreduce_hang": _GATE,
    "test_monitored_barrier_allreduce_hang_wait_all_ranks": _GATE,
    "test_monitored_barrier_failure_order": _GATE,
    "test_monitored_barrier_gloo": _GATE,
    "test_monitored_barrier_gloo_rank_0_timeout": "it wants gloo's own words in the error",
    "test_monitored_barrier_gloo_subgroup": _GATE,
    "test_monitored_barrier_wait_all_ranks": _GATE,
}


@dataclass(frozen=True)
class Outcome:
    """What became of a test; `why` is the end of its error, or the reason for which it was left out."""

    status: str  # pass, fail, skip
    seconds: float
    why: str

    @property
    def reason(self) -> str:
        """The line of the error that says most."""
        lines = [line.strip() for line in self.why.splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line.split(":")[0]]
        return (errors or lines or [""])[-1][:200]


Outcomes = dict[str, Outcome]


def totals(outcomes: Outcomes) -> str:
    """ "93 pass, 2 fail, 190 skip, 60 s" """
    counts = Counter(outcome.status for outcome in outcomes.values())
    seconds = sum(outcome.seconds for outcome in outcomes.values())
    return (
        ", ".join(f"{counts[status]} {status}" for status in ("pass", "fail", "skip")) + f", {seconds:.0f} s"
    )


def compare(ring: Outcomes, gloo: Outcomes) -> tuple[list[str], list[str]]:
    """Lines about each test that differs, and the unexplained among them: those that must not be.

    Unexplained is a test that does not pass on ring but passes on gloo, or fails on ring at all, and is not
    in EXCEPTIONS; and one that is there although it passes.
    """
    lines: list[str] = []
    wrong: list[str] = []
    for name in sorted(set(ring) | set(gloo)):
        ours, theirs = ring.get(name), gloo.get(name)
        our_status, their_status = (each.status if each else "absent" for each in (ours, theirs))
        line = f"{name}: ring {our_status}, gloo {their_status}"
        if name in EXCEPTIONS and our_status == "pass":
            wrong.append(f"{line}; it passes, so take it off the list of exceptions")
        elif name in EXCEPTIONS and our_status == "fail":
            lines.append(f"{line}; {EXCEPTIONS[name]}")
        elif our_status == "fail" or (their_status == "pass" and our_status != "pass"):
            wrong.append(f"{line}; {ours.reason if ours else 'it was not run'}")
        elif our_status != their_status:
            lines.append(f"{line}; {theirs.reason if theirs else ''}")
    return lines, wrong
