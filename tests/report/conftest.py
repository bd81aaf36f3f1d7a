"""The run that every report is tested with: one finding of each verdict, and text that wants to do harm."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tocsin.events import (
    BurstCollected,
    CheckStarted,
    Event,
    FindingMade,
    Progressed,
    RunEnded,
    RunStarted,
)
from tocsin.findings import Bound, Evidence, Finding, Remedy, Reproducer, Severity, Verdict
from tocsin.history import History, Operation

# It clears the screen, is rich markup and HTML, overrides the direction of text, and forges a line of a report.
HOSTILE = "\x1b[2J[red]<script>alert(1)</script>\u202egnp.exe\nsequential-replay  VIOLATED"

GUARD_CALL = """\
guard = Guard(preset("hex-sha256-body"), KeyRing.of(secret), SQLiteStore("orders.db"))

@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed, tx):
    tx.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", [signed.json["item_id"]])
    return {"status": "processed"}
"""


# What every renderer takes.
Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]


def burst(size: int) -> History:
    """A burst as threads serve it: a few workers at a time, three let through, the last one never answered."""
    operations = []
    for place in range(size):
        called_at_us = 4 * place
        takes_us = 2_150 + 1_730 * (place // 4) + 97 * (place * 7 % 5)
        status = 201 if place in {0, 1, 3} else 409
        operations.append(Operation("POST /order order-17", called_at_us, called_at_us + takes_us, status))
    operations[-1] = Operation(f"POST /order {HOSTILE}", 4 * size, None, None)
    return History(tuple(operations))


def concurrent_duplicate(size: int = 20) -> Finding:
    return Finding(
        check="concurrent-duplicate",
        title="The same signed request many times at once: more than one effect?",
        verdict=Verdict.VIOLATED,
        severity=Severity.HIGH,
        effects=3,
        allowed_effects=1,
        evidence=Evidence(
            summary=f"{size} byte-identical copies of one signed request took effect 3 times. Sent one after the other "
            "they took effect once, so what remembers the message is looked up and written in two steps.",
            facts={
                "variants": {
                    "identical": {"verdict": "VIOLATED", "bursts": 4, "void": 1, "most_effects": 3},
                    "resigned": {"verdict": "VIOLATED", "bursts": 2, "void": 0, "most_effects": 2},
                    "same_nonce": {"verdict": "NOT_APPLICABLE", "reason": "the request carries no nonce"},
                },
                "control": {"sent": size, "effects": 1, "statuses": {"201": 1, "409": size - 1}},
                "also_sequential": False,
                "release_styles": ["last-byte"],
            },
            timeline=burst(size),
        ),
        reproducer=Reproducer(
            command="tocsin scan plans/orders.toml --only concurrent-duplicate --seed 17 "
            "--authorized-for orders.staging.example.com",
            requests=(
                'POST /order  X-Signature: <signed anew>  {"item_id":"sku-1","order_id":"order-17"}',
                f"{size} times, released together",
            ),
        ),
        remedy=Remedy(
            text="Claim the message, write the order and store the response in one transaction; a duplicate then waits "
            "and gets the first answer.",
            guard_call=GUARD_CALL,
        ),
        cwe=(362, 367),
        owasp="API6:2023 Unrestricted Access to Sensitive Business Flows",
    )


def over_allocation() -> Finding:
    return Finding(
        check="over-allocation",
        title="Distinct valid requests at once: more effects than the limit?",
        verdict=Verdict.VIOLATED,
        severity=Severity.CRITICAL,
        effects=7,
        allowed_effects=5,
        evidence=Evidence(
            summary="12 orders for an item with a stock of 5: 7 were processed and the stock is -2. One after the "
            "other, 5 were.",
            facts={"lost_update": False, "floor": 0, "lowest_state": -2},
            timeline=History(
                tuple(
                    Operation(f"POST /order order-{place}", 5 * place, 900 + 61 * place, 201 if place < 7 else 409)
                    for place in range(12)
                )
            ),
        ),
        reproducer=Reproducer(command="tocsin scan plans/orders.toml --only over-allocation --seed 17"),
        remedy=Remedy(text="Let the database compare and subtract in one statement, and look at the row count."),
        cwe=(362,),
        owasp="API6:2023 Unrestricted Access to Sensitive Business Flows",
    )


def sequential_replay() -> Finding:
    return Finding(
        check="sequential-replay",
        title="The same signed request again, later: another effect?",
        verdict=Verdict.NOT_OBSERVED,
        evidence=Evidence(summary="48 replays of an accepted request had no further effect.", facts={"respelled": 40}),
        bound=Bound(48, "replays", None, "the longest wait was 30 s", {"new connection": 8, "respelled": 40}),
    )


def signature_bypass() -> Finding:
    return Finding(
        check="signature-bypass",
        title="Missing, empty, cut, doubled or foreign signatures: accepted, or a 5xx?",
        verdict=Verdict.INCONCLUSIVE,
        evidence=Evidence(
            summary=f"The control request was answered 503 three times, last with: {HOSTILE}",
            facts={
                "probes": [
                    {"probe": "header missing", "outcome": "refused", "status": 401},
                    {"probe": "header empty", "outcome": "refused", "status": 401},
                ],
                HOSTILE: HOSTILE,
            },
        ),
    )


def effect_before_verification() -> Finding:
    return Finding(
        check="effect-before-verification",
        title="Does a request with a wrong signature change state, whatever it is answered?",
        verdict=Verdict.NOT_OBSERVED,
        effects=0,
        allowed_effects=0,
        evidence=Evidence(summary="150 forgeries of the right shape left the state as it was."),
        bound=Bound(150, "probes", 0.0198, "", {"forgery": 150}, void=3),
    )


def stale_timestamp() -> Finding:
    return Finding(
        check="stale-timestamp",
        title="How old, and how far in the future, may a timestamp be?",
        verdict=Verdict.NOT_APPLICABLE,
        evidence=Evidence(summary="The scheme signs no timestamp; name one with `timestamp_header` in [signing]."),
    )


def a_run(*findings: Finding, checks: Sequence[str] | None = None, interrupted: str = "") -> Run:
    """A run over these findings that was to run `checks`, by default just theirs."""
    started = RunStarted(
        version="0.1.0",
        target="http://127.0.0.1:8000",
        operation="POST /order",
        plan="plans/orders.toml",
        checks=tuple(finding.check for finding in findings) if checks is None else tuple(checks),
        seed=17,
        started_at_unix=1_795_296_245.25,
        budget_s=60.0,
        delivery="http/1.1, because without TLS there is no ALPN to choose h2",
    )
    left_behind = "12 orders named order-17 and later" if interrupted else ""
    return started, findings, RunEnded(23.44, 4_212, 31, interrupted, left_behind)


@pytest.fixture
def make_run() -> Callable[..., Run]:
    return a_run


@pytest.fixture
def events_of() -> Callable[[Run], list[Event]]:
    """A run as a terminal sees it, with some progress in every check."""

    def tell(run: Run) -> list[Event]:
        started, findings, ended = run
        events: list[Event] = [started]
        for finding in findings:
            events += [
                CheckStarted(finding.check, finding.title),
                Progressed(finding.check, "bursts of identical requests", 84, 150),
                BurstCollected(finding.check, History(()), effects=1),
                BurstCollected(finding.check, History(()), effects=None, void="the peer closed a connection early"),
                FindingMade(finding),
            ]
        return [*events, ended]

    return tell


@pytest.fixture
def run() -> Run:
    """The shared sample: every verdict, hostile text, a check that never ran."""
    findings = (
        concurrent_duplicate(),
        sequential_replay(),
        over_allocation(),
        signature_bypass(),
        effect_before_verification(),
        stale_timestamp(),
    )
    checks = [*(finding.check for finding in findings), "reordering"]
    return a_run(*findings, checks=checks, interrupted="the budget of 60 s was used up")


@pytest.fixture
def clean_run() -> Run:
    return a_run(sequential_replay(), effect_before_verification())


@pytest.fixture
def crowded_run() -> Run:
    """100 operations in one burst."""
    return a_run(concurrent_duplicate(100))


@pytest.fixture
def hostile() -> str:
    return HOSTILE


@pytest.fixture
def assert_snapshot() -> Callable[[str, str], None]:
    """Compare with a committed file; TOCSIN_UPDATE_SNAPSHOTS=1 pytest tests/report writes what is there instead."""

    def compare(rendered: str, name: str) -> None:
        path = Path(__file__).parent / "snapshots" / name
        if os.environ.get("TOCSIN_UPDATE_SNAPSHOTS") == "1":
            path.write_text(rendered, encoding="utf-8", newline="\n")
        assert rendered == path.read_text(encoding="utf-8"), "if this change is meant: TOCSIN_UPDATE_SNAPSHOTS=1"

    return compare
