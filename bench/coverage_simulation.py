"""Do clean bounds hold? `python -m bench.coverage_simulation [--scans N]`

Services whose probability of a hit per burst is known, asked by the scanner's own race: its stopping rule, its release
styles, its void bursts, its bounds. Only the wire is replaced by a die. A bound is wrong if it is below the probability
that the service really had, averaged over the bursts that were counted. At most 5 of 100 scans may state a wrong one,
whether the others found the race or stated a right one; the same for the statement over all bounds of a scan.

Writes bench/results/coverage_simulation.json; exit code 1 if more are wrong than that, beyond what chance explains.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bench._dice import NEVER, Chance, Dice, World
from bench._host import facts
from tocsin.findings import Verdict
from tocsin.history import History
from tocsin.scan._bursts import Seen, until_hit
from tocsin.scan._check import Context
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._race import Experiment, Members, race
from tocsin.scan._session import Session
from tocsin.scan._statistics import scan_wide_limit, upper_limit
from tocsin.scan._trial import Trial
from tocsin.wire import Style

RESULTS = Path(__file__).parent / "results" / "coverage_simulation.json"
DOUBT = 0.05
# What chance may add to a share that is exactly 5 %: three standard deviations.
SIGMAS = 3.0
SIZES = (20, 2, 10, 6, 16, 4)


@dataclass(frozen=True, slots=True)
class Told:
    """What a race came to: the bursts behind its clean bound, or 0; and the truth for those that were counted."""

    verdict: Verdict
    bursts: int
    truth: float

    @property
    def is_wrong(self) -> bool:
        """Whether it states a bound that does not hold."""
        return self.bursts > 0 and self.truth > upper_limit(self.bursts)


def raced(world: World, wanted: int, rng: random.Random) -> Told:
    """As concurrent-duplicate and over-allocation ask: the real race, to its end."""
    dice = Dice(world, rng)
    shot = Shot(Draft({}), 0.0, b"", "a")

    def compose(size: int) -> Members:
        return Members((shot,) * size, allowed=1)

    def hit(trial: Trial, _twin: Trial) -> str:
        return "duplicate" if trial.effects > trial.allowed else ""

    experiment = Experiment("dice", compose, SIZES, least=2, wanted=wanted, hit=hit, is_apart=True)
    outcome = race(cast("Session", dice), experiment, until=NEVER)
    bound = outcome.bound()
    return _told(outcome.verdict, bound.trials if bound else 0, dice)


def seen(world: World, wanted: int, rng: random.Random) -> Told:
    """As contention-errors and reordering ask: bursts that a check judges itself."""
    dice = Dice(world, rng)
    context = Context(dice.plan, cast("Session", dice), None, NEVER)  # type: ignore[arg-type]  # nothing is composed

    def once(gentle: int) -> Seen:
        style: Style = "last-byte"
        is_void, hits = dice.throw(style, max(2, 20 >> gentle))
        return Seen(20, style, History(()), "hit" if hits else "", "by chance" if is_void else "")

    tally = until_hit(context, once, wanted=wanted, enough=lambda: True)
    if tally.hit is not None:
        return _told(Verdict.VIOLATED, 0, dice)
    return _told(Verdict.NOT_OBSERVED if tally.clean else Verdict.INCONCLUSIVE, tally.clean, dice)


def _told(verdict: Verdict, bursts: int, dice: Dice) -> Told:
    return Told(verdict, bursts, sum(dice.counted) / len(dice.counted) if dice.counted else 0.0)


def always(p: float) -> Chance:
    return lambda _style, _size, _before: p


def just_above(bursts: int) -> float:
    """The worst truth for a scan of so many bursts: as hard to see as can be, and above the bound all the same."""
    return upper_limit(bursts) + 1e-9


WORLDS: tuple[World, ...] = (
    World("as much as the bound says", always(just_above(150))),
    World("1 %", always(0.01)),
    World("3 %", always(0.03)),
    World("10 %", always(0.10)),
    World("in one style alone, 8 %", lambda style, _size, _before: 0.08 * (style == "threads")),
    World("in large bursts alone, 4 %", lambda _style, size, _before: 0.04 * (size > 6)),
    World("only after 100 bursts, 6 %", lambda _style, _size, before: 0.06 * (before >= 100)),
    World("a quarter of bursts void", always(just_above(150)), void=0.25),
    World("half of all hits void", always(0.04), voids_hits=0.5),
    World("the time ends after 20 to 150 bursts", always(0.04), ends_after=(20, 150)),
    World("the time ends after 59 bursts", always(just_above(59)), ends_after=(59, 59)),
)
# What one scan may bound: the three variants of concurrent-duplicate, over-allocation alone and with a [[mix]], and the
# three checks that judge bursts themselves.
BOUNDS: tuple[tuple[Callable[[World, int, random.Random], Told], int], ...] = (
    (raced, 150),
    (raced, 59),
    (raced, 59),
    (raced, 59),
    (seen, 59),
    (seen, 30),
    (seen, 30),
    (seen, 30),
)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of so many scans stated something wrong."""

    wrong: int
    of: int

    @property
    def holds(self) -> bool:
        """Whether that fits at most 5 %."""
        return self.wrong / self.of <= DOUBT + SIGMAS * math.sqrt(DOUBT * (1 - DOUBT) / self.of)

    def told(self) -> dict[str, object]:
        return {"wrong": self.wrong, "scans": self.of, "share": round(self.wrong / self.of, 4), "holds": self.holds}


def one_check(world: World, scans: int, rng: random.Random) -> tuple[Share, dict[str, object]]:
    """The bound of `identical`, many times."""
    told = [raced(world, 150, rng) for _ in range(scans)]
    share = Share(sum(one.is_wrong for one in told), scans)
    verdicts = {str(verdict): sum(one.verdict is verdict for one in told) for verdict in Verdict}
    return share, share.told() | {"verdicts": {name: count for name, count in verdicts.items() if count}}


def whole_scan(racy: int, divided_by: int, scans: int, rng: random.Random) -> tuple[Share, Share]:
    """All bounds of a scan, of which the last `racy` are about a race.

    Args:
        racy: how many.
        divided_by: each race is just more likely than a bound excludes that has so many others beside it.
        scans: how many.
        rng: decides.

    Returns:
        How often the statement over all of them is wrong; and how often it would be, if the doubt were divided by the
        number of clean bounds in place of those that were asked for.
    """
    wrong = wrong_by_clean = 0
    doubtful = [1 - (DOUBT / divided_by) ** (1 / wanted) + 1e-9 for _, wanted in BOUNDS]
    for _ in range(scans):
        told = [
            ask(World("", always(doubtful[place] if place >= len(BOUNDS) - racy else 0.0)), wanted, rng)
            for place, (ask, wanted) in enumerate(BOUNDS)
        ]
        clean = [one for one in told if one.bursts]
        most = max((one.truth for one in clean), default=0.0)
        bursts = [one.bursts for one in clean]
        wrong += bool(clean) and most > scan_wide_limit(bursts, len(BOUNDS))
        # Each at its own number of bursts, which is what makes the difference show.
        doubt = DOUBT / max(len(clean), 1)
        wrong_by_clean += any(one.truth > 1 - doubt ** (1 / one.bursts) for one in clean)
    return Share(wrong, scans), Share(wrong_by_clean, scans)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=4000, help="of each service (default 4000: some five minutes)")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args(argv)
    rng = random.Random(arguments.seed)
    shares, result = [], {}
    for world in WORLDS:
        share, result[world.name] = one_check(world, arguments.scans, rng)
        shares.append(share)
        print(f"{world.name:38} {share.wrong} of {share.of} bounds wrong", flush=True)
    together: dict[str, object] = {}
    for racy, divided_by in ((0, 1), (1, 2), (3, len(BOUNDS)), (len(BOUNDS) - 1, 2), (len(BOUNDS), len(BOUNDS))):
        share, by_clean = whole_scan(racy, divided_by, arguments.scans // 4 or 1, rng)
        shares.append(share)
        name = f"{racy} of {len(BOUNDS)} racy, just above 0.05 / {divided_by}"
        together[name] = share.told() | {"if_divided_by_clean": by_clean.told()}
        print(f"{name}: {share.wrong} of {share.of} statements wrong; ", end="")
        print(f"{by_clean.wrong} if only clean bounds counted", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"host": facts(), "seed": arguments.seed, "one_check": result, "whole_scan": together}
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if all(share.holds for share in shares) else 1


if __name__ == "__main__":
    sys.exit(main())
