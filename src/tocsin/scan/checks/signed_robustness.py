"""Does a well-signed message with an odd id, or none, cause a server error, or take effect again and again?"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._altered import altered
from tocsin.scan._bodies import (
    Path,
    differing,
    document,
    is_json,
    no_objects,
    pointer,
    rendered,
    value_at,
    with_value,
    without,
)
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import Plan
from tocsin.scan._probes import answered, honest_after, is_server_error, shown
from tocsin.scan._statuses import LIMITED
from tocsin.scan._trials import ROOM, control, room
from tocsin.signing import Message, SchemeError
from tocsin.wire import RequestError

# Longer than any id, and than the longest text that common indexes take; more digits than any integer column has.
_HUGE_CHARACTERS, _HUGE_DIGITS = 65_536, 400
# How services spell an id that is not there, once they have made it a text: JSON, Python, JavaScript, nothing at all.
_NO_ID_TEXTS = ("null", "None", "undefined", "")
# Fewer than for other probes: one odd message in twenty that is told to wait is no reason to wait for all of them.
_LIMITED_WAITS_S = (0.4, 0.8)
_REPLAYED = ("null", "missing", "empty")
# A server error counts if it comes three times of three.
_TIMES_MORE = 2

Change = Callable[[Draft, bytes], bytes]


@dataclass(frozen=True, slots=True)
class _Replayed:
    """How a message was answered, and the effects that it had when it was sent, and when it was sent again."""

    status: int | None
    effects: tuple[int, int]

    @property
    def is_applied_again(self) -> bool:
        return all(self.effects)


def _missing(plan: Plan) -> str:
    body = plan.request.body
    if not is_json(body.render(dict.fromkeys(body.names, "0")).encode()):
        return "the request's body is not JSON: there is no field in it to give an odd value"
    return needs_state(plan)


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    no_room = _no_room(context)
    odd = dict(_odd_ids(context))
    bodies = {name: change for name, (_, change) in odd.items()} | _no_objects(context)
    replays = _replayed_each(context, {name: change for name, (form, change) in odd.items() if form in _REPLAYED})
    statuses = {name: found.status for name, found in replays.items()}
    rest = {name: change for name, change in bodies.items() if name not in replays}
    statuses |= _answers(context, rest)
    failing = [name for name, status in statuses.items() if is_server_error(status)]
    failing, trouble = _each_time(context, bodies, failing)
    honest = _replayed(context, _unchanged)
    facts: dict[str, Json] = {
        "control": accepted.facts(),
        "statuses": {name: shown(status) for name, status in statuses.items()},
        "effects_of_both_sendings": {name: list(found.effects) for name, found in replays.items()},
        "effects_of_an_honest_one": list(honest.effects),
        "server_errors": failing,
    }
    again_applied = {name: found for name, found in replays.items() if found.is_applied_again}
    if again_applied or failing:
        facts["honest_applied_again"] = honest.is_applied_again
        return _violated(context, again_applied, {name: statuses[name] for name in failing}, facts)
    if no_room or trouble:
        raise CannotTell(no_room or trouble)
    looked_at = [name for name, status in statuses.items() if status not in LIMITED]
    if not looked_at:
        raise CannotTell("every odd message was answered 429 or 503: nothing can be told of them")
    detail = f"{len(replays.keys() & set(looked_at))} of them were replayed"
    bound = Bound(len(looked_at), "messages", detail=detail)
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), allowed_effects=1, bound=bound)


def _no_room(context: Context) -> str:
    """Why a second effect could not show on one resource, or "". A server error shows all the same."""
    try:
        room(context.session, context.stage)
    except CannotTell as error:
        return str(error)
    return ""


def _odd_ids(context: Context) -> Iterator[tuple[str, tuple[str, Change]]]:
    """Every identity's field with every odd value: its name, the kind of oddness, and how it gets into a body."""
    for path in _identity_paths(context):
        for form in ("null", "missing", "empty", "list", "other type", "huge"):
            yield f"{pointer(path) or 'the body'} {form}", (form, partial(_with_odd, path, form))


def _identity_paths(context: Context) -> Sequence[Path]:
    """Where the identity's variables stand in the JSON body: what changes when they alone do."""
    scene = context.stage.scene()
    draft, other = context.stage.draft(scene), context.stage.draft(scene)
    renewed = draft.with_values(**{name: other.values[name] for name in context.plan.identity})
    one, another = (document(_body(context, each)) for each in (draft, renewed))
    return list(differing(one, another))


def _body(context: Context, draft: Draft) -> bytes:
    """The honest body; the instant in it is the same for all, so that it tells no two bodies apart."""
    return context.session.composer.message(context.plan.request, draft, at=0).body


def _with_odd(path: Path, form: str, draft: Draft, body: bytes) -> bytes:
    found = document(body)
    if form == "missing" and path:
        return rendered(without(found, path), like=body)
    return rendered(with_value(found, path, _odd(form, value_at(found, path), draft)), like=body)


def _odd(form: str, value: Json, draft: Draft) -> Json:
    """A value that no sender means, in place of an honest one."""
    is_text = isinstance(value, str)
    # A number that no other draft has: one that was sent before might be refused for that.
    number = int.from_bytes(hashlib.sha256(repr(sorted(draft.values.items())).encode()).digest()[:6])
    odd: Mapping[str, Json] = {
        "null": None,
        "missing": None,
        "empty": "",
        "list": [value],
        "other type": number if is_text else str(number),
        "huge": str(number) + "x" * _HUGE_CHARACTERS if is_text else 10**_HUGE_DIGITS + number,
    }
    return odd[form]


def _no_objects(context: Context) -> dict[str, Change]:
    draft = context.stage.draft(context.stage.scene())
    body = _body(context, draft)
    if not isinstance(document(body), Mapping):
        return {}

    def change(name: str, _: Draft, honest: bytes) -> bytes:
        return no_objects(honest)[name]

    changes = {f"body: {name}": partial(change, name) for name in no_objects(body)}
    return {name: change for name, change in changes.items() if _is_signable(context, draft, change)}


def _is_signable(context: Context, draft: Draft, change: Change) -> bool:
    """Some schemes sign fields of a body, or take none that could be the end of the URL before it."""
    try:
        _shot(context, draft, change)
    except SchemeError:
        return False
    return True


def _answers(context: Context, changes: Mapping[str, Change]) -> dict[str, int | None]:
    """The status for each body, every one on a scene of its own; all share one settling, and one reading."""
    if not changes:
        return {}
    session, stage = context.session, context.stage
    drafts = {name: stage.draft(stage.scene()) for name in changes}
    before = session.read(list(drafts.values()))
    statuses = {}
    for place, (name, draft) in enumerate(drafts.items(), start=1):
        statuses[name] = _answer(context, _shot(context, draft, changes[name]))
        session.progressed("odd messages", place, len(changes))
    session.effects(list(drafts.values()), before)
    honest_after(context, stage.scene())
    return statuses


def _each_time(context: Context, bodies: Mapping[str, Change], failing: list[str]) -> tuple[list[str], str]:
    """Which messages get a server error three times of three; or why none counts: honest ones beside them get one."""
    for _ in range(_TIMES_MORE):
        pairs = [((name, bodies[name]), (f"beside {name}", _unchanged)) for name in failing]
        statuses = _answers(context, dict(chain.from_iterable(pairs)))
        if any(is_server_error(statuses[beside]) for _, (beside, _) in pairs):
            return [], "beside odd messages that got a server error, an honest one got one too"
        failing = [name for name in failing if is_server_error(statuses[name])]
    return failing, ""


def _unchanged(_: Draft, body: bytes) -> bytes:
    return body


def _replayed_each(context: Context, changes: Mapping[str, Change]) -> dict[str, _Replayed]:
    """Messages with other bodies, each sent twice. Where no two can show in one number, all share two settlings."""
    session, stage, plan = context.session, context.stage, context.plan
    if not stage.is_apart or any(state.names & set(plan.identity) for state in plan.state):
        return {name: _replayed(context, change) for name, change in changes.items()}
    drafts = {name: stage.draft(stage.scene(need=ROOM)) for name in changes}
    shots = {name: _shot(context, draft, changes[name]) for name, draft in drafts.items()}
    each = [[draft] for draft in drafts.values()]
    before = session.read_each(each)
    statuses = {name: _answer(context, shot) for name, shot in shots.items()}
    first = session.effects_each(each, before)
    for shot in shots.values():
        _answer(context, shot)
    second = session.effects_each(each, [since for _, since in first])
    both = zip(statuses.items(), first, second, strict=True)
    return {name: _Replayed(status, (one, other)) for (name, status), (one, _), (other, _) in both}


def _replayed(context: Context, change: Change) -> _Replayed:
    """A message with another body, sent twice: the same bytes."""
    session, draft = context.session, context.stage.draft(context.stage.scene(need=ROOM))
    shot = _shot(context, draft, change)
    readers = _readers(context, draft)
    before = session.read(readers)
    status = _answer(context, shot)
    first, between = session.effects(readers, before)
    _answer(context, shot)
    second, _ = session.effects(readers, between)
    return _Replayed(status, (first, second))


def _answer(context: Context, shot: Shot) -> int | None:
    """The status for a message, sent again for a while where a limiter or a busy service does not look at it."""
    for wait_s in _LIMITED_WAITS_S:
        status = answered(context, shot)
        if status not in LIMITED:
            return status
        context.session.wait(wait_s)
    return answered(context, shot)


def _shot(context: Context, draft: Draft, change: Change) -> Shot:
    def edited(message: Message) -> Message:
        return replace(message, body=change(draft, message.body))

    return altered(context.session.composer, draft, signed=edited, sent=edited)


def _readers(context: Context, draft: Draft) -> list[Draft]:
    """Under which ids an effect may show that was caused without an honest one: those of them that can be read."""
    names = set(context.plan.identity)
    if not any(state.names & names for state in context.plan.state):
        return [draft]
    readers = [draft]
    for text in _NO_ID_TEXTS:
        other = draft.with_values(**dict.fromkeys(names, text))
        with suppress(CannotTell, RequestError):
            context.session.read([other])
            readers.append(other)
    return readers


def _violated(
    context: Context, again: Mapping[str, _Replayed], failing: Mapping[str, int | None], facts: dict[str, Json]
) -> Conclusion:
    said = []
    if again:
        context.session.idle([context.stage.draft(context.stage.scene())])
        said.append(f"Applied again when the same signed message was sent again: {', '.join(again)}.")
        if facts["honest_applied_again"]:
            said.append("So is an honest message: nothing remembers any, see sequential-replay.")
    if failing:
        answers = ", ".join(f"{name} ({shown(status)})" for name, status in failing.items())
        said.append(f"Answered with a server error, each time, although well signed: {answers}.")
    most = max((sum(found.effects) for found in again.values()), default=None)
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(" ".join(said), facts),
        # Taking effect again is as bad as any replay; a server error takes a key holder, and changes nothing.
        severity=Severity.HIGH if again else Severity.LOW,
        effects=most,
        allowed_effects=1 if again else None,
        remedy=_REMEDY if again else _ERROR_REMEDY,
    )


_REMEDY = (
    "Refuse with 400 whatever has no usable id, before it is looked up: a unique column admits any number of NULLs, "
    "and what has no id is never a duplicate."
)
_ERROR_REMEDY = (
    "Answer 400 to a body that is no object or has no usable id: a sender takes a server error for a reason to send "
    "the same message again, and again."
)

CHECK = Check(
    id="signed-robustness",
    title="Does a well-signed message with an odd id cause a server error, or take effect again?",
    cwe=(20, 755),
    owasp="API8:2023 Security Misconfiguration",
    share=2,
    cost=Cost(requests=55, settles=6),
    missing=_missing,
    run=_run,
)
