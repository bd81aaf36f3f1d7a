"""Is an older message applied over a newer one?"""

from collections.abc import Sequence
from decimal import Decimal
from functools import partial

from tocsin.findings import Evidence, Json, Severity, Verdict
from tocsin.history import History
from tocsin.scan._bursts import Seen, Tally, delivered, moved_later, size_of, too_few_answered, until_hit
from tocsin.scan._check import Check, Conclusion, Context, Cost
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._linear import is_linearizable, register
from tocsin.scan._plan import Plan, SequenceRule
from tocsin.wire import Response

# 59 clean bursts bound the probability per burst at 5 %.
_WANTED_BURSTS = 59
_SIZES = (6, 2, 10, 4, 16, 2)
# Whoever keeps the last number per process shows it on one of a few connections only.
_ROUNDS = 4


def _missing(plan: Plan) -> str:
    if plan.sequence is not None:
        return ""
    return "no [sequence]: say which variable orders messages, and where the number of the applied one is read"


def _run(context: Context) -> Conclusion:
    asked = _Asked(context)
    facts: dict[str, Json] = {"in_order": asked.in_order()}
    rounds: list[Json] = []
    facts["newer_then_older"] = rounds
    for _ in range(_ROUNDS):
        found = asked.newer_then_older()
        rounds.append(found)
        if found["undone"]:
            return _violated(
                f"A message with number {found['newer']} was accepted, then an older one with {found['older']}, and "
                f"{asked.rule.applied.name} reads {found['applied']}.",
                facts,
                None,
                also_sequential=True,
            )
    tally = until_hit(context, asked.shuffled, wanted=_WANTED_BURSTS, enough=lambda: True)
    facts |= tally.facts()
    if tally.hit is not None:
        return _violated(_said(tally.hit, tally), facts, tally.hit.history, also_sequential=False)
    bound = tally.bound(f"and {_ROUNDS} times a newer message before an older one, one after the other")
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)


def _said(hit: Seen, tally: Tally) -> str:
    return f"{hit.size} messages in one burst: {hit.hit}. It came back {tally.came_back}."


class _Asked:
    """The service under [sequence], asked in three ways."""

    def __init__(self, context: Context) -> None:
        assert context.plan.sequence is not None, "_missing asks for [sequence]"
        self.rule: SequenceRule = context.plan.sequence
        self._context = context
        self._bursts = 0
        self._has_hit = False

    def in_order(self) -> dict[str, Json]:
        """The control: each message of an ordered pair is accepted and shows. Raises CannotTell if not."""
        older, newer = self._messages(2)
        for draft in (older, newer):
            response, applied = self._sent(draft)
            if not self._context.plan.is_success(_status(response)) or applied != self._number(draft):
                raise CannotTell(
                    f"in order, a message with number {self._number(draft):f} was answered "
                    f"{_shown(_status(response))}, and {self.rule.applied.name} reads {applied:f}: wanted a success "
                    "and that number"
                )
        return {"older": int(self._number(older)), "newer": int(self._number(newer)), "accepted": True}

    def newer_then_older(self) -> dict[str, Json]:
        """The newer one of a pair first. A service that takes no gap refuses it and applies the older one: in order."""
        older, newer = self._messages(2)
        first, applied_first = self._sent(newer)
        took_newer = self._context.plan.is_success(_status(first)) and applied_first == self._number(newer)
        second, applied = self._sent(older)
        undone = took_newer and applied < self._number(newer)
        if undone:
            self._stands(older, applied, members=2)
        return {
            "newer": int(self._number(newer)),
            "older": int(self._number(older)),
            "statuses": [_shown(_status(first)), _shown(_status(second))],
            "newer_was_accepted": took_newer,
            "applied": f"{applied:f}",
            "undone": undone,
        }

    def shuffled(self, gentle: int) -> Seen:
        """A burst of messages with different numbers; the settled number is the highest that was accepted."""
        size = size_of(_SIZES[self._bursts % len(_SIZES)], gentle)
        drafts = self._messages(size)
        shots = tuple(self._context.session.shot(draft) for draft in drafts)
        delivery = delivered(self._context, shots, gentle, in_every_style=True)
        applied = self._applied(drafts[0])
        accepted = self._accepted(shots, delivery.responses)
        highest = max(accepted, default=applied)
        hit = ""
        if applied < highest:
            # A repetition only tells how often it comes.
            self._stands(drafts[0], applied, members=1 if self._has_hit else size)
            self._has_hit = True
            hit = f"{len(accepted)} were accepted, the highest with number {highest:f}, and {applied:f} is applied"
        void = "" if hit else delivery.void or too_few_answered(delivery)
        if not void and not accepted:
            void = "no member was accepted"
        self._bursts += not void
        self._context.session.collected(delivery, None, void)
        facts: dict[str, Json] = {
            "accepted": sorted(map(int, accepted)),
            "applied": f"{applied:f}",
        }
        if hit:
            facts["linearizable"] = {"model": "register", "fits": self._fits(shots, delivery.history, applied)}
        return Seen(len(shots), delivery.style, delivery.history, hit, void, facts)

    def _fits(self, shots: Sequence[Shot], history: History, applied: Decimal) -> bool:
        """Whether the burst, as it was recorded, is what a register that keeps the newest could have done."""
        plan = self._context.plan
        numbers = {shot.label: int(self._number(shot.draft)) for shot in shots}
        calls = register(history, plan.is_success, settle_us=plan.settle_s * 1e6, numbers=numbers)
        return is_linearizable(calls, min(numbers.values()) - 1, int(applied))

    def _messages(self, size: int) -> list[Draft]:
        """Messages of one scene, the oldest first."""
        scene = self._context.stage.scene(need=size)
        room = size if scene.capacity is None else min(size, scene.capacity)
        if room < 2:  # noqa: PLR2004  an older and a newer one
            raise CannotTell("[limits] admits one message on a resource: two are needed to have an order")
        return [self._context.stage.draft(scene) for _ in range(room)]

    def _sent(self, draft: Draft) -> tuple[Response | None, Decimal]:
        session = self._context.session
        response = session.send(session.shot(draft))
        session.assume(1)
        return response, self._applied(draft)

    def _applied(self, draft: Draft) -> Decimal:
        """The applied number, once effects have arrived."""
        self._context.session.settle()
        return self._context.session.look(self.rule.applied, draft)

    def _stands(self, draft: Draft, applied: Decimal, *, members: int) -> None:
        """Make sure that the number is where it stays: a later message may still be on its way."""
        session = self._context.session
        still = moved_later(session, partial(session.look, self.rule.applied, draft), applied, members=members)
        if still is not None:
            raise CannotTell(
                f"{self.rule.applied.name} went from {applied:f} to {still:f} while nothing was sent: effects arrive "
                "later than settle_ms says, or somebody else writes"
            )

    def _accepted(self, shots: Sequence[Shot], responses: Sequence[Response | None]) -> list[Decimal]:
        return [
            self._number(shot.draft)
            for shot, response in zip(shots, responses, strict=True)
            if self._context.plan.is_success(_status(response))
        ]

    def _number(self, draft: Draft) -> Decimal:
        return Decimal(draft.values[self.rule.variable])


def _status(response: Response | None) -> int | None:
    return None if response is None else response.status


def _shown(status: int | None) -> str:
    return "none" if status is None else str(status)


def _violated(summary: str, facts: dict[str, Json], history: History | None, *, also_sequential: bool) -> Conclusion:
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(summary, facts | {"also_sequential": also_sequential}, history),
        severity=Severity.HIGH,
        remedy=_REMEDY,
        # The call for this plan would not say sequence=, and without it messages are remembered one by one.
        guard_helps=False,
    )


_REMEDY = (
    "Let the write compare: UPDATE ... SET version = :new WHERE id = :id AND version < :new, and answer 200 to what "
    "changes no row; a look at the version before the write leaves a window. Or name the number to the guard, with "
    "sequence=sequence(number=..., stream=...): it compares in the transaction of the claim, before the handler runs."
)

CHECK = Check(
    id="reordering",
    title="Is an older message applied over a newer one?",
    cwe=(362, 841),
    owasp="API6:2023 Unrestricted Access to Sensitive Business Flows",
    share=5,
    cost=Cost(requests=40, settles=14),
    missing=_missing,
    run=_run,
    bounds_bursts=True,
)
