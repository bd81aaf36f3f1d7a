"""What can stop a scan, a check or a trial, and what each of them means."""

from pathlib import Path
from traceback import extract_tb
from typing import Final

_TOCSIN: Final = Path(__file__).parents[1]


class PlanError(ValueError):
    """The plan says something that cannot be meant: an unknown key, a wrong type, a variable that nothing defines."""


class RailError(Exception):
    """The scan would go where it is not allowed: another host, more state changes than granted. Nothing was sent."""


class EffectsNotAccepted(RailError):  # noqa: N818  a question to the user before it is an error
    """Nothing brings the state back, and nobody has accepted that. The user may be asked."""


class BudgetEnded(Exception):  # noqa: N818  an expected end, not an error
    """A budget (requests, effects, seconds) is used up; the check says what it has and by what it was cut short."""


class CannotTell(Exception):  # noqa: N818  a verdict (INCONCLUSIVE), not an error
    """This check cannot reach a verdict on this service; the message says what was missing."""


class ServiceGone(Exception):  # noqa: N818  a fact about the peer, not an error of ours
    """The service does not answer any more. A retry may help once it runs again."""


class Terminated(KeyboardInterrupt):
    """Ended by SIGTERM. Nobody sits there to bring the state back by hand, so that the run does it, within seconds."""

    def __init__(self) -> None:
        super().__init__("ended by SIGTERM")


def ended_by(interrupt: KeyboardInterrupt) -> str:
    """What ended a scan from outside, as a report says it."""
    return str(interrupt) or "interrupted by the user"


def bug_said(bug: Exception) -> str:
    """What a report says of an error of ours: where it is, and not its text, which may hold what was sent."""
    ours = [frame for frame in extract_tb(bug.__traceback__) if Path(frame.filename).is_relative_to(_TOCSIN)]
    at = f" at {Path(ours[-1].filename).relative_to(_TOCSIN).as_posix()}:{ours[-1].lineno}" if ours else ""
    return f"a bug in tocsin: {type(bug).__name__}{at}"
