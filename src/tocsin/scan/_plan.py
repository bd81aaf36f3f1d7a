"""A plan: all that the scanner knows about one signed operation. PURE."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tocsin.scan._template import Template
from tocsin.signing import Scheme

# What fills the scheme's id_header where the plan does not.
DELIVERY_ID = "delivery_id"


@dataclass(frozen=True, slots=True)
class Variable:
    """A name in the plan's templates. `kind` is "value", or how a fresh one is made."""

    name: str
    kind: str
    text: str = ""
    values: tuple[str, ...] = ()
    start: int | None = None

    @property
    def fresh(self) -> bool:
        """Whether a distinct request gets a new one."""
        return self.kind != "value"


_NO_BODY = Template("")


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A request with variables in it. `origin` is set where the plan names another one than base_url's."""

    method: str
    target: Template
    headers: tuple[tuple[str, Template], ...] = ()
    body: Template = _NO_BODY
    sign: bool = False
    origin: str = ""

    @property
    def names(self) -> frozenset[str]:
        """All variables that its texts mention."""
        return self.target.names.union(self.body.names, *(value.names for _, value in self.headers))

    def __str__(self) -> str:
        return f"{self.method} {self.origin}{self.target.text}"


@dataclass(frozen=True, slots=True)
class Setup:
    """A request before each trial, and the variables taken from its answer (name -> JSON pointer)."""

    request: RequestTemplate
    extract: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """Where an effect shows: a number at a pointer, or the length of a list there."""

    name: str
    request: RequestTemplate
    pointer: str
    count: bool
    absent: int | None
    per_effect: Decimal
    settle_ms: int


@dataclass(frozen=True, slots=True)
class Also:
    """Another route that accepts the same key, and where its effects show; no state of its own: the plan's."""

    request: RequestTemplate
    state: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """No more than `effects` on one value of the `per` variables; the state never below `floor`."""

    effects: int | None
    per: tuple[str, ...]
    floor: int | None


@dataclass(frozen=True, slots=True)
class Budget:
    """What a scan may use at most."""

    requests: int
    effects: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that has been understood whole."""

    source: str
    base_url: str
    request: RequestTemplate
    success: tuple[str, ...]
    variables: Mapping[str, Variable]
    identity: tuple[str, ...]
    scheme: Scheme
    signing: Mapping[str, object] = field(repr=False)
    setup: tuple[Setup, ...]
    state: tuple[State, ...]
    limits: Limits | None
    reset: RequestTemplate | None
    budget: Budget
    notes: tuple[str, ...]
    also: tuple[Also, ...] = ()

    @property
    def extracted(self) -> frozenset[str]:
        """Variables that set-up requests fill."""
        return frozenset(name for setup in self.setup for name in setup.extract)

    @property
    def used(self) -> frozenset[str]:
        """Variables that the operation's own request mentions, the nonce of the signature included."""
        return self.request.names | ({"nonce"} if self.scheme.has_nonce else frozenset())

    @property
    def settle_s(self) -> float:
        """How long after an answer an effect may still arrive."""
        states = self.state + tuple(state for also in self.also for state in also.state)
        return max((state.settle_ms for state in states), default=0) / 1000

    def requests(self) -> Iterator[tuple[str, RequestTemplate]]:
        """Every request that the plan can cause, with the place that names it."""
        yield "[request]", self.request
        yield from (("[[setup]]", setup.request) for setup in self.setup)
        yield from (("[[state]]", state.request) for state in self.state)
        for also in self.also:
            yield "[[also]]", also.request
            yield from (("[[also]] state", state.request) for state in also.state)
        if self.reset is not None:
            yield "[reset]", self.reset

    def is_success(self, status: int | None) -> bool:
        """Whether a status is one of `success`."""
        return status is not None and any(
            str(status) == wanted or (wanted.endswith("xx") and str(status)[0] == wanted[0]) for wanted in self.success
        )
