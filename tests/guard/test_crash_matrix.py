"""Kill -9 and lost connections at every step of a guarded request: the short form of `python -m bench.crash_matrix`."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.crash_matrix import ADAPTERS, Bench
from bench.crashing.relay import Cut
from bench.crashing.steps import Step
from lab._postgres import Cluster, missing

ROUNDS = int(os.environ.get("TOCSIN_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("TOCSIN_CRASH_SEED", "20261122"))


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    if missing():
        pytest.skip(missing())
    with Cluster("fsync=off") as running:
        yield running


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_process_killed_at_any_step_loses_nothing_and_repeats_nothing_on_sqlite(tmp_path: Path, adapter: str) -> None:
    lines = list(Bench(tmp_path, None, ROUNDS, random.Random(SEED)).kills("sqlite", adapter))
    assert [problem for line in lines for problem in line["wrong"]] == []
    assert [line["step"] for line in lines] == [step.value for step in Step]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_process_killed_at_any_step_loses_nothing_and_repeats_nothing_on_postgres(
    tmp_path: Path, adapter: str, server: Cluster
) -> None:
    lines = list(Bench(tmp_path, server, ROUNDS, random.Random(SEED)).kills("postgres", adapter))
    assert [problem for line in lines for problem in line["wrong"]] == []
    assert [line["step"] for line in lines] == [step.value for step in Step]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_connection_cut_at_any_step_loses_nothing_and_repeats_nothing(
    tmp_path: Path, adapter: str, server: Cluster
) -> None:
    """The service lives on, and every client is answered."""
    lines = list(Bench(tmp_path, server, ROUNDS, random.Random(SEED)).cuts(adapter))
    assert [problem for line in lines for problem in line["wrong"]] == []
    assert [line["step"] for line in lines] == [cut.value for cut in Cut]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("twin", "step", "seen"),
    [
        ("two_commits", Step.BEFORE_COMMIT, "applied 2 times"),
        ("answer_before_commit", Step.VERIFICATION, "lost after 201"),
        ("no_claim", Step.MOMENT, "different answers"),
    ],
)
def test_the_matrix_catches_a_service_without_a_defence(
    tmp_path: Path, adapter: str, twin: str, step: Step, seen: str
) -> None:
    bench = Bench(tmp_path, None, 4, random.Random(SEED))
    [line] = bench.kills("sqlite", adapter, [step], twin)
    assert any(seen in problem for problem in line["wrong"]), line["wrong"]


def test_the_matrix_catches_an_effect_on_another_connection(tmp_path: Path, server: Cluster) -> None:
    bench = Bench(tmp_path, server, 2, random.Random(SEED))
    [line] = bench.kills("postgres", "flask", [Step.AFTER_WRITE], "elsewhere")
    assert any("applied 2 times" in problem for problem in line["wrong"]), line["wrong"]
