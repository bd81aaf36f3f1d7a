"""Missing, empty, junk and other signatures: accepted, or a server error?"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._forgery import bypass, bypass_probes, respelling_names, respellings
from tocsin.scan._probes import each_apart, honest_after, is_server_error, refused_each, shown
from tocsin.scan._statuses import LIMITED
from tocsin.scan._trials import control

_ACCEPTED, _REFUSED, _SERVER_ERROR = "accepted", "refused", "server_error"


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of a probe: how it was answered ("none" without an answer), and the word for it."""

    status: str
    word: str


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    probes = _probed(context)
    malleable = _malleable(context)
    by_word = {word: [name for name, result in probes.items() if result.word == word] for word in _WORDS}
    facts: dict[str, Json] = {
        "control": accepted.facts(),
        "probes": {name: result.word for name, result in probes.items()},
        "statuses": {name: result.status for name, result in probes.items()},
        "malleable": malleable,
    }
    if by_word[_ACCEPTED]:
        summary = f"Accepted without a valid signature: {', '.join(by_word[_ACCEPTED])}."
        accepted_without = len(by_word[_ACCEPTED])
        return Conclusion(
            Verdict.VIOLATED,
            Evidence(summary, facts),
            severity=Severity.CRITICAL,
            effects=accepted_without,
            allowed_effects=0,
            remedy=_REMEDY,
        )
    if by_word[_SERVER_ERROR]:
        failures = ", ".join(f"{name} ({probes[name].status})" for name in by_word[_SERVER_ERROR])
        summary = f"A stranger without a key causes a server error, each time: {failures}."
        evidence = Evidence(summary, facts)
        return Conclusion(Verdict.VIOLATED, evidence, severity=Severity.MEDIUM, remedy=_ERROR_REMEDY)
    bound = Bound(len(probes), "probes")
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(f"{bound} accepted", facts), allowed_effects=0, bound=bound)


_WORDS = (_ACCEPTED, _REFUSED, _SERVER_ERROR)


def _probed(context: Context) -> dict[str, _Result]:
    """All probes on one scene, with one reading; told apart one by one only if the state moved."""
    composer = context.session.composer
    names = bypass_probes(composer)
    scene = context.stage.scene()
    drafts = {name: context.stage.draft(scene) for name in names}
    before = context.session.read(list(drafts.values()))
    statuses = refused_each(context, {name: _bypassing(context, name, draft) for name, draft in drafts.items()})
    effects, _ = context.session.effects(list(drafts.values()), before)
    limited = [name for name, status in statuses.items() if status in LIMITED]
    if limited:
        raise CannotTell(f"a rate limiter turned {len(limited)} of {len(names)} probes away")
    honest_after(context, scene, used=effects)
    return {name: _judged(context, name, status, moved=effects > 0) for name, status in statuses.items()}


def _judged(context: Context, name: str, status: int | None, *, moved: bool) -> _Result:
    """A server error counts if it comes again; an acceptance needs its own effect.

    Once the state has moved, every probe is asked again alone: what was refused then, was perhaps for want of stock.
    """
    failed = is_server_error(status)
    if not moved and not failed:
        return _Result(shown(status), _REFUSED)
    again = each_apart(context, {name: partial(_bypassing, context, name)})[name]
    if again.accepted:
        return _Result(again.answer, _ACCEPTED)
    return _Result(shown(status), _SERVER_ERROR if failed and is_server_error(again.status) else _REFUSED)


def _malleable(context: Context) -> Mapping[str, str]:
    """Other spellings of a valid signature, each on a message of its own: informational."""
    composer = context.session.composer
    makes = {name: partial(_respelled, context, name) for name in respelling_names(composer.plan.scheme)}
    return {name: probed.word for name, probed in each_apart(context, makes).items()}


def _respelled(context: Context, name: str, draft: Draft) -> Shot | None:
    return dict(respellings(context.session.composer, context.session.shot(draft))).get(name)


def _bypassing(context: Context, name: str, draft: Draft) -> Shot:
    return bypass(name, context.session.composer, draft, at=time.time())


_REMEDY = "Refuse whatever has no valid signature over the raw body, in constant time and before anything else happens."
_ERROR_REMEDY = (
    "Every malformed signature is a refusal, not an exception: compare bytes, for hmac.compare_digest raises TypeError "
    "for text that is not ASCII."
)

CHECK = Check(
    id="signature-bypass",
    title="Missing, empty, junk and other signatures: accepted, or a server error?",
    cwe=(347,),
    owasp="API2:2023 Broken Authentication",
    share=1,
    cost=Cost(requests=20, settles=4),
    missing=needs_state,
    run=_run,
)
