"""Confirm a service's expected.toml by brute force, check by check: a generated one's, and those of the lab."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import _plan_looks
from lab._expected import EITHER, truths
from lab._launch import launch
from lab._plan_siege import PlanSiege
from lab._services import Service, find, load
from lab.generated import SEED_FILE, draw, generate
from lab.generated._siege import Siege
from lab.generated._verify import looks

_VIOLATED, _CLEAN, _NOT_ASKED = "VIOLATED", "NOT_OBSERVED", "NOT_APPLICABLE"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the brute force saw of one check.

    Args:
        expected: the verdict in expected.toml.
        seen: VIOLATED or NOT_OBSERVED; "" where it cannot tell.
        why: why it cannot tell.
    """

    check: str
    expected: str
    seen: str
    why: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the truth stands; what is `either`, or cannot be told, cannot fall."""
        return not self.seen or self.expected in {self.seen, EITHER}


def verified(name: str) -> Iterator[Confirmation]:
    """What is seen of each check that the service is asked for.

    Args:
        name: a seed, a folder that `generate` wrote, or a service of the lab: SERVICE or SERVICE/ROUTE.

    Raises:
        LabError: no such service, or it does not start.
    """
    if name.isascii() and name.isdigit():
        with tempfile.TemporaryDirectory(prefix=f"tocsin-generated-{name}-") as folder:
            yield from verified_generated(generate(int(name), Path(folder)))
    elif (Path(name) / SEED_FILE).is_file():
        yield from verified_generated(load(Path(name).absolute()))
    else:
        yield from verified_by_plan(find(name))


def verified_generated(service: Service) -> Iterator[Confirmation]:
    """The same, of a generated service."""
    traits = draw(int((service.folder / SEED_FILE).read_text()))
    expected = truths(service)
    with launch(service) as running:
        siege = Siege(running, traits)
        for check, look in looks().items():
            if expected[check].verdict != _NOT_ASKED:
                yield Confirmation(check, expected[check].verdict, _VIOLATED if look(siege) else _CLEAN)


def verified_by_plan(service: Service, only: Sequence[str] = ()) -> Iterator[Confirmation]:
    """The same, of a service of the lab, or another route of one: by what its plan says of it.

    Args:
        service: which, and which route.
        only: the checks to look for; none: all of them.

    Raises:
        LabError: as verified, or the service does not take what its plan says.
    """
    expected = truths(service)
    with launch(service) as running:
        siege = PlanSiege(running)
        _plan_looks.require_honest(siege)
        can_tell = _plan_looks.looks(siege)
        for check, truth in expected.items():
            if truth.verdict == _NOT_ASKED or (only and check not in only):
                continue
            if check in can_tell:
                yield Confirmation(check, truth.verdict, _VIOLATED if can_tell[check]() else _CLEAN)
            else:
                yield Confirmation(check, truth.verdict, "", _plan_looks.CANNOT_TELL[check])
