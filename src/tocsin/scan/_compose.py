"""From a plan's templates to signed bytes.

Rule: a draft fixes every variable but the instant. The same draft signed at the same instant gives the same bytes,
which is what "identical" means; signed at another instant it is "resigned".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tocsin.scan._plan import Plan, RequestTemplate
from tocsin.signing import Header, Message, Secret, sign
from tocsin.wire import request_bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A request whose variables are chosen."""

    values: Mapping[str, str]

    def with_values(self, **changed: str) -> "Draft":
        """The same draft with some variables changed."""
        return Draft({**self.values, **changed})


@dataclass(frozen=True, slots=True)
class Shot:
    """A signed request as bytes.

    Args:
        draft: what it comes from.
        at: the signed instant, Unix seconds.
        raw: what is sent; not in `repr`, for it holds a live signature.
        label: what it is, in words that name no secret.
    """

    draft: Draft
    at: float
    raw: bytes = field(repr=False)
    label: str


class Composer:
    """Renders and signs the requests of one plan.

    Args:
        plan: whose templates are rendered.
        secret: that signs them.
        hosts: the Host header for each origin, "" being base_url's.
    """

    def __init__(self, plan: Plan, secret: Secret, hosts: Mapping[str, str]) -> None:
        self.plan = plan
        self.secret = secret
        self._hosts = hosts

    def message(self, template: RequestTemplate, draft: Draft, *, at: float) -> Message:
        """The request without its signature.

        Args:
            template: of the request.
            draft: the values of its variables.
            at: the signed instant, Unix seconds.
        """
        values = {**draft.values, **instant(at)}
        return Message(
            method=template.method,
            target=template.target.render(values),
            headers=tuple((name, value.render(values)) for name, value in template.headers),
            body=template.body.render(values).encode(),
            public_origin=self.plan.base_url,
        )

    def shot(self, draft: Draft, *, at: float) -> Shot:
        """The plan's own request, signed as its sender would."""
        message = self.message(self.plan.request, draft, at=at)
        return self.signed_by(self._signature(message, draft, at=at), draft, at=at)

    def signed_by(self, headers: tuple[Header, ...], draft: Draft, *, at: float) -> Shot:
        """The plan's own request under any signature whatever."""
        message = self.message(self.plan.request, draft, at=at)
        raw = self._bytes(replace(message, headers=message.headers + headers), "")
        shown = (draft.values[name] for name in self.plan.identity if name in draft.values)
        return Shot(draft, at, raw, " ".join((message.method, message.target, *shown)))

    def plain(self, template: RequestTemplate, draft: Draft, *, at: float) -> bytes:
        """Any other request of the plan: a read, a set-up, a reset; signed where the plan says so."""
        message = self.message(template, draft, at=at)
        if template.sign:
            message = replace(message, headers=message.headers + self._signature(message, draft, at=at))
        return self._bytes(message, template.origin)

    def _signature(self, message: Message, draft: Draft, *, at: float) -> tuple[Header, ...]:
        return sign(message, self.plan.scheme, self.secret, now=at, nonce=draft.values.get("nonce"))

    def _bytes(self, message: Message, origin: str) -> bytes:
        headers = (("Host", self._hosts[origin]), *message.headers)
        return request_bytes(message.method, message.target, headers, message.body)


def instant(at: float) -> dict[str, str]:
    """The variables that spell an instant given in Unix seconds."""
    return {
        "timestamp": str(int(at)),
        "timestamp_ms": str(int(at * 1000)),
        "timestamp_iso": datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
