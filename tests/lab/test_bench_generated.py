"""What bench.generated makes of its scans: shares with intervals, wrong verdicts with seeds, a run that goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import generated
from bench.generated import counted, share

FIRST = 500


def record(seed: int, truth: str, verdict: str, *, refuted: bool = False) -> dict[str, Any]:
    wrong = [] if truth in {verdict, "either"} else [f"c: {verdict}, expected {truth}"]
    return {
        "seed": seed,
        "is": "a desk",
        "expected": {"c": {"verdict": truth, "severity": "high"}},
        "skipped": "",
        "found": {"c": {"verdict": verdict, "severity": "high", "summary": ""}},
        "seconds": 1.0,
        "wrong": wrong,
        "refuted": ["c: expected VIOLATED, seen NOT_OBSERVED"] if refuted else [],
    }


def test_recall_precision_and_every_wrong_verdict_with_its_seed() -> None:
    counts = counted(
        [
            record(1, "VIOLATED", "VIOLATED"),
            record(2, "VIOLATED", "INCONCLUSIVE"),
            record(3, "NOT_OBSERVED", "VIOLATED"),
            record(4, "NOT_OBSERVED", "NOT_OBSERVED"),
            record(5, "NOT_OBSERVED", "INCONCLUSIVE"),
            record(6, "NOT_APPLICABLE", "NOT_APPLICABLE"),
        ]
    )
    check = counts["checks"]["c"]
    assert (check["recall"]["right"], check["recall"]["of"]) == (1, 2)
    assert (check["precision"]["right"], check["precision"]["of"]) == (1, 2)
    assert (check["clean_said_clean"]["right"], check["clean_said_clean"]["of"]) == (1, 3)
    assert (counts["services"], counts["as_expected"]) == (6, 3)
    assert [said.split()[1] for said in counts["wrong"]] == ["2", "3", "5"]


def test_either_and_what_the_brute_force_refutes_count_for_nobody() -> None:
    counts = counted([record(1, "either", "VIOLATED"), record(2, "VIOLATED", "NOT_OBSERVED", refuted=True)])
    assert counts["checks"]["c"]["judged"] == 0
    assert counts["truths_refuted"] == ["seed 2: c: expected VIOLATED, seen NOT_OBSERVED"]


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I, method 3 (Wilson's score).
        (81, 263, 0.255, 0.366),
        (15, 148, 0.062, 0.160),
        (0, 20, 0.0, 0.161),
        (1, 29, 0.006, 0.172),
    ],
)
def test_the_interval_is_wilsons(right: int, of: int, low: float, high: float) -> None:
    assert share(right, of) == {"right": right, "of": of, "low": low, "high": high}


def test_a_share_of_nothing_has_no_interval() -> None:
    assert share(0, 0)["low"] is None


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The seeds that were scanned, in a state of our own."""
    asked: list[int] = []

    def one(seed: int, **_: bool) -> dict[str, Any]:
        asked.append(seed)
        if seed == FIRST + 1 and asked.count(seed) == 1:
            raise KeyboardInterrupt
        return record(seed, "VIOLATED", "VIOLATED")

    monkeypatch.setattr(generated, "one", one)
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    monkeypatch.setattr(generated, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(generated, "STATE", tmp_path / "build" / "generated")
    return asked


def test_an_interrupted_run_goes_on_where_it_ended(runs: list[int], tmp_path: Path) -> None:
    words = ["--services", "3", "--first", str(FIRST)]
    assert generated.main(words) == 130
    assert generated.main(words) == 0
    assert runs == [FIRST, FIRST + 1, FIRST + 1, FIRST + 2]
    assert json.loads((tmp_path / "results" / "generated.json").read_text())["services"] == 3


def test_another_run_than_the_one_that_was_begun_is_refused(runs: list[int]) -> None:
    assert generated.main(["--services", "2", "--first", str(FIRST)]) == 130
    with pytest.raises(SystemExit, match=r"another run is in build/generated.*wanted the same one, or --again"):
        generated.main(["--services", "1", "--first", "7"])
    assert generated.main(["--services", "1", "--first", "7", "--again"]) == 0
    assert runs == [FIRST, FIRST + 1, 7]


def test_a_run_that_is_over_is_not_taken_for_one_that_was_interrupted(runs: list[int]) -> None:
    """The same seeds again are scanned again, and seeds from the clock are others."""
    for _ in range(2):
        assert generated.main(["--services", "1", "--first", "7"]) == 0
    assert generated.main(["--services", "1"]) == 0
    assert runs[:2] == [7, 7]
    assert runs[2] > 1_700_000_000
