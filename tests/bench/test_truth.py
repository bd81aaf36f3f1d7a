"""The benches that say how far a scan can be trusted: what they count, and that they go on where they stopped."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import detection, truth
from bench._records import Record, Records
from lab._launch import launch
from tocsin.events import BurstCollected, CheckStarted, Event, FindingMade
from tocsin.findings import Evidence, Finding, Severity, Verdict
from tocsin.history import History


def record(service: str, kind: str, *wrong: str, **more: Any) -> Record:
    return {"service": service, "kind": kind, "number": 1, "load": 2.0, "seconds": 7.5, "wrong": list(wrong)} | more


LATE = ("a: INCONCLUSIVE, expected NOT_OBSERVED", "  a said: the budget of 6.8 s is used up")
FALSE = ("a: VIOLATED high, expected NOT_OBSERVED", "  a said: 2 effects")


def test_records_are_found_again_by_the_next_run_and_forgotten_where_that_is_asked(tmp_path: Path) -> None:
    records = Records(tmp_path / "build" / "scans.jsonl", fresh=False)
    records.add(record("flask", "full"))

    again = Records(tmp_path / "build" / "scans.jsonl", fresh=False)
    assert again.has(service="flask", kind="full", number=1)
    assert not again.has(service="flask", kind="quick", number=1)
    assert list(Records(tmp_path / "build" / "scans.jsonl", fresh=True)) == []


@pytest.mark.parametrize(
    ("wrong", "late"),
    [
        (LATE, True),
        ((*LATE, "it took 10.4 s: wanted at most 10 s"), True),
        (("it took 10.4 s: wanted at most 10 s",), True),
        (FALSE, False),
        ((*LATE, *FALSE), False),
        (("a: INCONCLUSIVE, expected VIOLATED high", "  a said: somebody else writes"), False),
        (("a: NOT_OBSERVED, expected VIOLATED high", "  a said: 0 of 3; its share of the time ended after 3"), False),
        (("the scan of flask ended with status 2 and no report",), False),
    ],
)
def test_what_there_was_no_time_for_is_told_from_what_is_false(wrong: tuple[str, ...], late: bool) -> None:  # noqa: FBT001
    assert truth.only_late(record("flask", "quick", *wrong)) is late


def test_every_wrong_verdict_is_listed_and_what_cannot_run_here_is_named() -> None:
    told: dict[str, Any] = truth.told(
        [
            record("a", "full"),
            record("a", "quick", *LATE),
            record("b", "full", *FALSE),
            record("c", "full", skipped="the program node: apt-get install nodejs"),
        ]
    )
    assert told["kinds"]["full"] | {"seconds_most": 0} == {
        "scans": 2,
        "as_expected": 1,
        "only_for_want_of_time": 0,
        "seconds_most": 0,
        "services": {"a": "1 of 1", "b": "0 of 1"},
    }
    assert told["kinds"]["quick"]["only_for_want_of_time"] == 1
    assert [(one["service"], one["wrong"]) for one in told["wrong"]] == [("a", list(LATE)), ("b", list(FALSE))]
    assert told["skipped"] == ["c: the program node: apt-get install nodejs"]


def test_a_service_is_scanned_in_the_kinds_that_are_asked_for_and_a_second_run_adds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(truth, "BUILD", tmp_path)
    monkeypatch.setattr(truth, "ROOT", tmp_path)
    monkeypatch.setattr(truth, "RESULTS", tmp_path / "truth.json")
    asked: list[tuple[str, str, int]] = []

    def one(name: str, kind: truth.Kind, number: int) -> Record:
        asked.append((name, kind.name, number))
        return record(name, kind.name) | {"number": number, "verdicts": {}}

    monkeypatch.setattr(truth, "one", one)
    words = ["--services", "flask-guarded,go-safe", "--runs", "1", "--quick", "2"]
    assert truth.main(words) == truth.main(words) == 0
    assert len(asked) == 2 * (1 + 2 + 1)
    assert asked[:2] == [("flask-guarded", "quick", 1), ("go-safe", "quick", 1)]
    assert "8 of 8 scans, 0 not as expected" in capsys.readouterr().out
    assert json.loads((tmp_path / "truth.json").read_text())["kinds"]["relayed"]["as_expected"] == 2


def collected(effects: int) -> BurstCollected:
    return BurstCollected(detection.CHECK, History(()), effects)


@pytest.mark.parametrize(
    ("hit_at", "verdict", "found"), [(9.0, "VIOLATED", True), (10.5, "VIOLATED", False), (9.0, "INCONCLUSIVE", False)]
)
def test_a_race_is_found_if_it_was_seen_in_time_and_said(hit_at: float, verdict: str, found: bool) -> None:  # noqa: FBT001
    severity = Severity.HIGH if verdict == "VIOLATED" else Severity.NONE
    finding = Finding(detection.CHECK, "?", Verdict(verdict), Evidence("because"), severity)
    events: list[tuple[float, Event]] = [
        (100.0, CheckStarted(detection.CHECK, "?")),
        (101.0, collected(1)),
        (100.0 + hit_at, collected(3)),
        (115.0, FindingMade(finding)),
    ]
    told = detection._judged(events)
    assert (told["found"], told["after_s"], told["bursts"]) == (found, hit_at, 2)
    assert ("said" in told) is not found


def test_a_window_is_measured_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDOW_US", "20000")
    monkeypatch.setattr(detection, "BURSTS", 6)
    monkeypatch.setattr(detection, "WITHIN_S", 60.0)
    with launch(detection._service()) as running:
        assert detection.probability(running)["p"] > 0.5
        assert detection.one(running, seed=1)["found"]
