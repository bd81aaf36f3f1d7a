"""`tocsin lab verify` on services of the lab: it sees what is there, and says what it cannot see."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lab import _plan_looks
from lab._expected import truths
from lab._launch import Running
from lab._plan_siege import PlanSiege
from lab._services import LabError, Service, find, titles
from lab._verify import Confirmation, verified_by_plan


@pytest.fixture
def copied(tmp_path: Path) -> Service:
    """A service whose papers may be forged."""
    folder = tmp_path / "flask-published"
    shutil.copytree(find("flask-published").folder, folder)
    return replace(find("flask-published"), folder=folder)


# One for each kind of state, signature and hole: stock, and JSON that is signed; a number that orders messages; effects
# of one message alone, and a second route; an id that is spelled otherwise. What is clean takes long to look at, so of
# the last ones not all is asked.
@pytest.mark.parametrize(
    ("title", "only"),
    [
        ("robyn-vulnerable", ()),
        ("robyn-vulnerable/payment", ()),
        ("express-vulnerable", ()),
        ("flask-published", ("signature-bypass", "signature-coverage", "signed-robustness", "sequential-replay")),
        ("trap-spelling", ("sequential-replay", "effect-before-verification")),
        ("go-safe", ("sequential-replay", "stale-timestamp", "signature-coverage")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_sees_what_expected_toml_says(title: str, only: tuple[str, ...]) -> None:
    service = find(title)
    if missing := service.missing():
        pytest.skip(f"{title} needs {missing}")
    seen = list(verified_by_plan(service, only))
    assert [each for each in seen if not each.is_right] == []
    assert {each.check for each in seen if not each.seen} == {each.check for each in seen} & {*_plan_looks.CANNOT_TELL}
    assert set(only) <= {each.check for each in seen}


def test_a_truth_that_is_none_is_wrong(copied: Service) -> None:
    papers, true = copied.folder / "expected.toml", '[signature-bypass]\nverdict = "VIOLATED"'
    said = papers.read_text()
    assert true in said
    papers.write_text(said.replace(true, true.replace("VIOLATED", "NOT_OBSERVED")))
    [seen] = verified_by_plan(copied, ["signature-bypass"])
    assert (seen, seen.is_right) == (Confirmation("signature-bypass", "NOT_OBSERVED", "VIOLATED"), False)


def test_a_service_that_refuses_what_its_plan_says_does_not_look_clean(copied: Service) -> None:
    plan = copied.plan.read_text()
    copied.plan.write_text(plan.replace('"order_id":"{{order_id}}"', '"order":"{{order_id}}"'))
    with pytest.raises(LabError, match="a message of its plan was answered 500 and had 0 effects; wanted one"):
        list(verified_by_plan(copied))


@pytest.mark.parametrize("title", titles())
def test_every_check_that_has_a_verdict_is_asked_or_has_a_reason_why_not(title: str) -> None:
    service = find(title)
    never_started = Running(service, port=0, secret="", data=Path(), keeps_data=True)
    asked = set(_plan_looks.looks(PlanSiege(never_started)))
    judged = {check for check, truth in truths(service).items() if truth.verdict != "NOT_APPLICABLE"}
    assert judged - asked == judged & set(_plan_looks.CANNOT_TELL)
