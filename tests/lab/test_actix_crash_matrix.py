"""The hardened Actix service under the crash matrix: kill -9 and lost connections at every step, and two broken twins.

The short form of `python -m bench.crash_matrix --only actix`.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.crash_matrix import Bench
from bench.crashing.actix import built, missing_rust
from bench.crashing.relay import Cut
from bench.crashing.steps import Step
from lab._postgres import Cluster
from lab._services import LAB
from tests.lab import test_actix_twins as twins

ROUNDS = int(os.environ.get("TOCSIN_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("TOCSIN_CRASH_SEED", "20261122"))
BEFORE_THE_COMMIT = (Step.CLAIM, Step.BEFORE_WRITE, Step.AFTER_WRITE, Step.BEFORE_COMMIT)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    if missing := missing_rust():
        pytest.skip(f"the Actix service needs {missing}")
    with Cluster("fsync=off") as running:
        yield running


@pytest.fixture(scope="module")
def program(server: Cluster) -> Path:
    del server  # skipped without
    return built()


@pytest.fixture(scope="module")
def twin_program(server: Cluster) -> Path:
    del server  # likewise
    return twins.built(twins.CRASHING)


def test_a_process_killed_at_any_step_loses_nothing_and_repeats_nothing(
    tmp_path: Path, server: Cluster, program: Path
) -> None:
    lines = list(Bench(tmp_path, server, ROUNDS, random.Random(SEED), program).kills("postgres", "actix"))
    assert [problem for line in lines for problem in line["wrong"]] == []
    assert [line["step"] for line in lines] == [step.value for step in Step]
    # Whoever dies with a claim has answered nobody, and neither has its duplicate, which waits for it. Otherwise no
    # process died where it was told to, and nothing has been shown.
    by_step = {line["step"]: line for line in lines}
    assert all(by_step[step.value]["unanswered_and_not_applied"] >= ROUNDS for step in BEFORE_THE_COMMIT)
    assert by_step[Step.AFTER_COMMIT.value]["unanswered_but_applied"] >= ROUNDS


def test_a_connection_cut_at_any_step_loses_nothing_and_repeats_nothing(
    tmp_path: Path, server: Cluster, program: Path
) -> None:
    """The service lives on, and every client is answered."""
    lines = list(Bench(tmp_path, server, ROUNDS, random.Random(SEED), program).cuts("actix"))
    assert [problem for line in lines for problem in line["wrong"]] == []
    assert [line["step"] for line in lines] == [cut.value for cut in Cut]


def test_the_matrix_catches_an_effect_outside_the_transaction_of_the_claim(
    tmp_path: Path, server: Cluster, program: Path
) -> None:
    bench = Bench(tmp_path, server, 2, random.Random(SEED), program)
    [line] = bench.kills("postgres", "actix", [Step.AFTER_WRITE], "elsewhere")
    assert any("applied 2 times" in problem for problem in line["wrong"]), line["wrong"]


def test_the_matrix_catches_an_answer_before_commit(
    tmp_path: Path, server: Cluster, twin_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, server, 4, random.Random(SEED), twin_program)
    monkeypatch.setenv("TOCSIN_TWIN", "an-answer-before-commit")
    [line] = bench.kills("postgres", "actix", [Step.BEFORE_COMMIT], "early")
    assert any("lost after 201" in problem for problem in line["wrong"]), line["wrong"]


def test_the_changed_copy_with_every_defence_passes(
    tmp_path: Path, server: Cluster, twin_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its twin might be caught for anything."""
    monkeypatch.setenv("TOCSIN_TWIN", "")
    bench = Bench(tmp_path, server, ROUNDS, random.Random(SEED), twin_program)
    [line] = bench.kills("postgres", "actix", [Step.BEFORE_COMMIT], "none")
    assert line["wrong"] == []


def test_no_service_of_the_lab_can_be_told_to_die() -> None:
    """Crash points are compiled into nothing that is run for its own sake."""
    workspace = LAB / "actix"
    for manifest in ("tocsin-actix/Cargo.toml", "services/Cargo.toml"):
        text = (workspace / manifest).read_text()
        assert "default" not in text.partition("[features]")[2].partition("\n[")[0]
    assert not any("crash-points" in path.read_text() for path in LAB.glob("*/service.toml"))
    assert "crash::" not in "".join(path.read_text() for path in workspace.glob("services/src/bin/[!c]*.rs"))
