"""Is a malformed body with a bad signature parsed before it is rejected?"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._backoff import LIMITED_WAITS_S
from tocsin.scan._bodies import is_json, malformed
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import Plan
from tocsin.scan._probes import answered, honest_after, is_server_error, shown
from tocsin.scan._stage import Scene
from tocsin.scan._statuses import LIMITED
from tocsin.scan._trials import control
from tocsin.signing import Secret

# Too large, and a type that the operation does not take: both can be told from the headers (RFC 9110 sections 15.5.14
# and 15.5.16), and a proxy in front often does.
_FROM_HEADERS = frozenset({413, 415})
# A difference counts if it comes each time, so that a limiter or a restart is not mistaken for one.
_ROUNDS = 3

Body = Callable[[Draft, float], bytes]


def _missing(plan: Plan) -> str:
    return needs_state(plan) or ("" if plan.request.body.text else "the request has no body that could be malformed")


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    forger = context.session.composer.with_secret(Secret(secrets.token_bytes(32), key_id=_key_id(context)))
    forgeries = _Forgeries(context, forger)
    bodies = _bodies(context)
    statuses = forgeries.answers(bodies)
    suspects = {
        name: bodies[name]
        for name, status in statuses.items()
        if status != forgeries.refusal and status not in _FROM_HEADERS
    }
    for _ in range(_ROUNDS - 1):
        again = forgeries.answers(suspects)
        suspects = {name: body for name, body in suspects.items() if again[name] == statuses[name]}
    facts: dict[str, Json] = {
        "control": accepted.facts(),
        "well_formed": shown(forgeries.refusal),
        "statuses": {name: shown(status) for name, status in statuses.items()},
        "each_time": list(suspects),
    }
    if suspects:
        return _violated(facts, {name: statuses[name] for name in suspects}, forgeries.refusal)
    bound = Bound(len(bodies), "bodies", detail=f"all answered as the well-formed one, {shown(forgeries.refusal)}")
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)


class _Forgeries:
    """Sends bodies under a forgery of the right shape, a well-formed one beside each."""

    def __init__(self, context: Context, forger: Composer) -> None:
        self._context = context
        self._forger = forger
        self.refusal: int | None = None

    def answers(self, bodies: Mapping[str, Body]) -> dict[str, int | None]:
        """How each body is answered.

        Raises:
            CannotTell: the well-formed ones are accepted or not always answered alike, or an honest request is not
                accepted after them.
        """
        if not bodies:
            return {}
        session, stage = self._context.session, self._context.stage
        scene = stage.scene()
        witness = stage.draft(scene)
        before = session.read([witness])
        # A well-formed one beside each.
        beside = [each for body in bodies.values() for each in (body, None)]
        answers = session.send_each([self._shot(scene, body) for body in beside])
        session.progressed("malformed bodies", len(bodies), len(bodies))
        found = [
            self._answer(scene, body) if answer and answer.status in LIMITED else answer.status if answer else None
            for body, answer in zip(beside, answers, strict=True)
        ]
        effects, _ = session.effects([witness], before)
        self._judge_well_formed(set(found[1::2]), effects)
        statuses = dict(zip(bodies, found[::2], strict=True))
        honest_after(self._context, scene, used=effects)
        return statuses

    def _judge_well_formed(self, statuses: set[int | None], effects: int) -> None:
        self.refusal = next(iter(statuses))
        if len(statuses) > 1:
            said = ", ".join(sorted(map(shown, statuses)))
            raise CannotTell(f"equal forgeries are answered differently ({said}): nothing can be told from a status")
        if effects and self._context.plan.is_success(self.refusal):
            raise CannotTell("forgeries are accepted, which is for signature-bypass to say: nothing is verified first")

    def _answer(self, scene: Scene, body: Body | None) -> int | None:
        """The status for a body (None: the well-formed one); a rate limiter is given time."""
        for wait_s in (*LIMITED_WAITS_S, None):
            status = answered(self._context, self._shot(scene, body))
            if status not in LIMITED:
                break
            if wait_s is None:
                raise CannotTell(f"forgeries are answered {status} however long one waits: a limiter hides the answer")
            self._context.session.wait(wait_s)
        return status

    def _shot(self, scene: Scene, body: Body | None) -> Shot:
        draft, at = self._context.stage.draft(scene), time.time()
        message = self._forger.message(self._context.plan.request, draft, at=at)
        if body is not None:
            message = replace(message, body=body(draft, at))
        signature = self._forger.signature(message, draft, at=at)
        return self._forger.as_it_stands(replace(message, headers=message.headers + signature), draft, at=at)


def _bodies(context: Context) -> dict[str, Body]:
    """Every malformed body that the plan's own gives, by name: each is made anew from the draft that it stands for."""
    composer = context.session.composer
    sample = context.stage.draft(context.stage.scene())

    def well_formed(draft: Draft, at: float) -> bytes:
        return composer.message(context.plan.request, draft, at=at).body

    def one(name: str, draft: Draft, at: float) -> bytes:
        return malformed(well_formed(draft, at))[name]

    body = well_formed(sample, time.time())
    found: dict[str, Body] = {name: _named(one, name) for name, other in malformed(body).items() if other != body}
    if not is_json(body) and context.plan.request.body.names:
        found["other_types"] = lambda draft, at: well_formed(_each_value(draft, _of_other_type), at)
        found["incomplete"] = lambda draft, at: well_formed(_each_value(draft, lambda _: ""), at)
    return found


def _named(make: Callable[[str, Draft, float], bytes], name: str) -> Body:
    return lambda draft, at: make(name, draft, at)


def _each_value(draft: Draft, change: Callable[[str], str]) -> Draft:
    return Draft({name: change(value) for name, value in draft.values.items()})


def _of_other_type(value: str) -> str:
    """A word for digits, and digits for anything else: all that a text without a grammar of ours has for types."""
    return "seven" if value.isdecimal() else "7"


def _key_id(context: Context) -> str | None:
    return context.session.composer.secret.key_id


def _violated(facts: dict[str, Json], different: Mapping[str, int | None], refusal: int | None) -> Conclusion:
    answers = ", ".join(f"{name} ({shown(status)})" for name, status in different.items())
    summary = (
        f"Under an equally wrong signature, a well-formed body is answered {shown(refusal)}, and other bodies "
        f"otherwise, each time: {answers}. They are parsed before the signature is verified."
    )
    fails = any(status is None or is_server_error(status) for status in different.values())
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(summary, facts),
        # A stranger who makes the service fail is as in signature-bypass; one who only reaches its parser is less.
        severity=Severity.MEDIUM if fails else Severity.LOW,
        remedy=_REMEDY,
    )


_REMEDY = (
    "Verify the signature over the raw body as it came, and parse only what has passed: until then a stranger reaches "
    "the parser, and is told what it thinks."
)

CHECK = Check(
    id="parse-before-verification",
    title="Is a malformed body with a bad signature parsed before it is rejected?",
    cwe=(696,),
    owasp="API2:2023 Broken Authentication",
    share=1,
    cost=Cost(requests=14, settles=2),
    missing=_missing,
    run=_run,
)
