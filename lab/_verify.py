"""Confirm a service's expected.toml by brute force: a generated one check by check, others by their two races."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab._bruteforce import OrderDesk, Signer, sign_hex, sign_tocsin_v1
from lab._expected import EITHER, truths
from lab._launch import launch
from lab._services import LabError, Service, find, load, names
from lab.generated import SEED_FILE, draw, generate
from lab.generated._siege import Siege
from lab.generated._verify import looks

_SIZE = 16
# On flask-vulnerable a burst of 16 showed the race in 0.8 of 60 bursts on two cores; 60 miss it on no machine.
_BURSTS = 60
_VIOLATED, _CLEAN, _NOT_ASKED = "VIOLATED", "NOT_OBSERVED", "NOT_APPLICABLE"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the brute force saw of one check.

    Args:
        expected: the verdict in expected.toml.
        seen: VIOLATED or NOT_OBSERVED.
    """

    check: str
    expected: str
    seen: str

    @property
    def is_right(self) -> bool:
        """Whether the truth stands; what is `either` cannot fall."""
        return self.expected in {self.seen, EITHER}


def verified(name: str) -> Iterator[Confirmation]:
    """What is seen of each check that a brute force can ask of the service.

    Args:
        name: a seed, a folder that `generate` wrote, or a service of the lab.

    Raises:
        LabError: no such service, it does not start, or there is no brute force for it.
    """
    if name.isascii() and name.isdigit():
        with tempfile.TemporaryDirectory(prefix=f"tocsin-generated-{name}-") as folder:
            yield from verified_generated(generate(int(name), Path(folder)))
    elif (Path(name) / SEED_FILE).is_file():
        yield from verified_generated(load(Path(name).absolute()))
    else:
        yield from _verified_desk(find(name))


def verified_generated(service: Service) -> Iterator[Confirmation]:
    """The same, of a generated service."""
    traits = draw(int((service.folder / SEED_FILE).read_text()))
    expected = truths(service)
    with launch(service) as running:
        siege = Siege(running, traits)
        for check, look in looks().items():
            if expected[check].verdict != _NOT_ASKED:
                yield Confirmation(check, expected[check].verdict, _VIOLATED if look(siege) else _CLEAN)


def _verified_desk(service: Service) -> Iterator[Confirmation]:
    """The two races of a service that takes orders."""
    sign, has_stock = _desk(service.name)
    expected = truths(service)
    with launch(service) as running:
        desk = OrderDesk(running, sign, has_stock=has_stock)
        for check, more in (("concurrent-duplicate", _applied_twice), ("over-allocation", _oversold)):
            if expected[check].verdict != _NOT_ASKED:
                seen = any(more(desk) for _ in range(_BURSTS))
                yield Confirmation(check, expected[check].verdict, _VIOLATED if seen else _CLEAN)


def _applied_twice(desk: OrderDesk) -> bool:
    return desk.duplicates(_SIZE) > 1


def _oversold(desk: OrderDesk) -> bool:
    return desk.oversold(_SIZE) > 0


def _desk(name: str) -> tuple[Signer, bool]:
    """How its orders are signed, and whether it keeps a stock."""
    desks: dict[str, tuple[Signer, bool]] = {
        "flask-vulnerable": (sign_hex, True),
        "flask-published": (sign_hex, False),
        "flask-guarded": (sign_tocsin_v1, True),
        "flask-guarded-postgres": (sign_tocsin_v1, True),
    }
    if name not in desks:
        known = ", ".join(known for known in names() if known in desks)
        raise LabError(f"no brute force here for {name}, its own test has one; wanted a seed, or one of {known}")
    return desks[name]
