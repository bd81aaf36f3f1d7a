"""What a race has shown: its verdict, its bound, and what a report tells of it. PURE."""

from collections import Counter
from dataclasses import dataclass, field

from tocsin.findings import Bound, Json, Verdict
from tocsin.scan._statistics import upper_limit
from tocsin.scan._trial import Trial, delivery_facts
from tocsin.wire import Delivery


@dataclass(slots=True)
class Outcome:
    """What a race has shown so far."""

    twin: Trial | None = None
    also_sequential: bool = False
    hit: Trial | None = None
    what: str = ""
    rate: tuple[int, int] = (0, 0)
    # How few requests are enough, as the end of a sentence, once that has been tried.
    smallest: str = ""
    # For how long nobody else was seen to write, where a hit hardly came back and all trials share a state.
    watched_s: float = 0.0
    mixture: Counter[str] = field(default_factory=Counter)
    styles: dict[str, Json] = field(default_factory=dict)
    delivery: Delivery | None = None
    voids: Counter[str] = field(default_factory=Counter)
    cut_short: str = ""
    missing: str = ""

    @property
    def clean(self) -> int:
        """Valid bursts without a hit."""
        return self.mixture.total()

    @property
    def verdict(self) -> Verdict:
        """A hit is proof; nothing valid is nothing."""
        if self.hit is not None:
            return Verdict.VIOLATED
        return Verdict.NOT_OBSERVED if self.clean and not self.missing else Verdict.INCONCLUSIVE

    def bound(self) -> Bound | None:
        """What the clean bursts are worth, or None if there were none or one hit."""
        if self.verdict is not Verdict.NOT_OBSERVED:
            return None
        return Bound(
            trials=self.clean,
            unit="bursts",
            upper_limit=upper_limit(self.clean),
            detail=self.cut_short,
            mixture=dict(self.mixture),
            void=self.voids.total(),
        )

    def reason(self) -> str:
        """Why there is no verdict."""
        return self.missing or self.cut_short or "no burst was valid"

    def came_back(self) -> str:
        """How often the hit has come back, as a sentence."""
        hits, tries = self.rate
        watched = (
            f" Nobody else wrote while the state was watched for {self.watched_s:.1f} s." if self.watched_s else ""
        )
        if not tries:
            return f"It was not tried again: {self.cut_short or 'the time or the budget was over'}.{watched}"
        return f"It came back in {hits} of {tries} further bursts{self.smallest}.{watched}"

    def facts(self) -> dict[str, Json]:
        """As a report shows it."""
        facts: dict[str, Json] = {
            "verdict": str(self.verdict),
            "valid_bursts": self.clean,
            "mixture": dict(self.mixture),
            "styles": self.styles,
        }
        if self.hit is None and self.delivery is not None:
            facts["delivery"] = delivery_facts(self.delivery)
        if self.voids:
            facts["void_bursts"] = dict(self.voids)
        if self.cut_short:
            facts["cut_short"] = self.cut_short
        if self.twin is not None:
            facts |= {"sequential": self.twin.facts(), "also_sequential": self.also_sequential}
        if self.hit is not None:
            hits, of = self.rate
            facts |= {
                "burst": self.hit.facts(),
                "kind": self.what,
                "effects": self.hit.effects,
                "allowed_effects": self.hit.allowed,
                "came_back": f"{hits} of {of}",
            }
            if self.watched_s:
                facts["watched_s"] = round(self.watched_s, 1)
            if self.smallest:
                facts["smallest"] = self.smallest.removeprefix("; ")
        bound = self.bound()
        if bound is not None:
            facts["bound"] = str(bound)
        if self.verdict is Verdict.INCONCLUSIVE:
            facts["reason"] = self.reason()
        return facts
