"""Can text in the body or headers change the verification decision?"""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._injections import Injection, injections
from tocsin.scan._probes import Probed, alone, together
from tocsin.scan._trials import control
from tocsin.signing import Secret

# So many share one settling and one reading; between them the clock is looked at.
_AT_ONCE = 40
# The control counts if it comes each time: a forgery that is accepted now and then has no need of a text.
_ROUNDS = 3


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    forging = _Forging(context)
    probes: dict[str, Probed] = {}
    cut_short = ""
    every = forging.injections
    try:
        for first in range(0, len(every), _AT_ONCE):
            if probes and time.monotonic() > context.until:
                cut_short = f"its share of the time ended after {len(probes)} of {len(every)} texts"
                break
            probes |= forging.probed(every[first : first + _AT_ONCE])
    except BudgetEnded as ended:
        cut_short = str(ended)
    if not probes:
        raise CannotTell(cut_short)
    taken = [injection for injection in every if injection.name in probes and probes[injection.name].accepted]
    families = {one.family: sum(other.family == one.family for other in every) for one in every}
    facts: dict[str, Json] = {
        "control": accepted.facts(),
        "probes": {name: probed.word for name, probed in probes.items()},
        "statuses": {name: probed.answer for name, probed in probes.items()},
        "families": families,
    }
    if cut_short:
        facts["cut_short"] = cut_short
    if taken:
        return _violated(forging, taken, facts)
    bound = Bound(len(probes), "texts accepted", detail=cut_short)
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), allowed_effects=0, bound=bound)


class _Forging:
    """Sends requests under a signature that must fail, with a text in them and without."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # A text, for some injections hold it; and one that nobody else has, so that it must fail.
        self._key = secrets.token_hex(16)
        composer = context.session.composer
        self._forger: Composer = composer.with_secret(Secret(self._key.encode(), key_id=composer.secret.key_id))
        one, other = (
            self._forger.message(context.plan.request, context.stage.draft(context.stage.scene()), at=time.time())
            for _ in range(2)
        )
        header = context.plan.scheme.header
        self.injections = injections(one, other, signature_header=header, key=self._key)

    def probed(self, some: Sequence[Injection]) -> dict[str, Probed]:
        """What becomes of each."""
        makes = {injection.name: partial(self._shot, injection) for injection in some}
        return together(self._context, makes, side_by_side=True)

    def accepted_without(self) -> int:
        """How often the same forgery is accepted without a text, of _ROUNDS."""
        return sum(alone(self._context, partial(self._shot, None)).accepted for _ in range(_ROUNDS))

    def came_back(self, injection: Injection) -> int:
        """How often an injection is accepted again, of _ROUNDS: what a model decides, it decides anew each time."""
        return sum(alone(self._context, partial(self._shot, injection)).accepted for _ in range(_ROUNDS))

    def _shot(self, injection: Injection | None, draft: Draft) -> Shot:
        at = time.time()
        message = self._forger.message(self._context.plan.request, draft, at=at)
        if injection is not None and injection.signed:
            message = injection.change(message)
        message = replace(message, headers=message.headers + self._forger.signature(message, draft, at=at))
        if injection is not None and not injection.signed:
            message = injection.change(message)
        return self._forger.as_it_stands(message, draft, at=at)


def _violated(forging: _Forging, taken: Sequence[Injection], facts: dict[str, Json]) -> Conclusion:
    without = forging.accepted_without()
    facts["accepted_without_text"] = f"{without} of {_ROUNDS}"
    if without:
        raise CannotTell(
            f"a forgery without any text is accepted too ({without} of {_ROUNDS} times), which is for signature-bypass "
            "to say: nothing can be told of texts"
        )
    again = 0
    with suppress(BudgetEnded, CannotTell, ServiceGone):
        again = forging.came_back(taken[0])
    facts["came_back"] = f"{again} of {_ROUNDS}"
    names = ", ".join(injection.name for injection in taken)
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(
            f"Under a signature that must fail, these were accepted: {names}. The same forgery without them is refused "
            f"({_ROUNDS} of {_ROUNDS} times). The first came back in {again} of {_ROUNDS} further tries.",
            facts,
        ),
        severity=Severity.CRITICAL,
        effects=len(taken),
        allowed_effects=0,
        remedy=_PROMPT_REMEDY if {injection.family for injection in taken} == {"prompt"} else _REMEDY,
    )


_REMEDY = (
    "Decide by the signature over the raw body and by nothing that the message says of itself: no flag, header, "
    "algorithm or key from outside, and no parsing before the decision."
)
_PROMPT_REMEDY = (
    "Verify in code, before a language model sees a byte of the message, and give the model no tool that applies an "
    "unverified one: what stands in a message is data, whoever it claims to be from."
)

CHECK = Check(
    id="instruction-injection",
    title="Can text in the body or headers change the verification decision?",
    cwe=(290, 347, 1427),
    owasp="API2:2023 Broken Authentication",
    share=3,
    cost=Cost(requests=55, settles=6),
    missing=needs_state,
    run=_run,
)
