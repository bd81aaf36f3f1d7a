"""Services from a seed: the same seed gives the same files, and a running one is as it is said to be."""

import ast
import hashlib
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lab import _plan_looks
from lab._expected import EITHER, truths
from lab._launch import launch
from lab._scan import scan
from lab._services import LabError
from lab._verify import verified, verified_generated
from lab.generated import draw, generate
from lab.generated._traits import SOUND, UNSOUND
from lab.generated._truth import truths as truths_of
from tocsin import scan as scanning
from tocsin.scan._plan_file import plan_from_toml

SEEDS = range(60)
# Quick ones, unlike each other: a race in memory on an event loop; a lock per process, on files; a guarded service.
RACING, ACROSS_PROCESSES, GUARDED = 102, 109, 104


def test_a_seed_gives_the_same_files_always(tmp_path: Path) -> None:
    service = generate(17, tmp_path / "a")
    again = generate(17, tmp_path / "b")
    files = sorted(path.name for path in service.folder.iterdir())
    assert files == ["app.py", "expected.toml", "plan.toml", "seed", "service.toml"]
    assert [(service.folder / name).read_bytes() for name in files] == [
        (again.folder / name).read_bytes() for name in files
    ]


def test_two_seeds_give_two_services(tmp_path: Path) -> None:
    apps = {
        hashlib.sha256((generate(seed, tmp_path / str(seed)).folder / "app.py").read_bytes()).digest() for seed in SEEDS
    }
    assert len(apps) == len(SEEDS)


def test_every_service_is_a_program_with_a_plan_and_a_truth_for_every_check(tmp_path: Path) -> None:
    for seed in SEEDS:
        service = generate(seed, tmp_path / str(seed))
        ast.parse((service.folder / "app.py").read_text())
        plan = plan_from_toml(service.plan.read_text(), "plan")
        told = truths(service)
        assert set(told) == {check.id for check in scanning.CHECKS}
        assert all(truth.why for truth in told.values())
        for check in scanning.CHECKS:
            lacks = bool(check.missing(plan)) or check.id == "comparison-timing"
            assert (told[check.id].verdict == "NOT_APPLICABLE") == lacks, f"seed {seed}, {check.id}"


def test_half_of_all_services_have_their_defence_and_every_flaw_is_among_them() -> None:
    drawn = [draw(seed) for seed in range(600)]
    share = sum(traits.defence in SOUND for traits in drawn) / len(drawn)
    assert 0.44 < share < 0.56
    assert {traits.defence for traits in drawn} == {*SOUND, *UNSOUND}
    assert {traits.storage for traits in drawn} == {"memory", "file", "sqlite", "postgres"}
    violated = Counter(
        truth.check for traits in drawn for truth in truths_of(traits).values() if truth.verdict == "VIOLATED"
    )
    assert set(violated) == {check.id for check in scanning.CHECKS} - {"comparison-timing"}


def test_a_window_that_hangs_on_the_machine_is_either_and_one_that_cannot_be_missed_is_not() -> None:
    racing = replace(draw(RACING), front="flask", defence="look-then-write", place="between", window_ms=3.0)
    assert truths_of(racing)["concurrent-duplicate"].verdict == "VIOLATED"
    for natural in (replace(racing, window_ms=0.0), replace(racing, place="before"), replace(racing, place="after")):
        truth = truths_of(natural)["concurrent-duplicate"]
        assert (truth.verdict, truth.variants["identical"]) == (EITHER, EITHER)
        assert "as wide as" in truth.why


def test_what_no_other_task_can_come_between_is_no_race() -> None:
    """On one event loop, where nothing is awaited between look and write; a thread could be there."""
    racing = replace(draw(RACING), front="asyncio", defence="look-then-write", place="after", window_ms=3.0)
    assert truths_of(racing)["concurrent-duplicate"].verdict == "NOT_OBSERVED"
    assert truths_of(replace(racing, front="starlette"))["concurrent-duplicate"].verdict == EITHER


def test_a_folder_with_files_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(LabError, match="wanted an empty folder"):
        generate(17, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("seed", [RACING, GUARDED])
def test_a_brute_force_sees_what_expected_toml_says(seed: int, tmp_path: Path) -> None:
    found = list(verified_generated(generate(seed, tmp_path / "service")))
    assert len(found) >= 8
    assert [seen for seen in found if not seen.is_right] == []


def test_a_truth_that_is_wrong_is_refuted(tmp_path: Path) -> None:
    """The brute force does not repeat what it is told: with its verdicts turned round, it contradicts."""
    service = generate(ACROSS_PROCESSES, tmp_path / "service")
    said = (service.folder / "expected.toml").read_text()
    duplicates = tomllib.loads(said)["concurrent-duplicate"]
    assert duplicates["verdict"] == "VIOLATED"
    (service.folder / "expected.toml").write_text(said.replace('"VIOLATED"', '"NOT_OBSERVED"'))
    first = next(verified_generated(service))
    assert (first.check, first.is_right) == ("concurrent-duplicate", False)


def test_a_service_of_the_lab_is_confirmed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan_looks, "_SIZES", (16,) * 5)
    found = {seen.check: (seen.seen, seen.is_right) for seen in verified("flask-guarded")}
    assert found["concurrent-duplicate"] == found["over-allocation"] == ("NOT_OBSERVED", True)
    assert all(is_right for _, is_right in found.values())


@pytest.mark.parametrize(
    ("seed", "check"),
    [(RACING, "over-allocation"), (ACROSS_PROCESSES, "concurrent-duplicate"), (GUARDED, "signature-coverage")],
)
def test_a_scan_says_what_is_true(seed: int, check: str, tmp_path: Path) -> None:
    """One check has the whole time: on a busy machine a quick scan has not enough for all of them."""
    service = generate(seed, tmp_path / "service")
    with launch(service) as running:
        assert scan(running, tmp_path / "reports", quick=True, only=[check]).wrong == []
