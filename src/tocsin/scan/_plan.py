"""A plan: all that the scanner knows about one signed operation. PURE."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from tocsin.scan._template import Template
from tocsin.signing import Message, Scheme
from tocsin.wire import Protocol

# What fills the scheme's id_header where the plan does not.
DELIVERY_ID = "delivery_id"
# Where the plan's sink listens; always there if it has one.
SINK_URL = "sink_url"


@dataclass(frozen=True, slots=True)
class Variable:
    """A name in the plan's templates. `kind` is "value", or how a fresh one is made."""

    name: str
    kind: str
    text: str = ""
    values: tuple[str, ...] = ()
    start: int | None = None
    # Whether a counter starts at one more than [sequence] applied says.
    after_applied: bool = False

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
class Query:
    """A user's SQL: where it runs, and a statement whose variables are bound, never inserted."""

    database: str
    statement: Template

    @property
    def names(self) -> frozenset[str]:
        """All variables in it."""
        return self.statement.names

    def __str__(self) -> str:
        return f"sql {self.statement.text}"


@dataclass(frozen=True, slots=True)
class Command:
    """A user's command, a word at a time: no shell reads it."""

    words: tuple[Template, ...]

    @property
    def names(self) -> frozenset[str]:
        """All variables in it."""
        return frozenset[str]().union(*(word.names for word in self.words))

    def __str__(self) -> str:
        return f"command {' '.join(word.text for word in self.words)}"


@dataclass(frozen=True, slots=True)
class Lines:
    """A file; an effect is a line that contains a text. Without one, the file is a document or a number."""

    path: str
    containing: Template | None

    @property
    def names(self) -> frozenset[str]:
        """All variables in it."""
        return self.containing.names if self.containing else frozenset()

    def __str__(self) -> str:
        return f"file {self.path}"


@dataclass(frozen=True, slots=True)
class Sink:
    """A listener that the scanner runs; an effect is a delivery with a text at the state's pointer.

    Args:
        address: a loopback "host:port"; port 0 lets the kernel choose, and {{sink_url}} says what it chose.
        equals: the text that makes a delivery one of the trial's.
    """

    address: str
    equals: Template

    @property
    def names(self) -> frozenset[str]:
        """All variables in it."""
        return self.equals.names

    def __str__(self) -> str:
        return f"webhooks to {self.address}"


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers themselves: an effect is one that looks as that to a new request, and not as that to a duplicate."""

    @property
    def names(self) -> frozenset[str]:
        """None: answers are counted, whoever they are for."""
        return frozenset()

    def __str__(self) -> str:
        return "the answers"


Source: TypeAlias = RequestTemplate | Query | Command | Lines | Sink | Answers


@dataclass(frozen=True, slots=True)
class State:
    """Where an effect shows: a number at a pointer, or the length of a list there."""

    name: str
    source: Source
    pointer: str
    count: bool
    absent: int | None
    per_effect: Decimal
    settle_ms: int

    @property
    def names(self) -> frozenset[str]:
        """The variables that say which state it is."""
        return self.source.names

    @property
    def request(self) -> RequestTemplate | None:
        """What is asked of the service for it, if it is read there."""
        return self.source if isinstance(self.source, RequestTemplate) else None


@dataclass(frozen=True, slots=True)
class Invariant:
    """What every reader must see at every moment: numbers at pointers, and their sum."""

    request: RequestTemplate
    sum_of: tuple[str, ...]
    equals: Decimal


@dataclass(frozen=True, slots=True)
class SequenceRule:
    """Which variable orders messages, and where the number of the applied one is read."""

    variable: str
    applied: State


@dataclass(frozen=True, slots=True)
class Mix:
    """Another signed request to race with the operation, released `offset_us` after the gate."""

    request: RequestTemplate
    offset_us: int


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
class Connection:
    """How the service is spoken to.

    Args:
        protocol: "auto" for what the server chooses.
        ca_file: a PEM file of authorities, as the plan names it; "" for the system's.
        insecure: believe every certificate.
    """

    protocol: Protocol = "auto"
    ca_file: str = ""
    insecure: bool = False


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
    invariants: tuple[Invariant, ...] = ()
    sequence: SequenceRule | None = None
    mix: tuple[Mix, ...] = ()
    # The [signing] table of each further sender.
    actors: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    # A request that somebody else has signed, and that is sent as it is; its signature may be a live one.
    captured: Message | None = field(default=None, repr=False)
    captured_file: str = ""
    nodes: tuple[str, ...] = ()
    # Sent for every scene at the end: what [[setup]] has made is undone.
    teardown: tuple[RequestTemplate, ...] = ()
    connection: Connection = Connection()

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
        return max((state.settle_ms for state in self.all_states()), default=0) / 1000

    @property
    def drawn(self) -> frozenset[str]:
        """Variables that a request of a trial and the readings around it mention."""
        return self.used.union(*(state.names for state in self.states()), *(mixed.request.names for mixed in self.mix))

    def states(self) -> Iterator[State]:
        """Where the operation's effects show, and where the applied number of a sequence is read."""
        yield from self.state
        if self.sequence is not None:
            yield self.sequence.applied

    def all_states(self) -> Iterator[State]:
        """The same, and those of other routes."""
        yield from self.states()
        yield from (state for also in self.also for state in also.state)

    def requests(self) -> Iterator[tuple[str, RequestTemplate]]:
        """Every request that the plan can cause, with the place that names it."""
        yield "[request]", self.request
        yield from (("[[setup]]", setup.request) for setup in self.setup)
        yield from (("[[state]]", state.request) for state in self.state if state.request)
        for also in self.also:
            yield "[[also]]", also.request
            yield from (("[[also]] state", state.request) for state in also.state if state.request)
        yield from (("[[invariant]]", invariant.request) for invariant in self.invariants)
        if self.sequence is not None and self.sequence.applied.request:
            yield "[sequence] applied", self.sequence.applied.request
        yield from (("[[mix]]", mixed.request) for mixed in self.mix)
        yield from (("[[teardown]]", request) for request in self.teardown)
        if self.reset is not None:
            yield "[reset]", self.reset

    def is_success(self, status: int | None) -> bool:
        """Whether a status is one of `success`."""
        return status is not None and any(
            str(status) == wanted or (wanted.endswith("xx") and str(status)[0] == wanted[0]) for wanted in self.success
        )
