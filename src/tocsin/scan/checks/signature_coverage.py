"""Which parts of a request can change under a valid signature?"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._altered import altered, for_route, restated, to_route, unchanged, with_header
from tocsin.scan._bodies import is_json, respelled
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import Also
from tocsin.scan._probes import Make, Probed, alone, together
from tocsin.scan._trials import control
from tocsin.signing import Message, Scheme

_PARTS = ("raw_body", "method", "path", "query", "timestamp", "nonce", "id", "content_type")
_COVERED, _NOT_COVERED, _ABSENT, _NOT_APPLICABLE = "covered", "not covered", "absent", "not applicable"
# Within every tolerance, and more than the resolution of a timestamp in seconds.
_NUDGE_S = -2.0
# Outside every tolerance; see stale-timestamp.
_STALE_S = -3.0 * 86_400


@dataclass(frozen=True, slots=True)
class _Hole:
    """A part that is not covered, and why that matters here."""

    part: str
    why: str
    severity: Severity


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    sample = _sample(context)
    probed = together(context, dict(_probes(context, sample)))
    parts = {part: _word(part, probed, sample) for part in _PARTS}
    used = {part: _uses(context, part) for part in ("timestamp", "nonce", "id") if parts[part] == _NOT_COVERED}
    routes, missing = _routes(context)
    for also in context.plan.also:
        if routes.get(str(also.request)) == "accepted":
            parts |= dict.fromkeys(_differing(context, also), _NOT_COVERED)
    facts: dict[str, Json] = {
        "control": accepted.facts(),
        "parts": parts,
        "probes": {name: result.word for name, result in probed.items()},
        "statuses": {name: result.answer for name, result in probed.items()},
        "demonstrably_used": used,
        "other_routes": routes,
    }
    holes = [*_holes(parts, used), *_route_holes(context, routes)]
    if holes:
        return _violated(context, holes, facts)
    if missing:
        raise CannotTell(missing)
    bound = Bound(len(probed) + len(routes), "probes", detail=_informational(parts))
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)


def _probes(context: Context, sample: Message) -> Iterator[tuple[str, Make]]:
    """Each part that the plan's request has, by name; the forms of the body by "raw_body" and theirs."""
    composer, scheme = context.session.composer, context.plan.scheme
    if is_json(sample.body):
        for form in respelled(sample.body):
            yield f"raw_body {form}", partial(altered, composer, sent=partial(_respelled, form))
    yield "method", partial(altered, composer, signed=_other_method)
    yield "path", partial(altered, composer, signed=_other_path)
    if sample.query:
        yield "query", partial(altered, composer, signed=_other_query)
    if scheme.has_timestamp:
        yield "timestamp", partial(restated, composer, shift_s=_NUDGE_S)
    if scheme.has_nonce:
        yield "nonce", lambda draft: restated(composer, draft, nonce=_spare(context).values["nonce"])
    if len(sample.values(_id_header(scheme))) == 1:
        yield "id", lambda draft: _with_id_of(context, _spare(context), draft, signed_too=False)
    if sample.values("Content-Type"):
        yield "content_type", partial(altered, composer, signed=_other_type)


def _word(part: str, probed: Mapping[str, Probed], sample: Message) -> str:
    found = [result.accepted for name, result in probed.items() if name.split()[0] == part]
    if not found:
        return _NOT_APPLICABLE if part == "raw_body" and sample.body else _ABSENT
    return _NOT_COVERED if any(found) else _COVERED


def _uses(context: Context, part: str) -> bool:
    """Whether the service refuses a stale timestamp, or a nonce or id that another operation has had."""
    composer = context.session.composer
    if part == "timestamp":
        return not alone(context, partial(restated, composer, shift_s=_STALE_S)).accepted
    drafts: list[Draft] = []

    def first(draft: Draft) -> Shot:
        drafts.append(draft)
        return context.session.shot(draft)

    def second(draft: Draft) -> Shot:
        if part == "nonce":
            return context.session.shot(draft.with_values(nonce=drafts[-1].values["nonce"]))
        return _with_id_of(context, drafts[-1], draft, signed_too=True)

    if not alone(context, first).accepted:
        raise CannotTell(_UNSURE)
    return not alone(context, second).accepted


def _routes(context: Context) -> tuple[dict[str, str], str]:
    """For each [[also]] route, whether it accepts a message signed for the operation; and what kept from telling."""
    found: dict[str, str] = {}
    missing = ""
    for also in context.plan.also:
        try:
            found[str(also.request)] = _crossed(context, also).word
        except CannotTell as error:
            missing = f"[[also]] {also.request}: {error}"
    return found, missing


def _crossed(context: Context, also: Also) -> Probed:
    """What the other route makes of a message signed for the operation; an honest one of its own is accepted there."""
    composer = context.session.composer
    honest = partial(for_route, composer, also.request)
    if not alone(context, honest, states=also.state, honest=honest).accepted:
        raise CannotTell(_UNSURE)
    return alone(context, partial(to_route, composer, also.request), states=also.state, honest=honest)


def _differing(context: Context, also: Also) -> list[str]:
    """Which parts tell the other route from the operation's own."""
    method = ["method"] if also.request.method != context.plan.request.method else []
    same_path = (also.request.target, also.request.origin) == (context.plan.request.target, "")
    return method + ([] if same_path else ["path"])


def _holes(parts: Mapping[str, str], used: Mapping[str, bool]) -> Iterator[_Hole]:
    """What is not covered and ought to be."""
    if parts["raw_body"] == _NOT_COVERED:
        yield _Hole("raw_body", "the body is accepted in other bytes than were signed", Severity.MEDIUM)
    if parts["query"] == _NOT_COVERED:
        yield _Hole("query", "the query can be changed", Severity.MEDIUM)
    for part, is_used in used.items():
        if is_used:
            # Whoever has captured one message can make it new again, which is what the part was to prevent.
            why = f"the service goes by the {part}, and it can be changed under a valid signature"
            yield _Hole(part, why, Severity.HIGH)


def _route_holes(context: Context, routes: Mapping[str, str]) -> Iterator[_Hole]:
    for also in context.plan.also:
        if routes.get(str(also.request)) == "accepted":
            parts = " and ".join(_differing(context, also))
            yield _Hole(
                parts, f"a message signed for {context.plan.request} is accepted by {also.request}", Severity.HIGH
            )


def _violated(context: Context, holes: list[_Hole], facts: dict[str, Json]) -> Conclusion:
    context.session.idle([context.stage.draft(context.stage.scene())])
    shown = "; ".join(f"{hole.part}: {hole.why}" for hole in holes)
    severities = list(Severity)
    scheme = context.plan.scheme
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(f"Not covered by the signature: {shown}.", facts),
        severity=min((hole.severity for hole in holes), key=severities.index),
        remedy=_REMEDY,
        # The guard verifies by the same scheme: it helps where the scheme says more than the service looks at.
        guard_helps=all(
            scheme.covers(_COMPONENTS.get(part, part)) for hole in holes for part in hole.part.split(" and ")
        ),
    )


def _informational(parts: Mapping[str, str]) -> str:
    """What the user may want to know all the same, as the end of a sentence."""
    said = []
    for word in (_NOT_COVERED, _ABSENT):
        found = [part for part, known in parts.items() if known == word]
        if found:
            said.append(f"{word}: {', '.join(found)}")
    return "; ".join(said)


def _sample(context: Context) -> Message:
    """The plan's request as it looks."""
    draft = context.stage.draft(context.stage.scene())
    return context.session.composer.message(context.plan.request, draft, at=time.time())


def _spare(context: Context) -> Draft:
    """Values that no request has had."""
    return context.stage.draft(context.stage.scene())


def _id_header(scheme: Scheme) -> str:
    """The header that holds the id of a message, "" if the scheme has none."""
    return scheme.id_header or (scheme.message_id.header if scheme.message_id else None) or ""


def _with_id_of(context: Context, other: Draft, draft: Draft, *, signed_too: bool) -> Shot:
    """A draft's request with the id header of another one's."""
    composer, header = context.session.composer, _id_header(context.plan.scheme)
    (value,) = composer.message(context.plan.request, other, at=time.time()).values(header)
    change = partial(with_header, name=header, value=value)
    return altered(composer, draft, signed=change if signed_too else unchanged, sent=change)


def _respelled(form: str, message: Message) -> Message:
    return replace(message, body=respelled(message.body)[form])


def _other_method(message: Message) -> Message:
    return replace(message, method="PUT" if message.method != "PUT" else "POST")


def _other_path(message: Message) -> Message:
    return replace(message, target=f"{message.path}/other?{message.query}".removesuffix("?"))


def _other_query(message: Message) -> Message:
    return replace(message, target=f"{message.target}&other=1")


def _other_type(message: Message) -> Message:
    return with_header(message, "Content-Type", "application/octet-stream")


_UNSURE = "one valid request was refused, and the next one accepted: nothing is sure"
_COMPONENTS = {"raw_body": "body"}
_REMEDY = (
    "Sign all that decides what a message does and whether it is new: raw body, method, path, query, timestamp, and "
    "the id or nonce that is remembered; verify over the octets as they came, and remember nothing that is not signed."
)

CHECK = Check(
    id="signature-coverage",
    title="Which parts of a request can change under a valid signature?",
    cwe=(345, 347),
    owasp="API2:2023 Broken Authentication",
    share=2,
    cost=Cost(requests=50, settles=4),
    missing=needs_state,
    run=_run,
)
