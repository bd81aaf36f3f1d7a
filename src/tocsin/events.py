"""All that a report may see of a run, in the order in which it happens. PURE.

Rule: a run is one RunStarted, then CheckStarted / Progressed / BurstCollected / FindingMade, then one RunEnded, however
it ends. No event holds a secret or a live signature.
"""

from dataclasses import dataclass
from typing import TypeAlias

from tocsin.findings import Finding
from tocsin.history import History


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run is about to send its first request.

    Args:
        version: of tocsin.
        target: the base URL.
        operation: method and path template of what is scanned.
        plan: where the plan came from, as the user named it.
        checks: the ids that will run, in order.
        seed: of everything random, so that a rerun sends the same ids in the same order.
        started_at_unix: wall clock.
        budget_s: how long the run may take.
        delivery: which protocol is spoken and why, and whether certificates go unverified, in words.
    """

    version: str
    target: str
    operation: str
    plan: str
    checks: tuple[str, ...]
    seed: int
    started_at_unix: float
    budget_s: float
    delivery: str = ""


@dataclass(frozen=True, slots=True)
class CheckStarted:
    """A check begins."""

    check: str
    title: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """A check has done `done` of at most `total` trials of what `phase` names."""

    check: str
    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class BurstCollected:
    """A burst was delivered, or not (`void` says why), and its effects were read (None if they could not be)."""

    check: str
    history: History
    effects: int | None
    void: str = ""


@dataclass(frozen=True, slots=True)
class FindingMade:
    """A check has concluded."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over.

    Args:
        elapsed_s: since RunStarted.
        requests: how many were sent, reads and resets included.
        effects: how many state changes were made.
        interrupted: why the run ended before its last check or went wrong, or "".
        left_behind: what state may remain in the service, or "".
        statement: what all clean bounds say together, at one level of confidence for the whole run, or "".
        bounds_asked: how many bounds on a probability were asked for, whether or not they came out clean.
    """

    elapsed_s: float
    requests: int
    effects: int
    interrupted: str = ""
    left_behind: str = ""
    statement: str = ""
    bounds_asked: int = 0


Event: TypeAlias = RunStarted | CheckStarted | Progressed | BurstCollected | FindingMade | RunEnded
