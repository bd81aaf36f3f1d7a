"""From a plan's templates to signed bytes.

Rule: a draft fixes every variable but the instant. The same draft signed at the same instant gives the same bytes,
which is what "identical" means; signed at another instant it is "resigned".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tocsin.scan._errors import PlanError
from tocsin.scan._fresh import FreshValues
from tocsin.scan._plan import SINK_URL, Plan, RequestTemplate
from tocsin.signing import Header, Message, SchemeError, Secret, sign
from tocsin.wire import RequestError, request_bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A request whose variables are chosen, and which of the plan's senders signs it: 0 is [signing]'s."""

    values: Mapping[str, str]
    sender: int = 0

    def with_values(self, **changed: str) -> "Draft":
        """The same draft with some variables changed."""
        return replace(self, values={**self.values, **changed})


@dataclass(frozen=True, slots=True)
class Shot:
    """A signed request as bytes.

    Args:
        draft: what it comes from.
        at: the signed instant, Unix seconds.
        raw: what is sent; not in `repr`, for it holds a live signature.
        label: what it is, in words that name no secret.
        origin: where to, "" being base_url's.
    """

    draft: Draft
    at: float
    raw: bytes = field(repr=False)
    label: str
    origin: str = ""


class Composer:
    """Renders and signs the requests of one plan.

    Args:
        plan: whose templates are rendered.
        secret: that signs them.
        hosts: the Host header for each origin, "" being base_url's.
        others: the secrets of the plan's further senders.
    """

    def __init__(self, plan: Plan, secret: Secret, hosts: Mapping[str, str], others: Sequence[Secret] = ()) -> None:
        self.plan = plan
        self.secret = secret
        self._secrets = (secret, *others)
        self._hosts = hosts
        # Values that are the same in every request of the scan, and that no draft holds.
        self.always: Mapping[str, str] = {}
        self._fresh = FreshValues(plan.variables, recycle_lists=True)

    def with_secret(self, secret: Secret) -> "Composer":
        """The same requests under another secret: with one that nobody has, all of them are forgeries."""
        other = Composer(self.plan, secret, self._hosts)
        other.always = self.always
        return other

    def message(self, template: RequestTemplate, draft: Draft, *, at: float) -> Message:
        """The request without its signature.

        Args:
            template: of the request.
            draft: the values of its variables.
            at: the signed instant, Unix seconds.
        """
        values = {**draft.values, **self.always, **instant(at)}
        return Message(
            method=template.method,
            target=template.target.render(values),
            headers=tuple((name, value.render(values)) for name, value in template.headers),
            body=template.body.render(values).encode(),
            public_origin=template.origin or self.plan.base_url,
        )

    def shot(self, draft: Draft, *, at: float) -> Shot:
        """The plan's own request, signed as its sender would; a captured one as it is."""
        if self.plan.captured is not None:
            return self.as_it_stands(self.plan.captured, draft, at=at)
        message = self.message(self.plan.request, draft, at=at)
        return self.signed_by(self.signature(message, draft, at=at), draft, at=at)

    def signed_by(self, headers: tuple[Header, ...], draft: Draft, *, at: float) -> Shot:
        """The plan's own request under any signature whatever."""
        message = self.message(self.plan.request, draft, at=at)
        return self.as_it_stands(replace(message, headers=message.headers + headers), draft, at=at)

    def as_it_stands(self, message: Message, draft: Draft, *, at: float, origin: str = "") -> Shot:
        """Any message whatever, its signature (if any) among its headers, sent for a draft."""
        shown = (draft.values[name] for name in self.plan.identity if name in draft.values)
        label = " ".join((message.method, message.target, *shown))
        return Shot(draft, at, self._bytes(message, origin), label, origin)

    def plain(self, template: RequestTemplate, draft: Draft, *, at: float) -> bytes:
        """Any other request of the plan: a read, a set-up, a reset; signed where the plan says so."""
        if template.sign and self.plan.scheme.has_nonce and "nonce" not in template.names:
            # Under the operation's own nonce it would be refused as a replay, or make the operation one.
            draft = draft.with_values(**self._fresh.make({"nonce"}))
        message = self.message(template, draft, at=at)
        if template.sign:
            message = replace(message, headers=message.headers + self.signature(message, draft, at=at))
        return self._bytes(message, template.origin)

    def signature(self, message: Message, draft: Draft, *, at: float) -> tuple[Header, ...]:
        """The headers that sign a message, as the plan's sender would."""
        secret = self._secrets[draft.sender % len(self._secrets)]
        return sign(message, self.plan.scheme, secret, now=at, nonce=draft.values.get("nonce"))

    def _bytes(self, message: Message, origin: str) -> bytes:
        headers = (("Host", self._hosts[origin]), *message.headers)
        return request_bytes(message.method, message.target, headers, message.body)


def rehearse(plan: Plan) -> None:
    """Build and sign every request of a plan once, and send none.

    Raises:
        PlanError: one cannot be built or signed, whatever its fresh values are.
    """
    requests = list(plan.requests())
    hosts = {request.origin: "rehearsal" for _, request in requests} | {"": "rehearsal"}
    key_id = plan.signing.get("key_id")
    fresh = FreshValues(plan.variables, recycle_lists=True)
    draft = Draft(fresh.make(plan.variables) | dict.fromkeys(plan.extracted | {SINK_URL}, "0"))
    for where, request in requests:
        try:
            secret = Secret(bytes(32), key_id=None if key_id is None else str(key_id))
            Composer(plan, secret, hosts).plain(request, draft, at=0)
        except (RequestError, SchemeError) as error:
            raise PlanError(f"{where} {request}: {error}") from None


def instant(at: float) -> dict[str, str]:
    """The variables that spell an instant given in Unix seconds."""
    return {
        "timestamp": str(int(at)),
        "timestamp_ms": str(int(at * 1000)),
        "timestamp_iso": datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
