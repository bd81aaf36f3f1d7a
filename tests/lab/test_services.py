"""A service is one folder, complete in itself: launcher, scan and truth read nothing else."""

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from fastapi.testclient import TestClient

from lab import _services
from lab._expected import Truth, mismatches, truths
from lab._services import LAB, LabError, find, names, titles
from tocsin import scan

CHECKS = {check.id for check in scan.CHECKS}
VERDICTS = {"VIOLATED", "NOT_OBSERVED", "INCONCLUSIVE", "NOT_APPLICABLE"}


STRANGER, OURSELVES = "192.0.2.7", "127.0.0.1"
# Those that need a database to be imported, or are in another language, listen on loopback alone as these do.
FLASK = [name for name in names() if name.startswith("flask-") and not find(name).postgres]
FASTAPI = [name for name in names() if name.startswith("fastapi-")]


def load_app(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("LAB_SECRET", "only-for-this-test")
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    monkeypatch.setenv("LAB_DATABASE", "postgresql://nobody.invalid/none")
    monkeypatch.setenv("LAB_TRAP", "random-ids")
    spec = importlib.util.spec_from_file_location(f"app_of_{folder.name.replace('-', '_')}", folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.syspath_prepend(folder)
    spec.loader.exec_module(module)
    # Another service has modules of the same names.
    for part in folder.glob("*.py"):
        sys.modules.pop(part.stem, None)
    return module


@pytest.mark.parametrize("name", names())
def test_the_truth_is_told_for_every_check_with_its_reason(name: str) -> None:
    told = truths(find(name))
    assert set(told) == CHECKS
    for truth in told.values():
        assert {truth.verdict, *truth.variants.values()} <= VERDICTS
        assert (truth.verdict == "VIOLATED") == (truth.severity != "none")
        assert truth.why.strip()
    assert set(told["concurrent-duplicate"].variants) == {"identical", "resigned", "same_nonce"}


@pytest.mark.parametrize("name", names())
def test_the_plan_names_the_port_that_the_service_gets_and_no_secret(name: str) -> None:
    service = find(name)
    plan = tomllib.loads(service.plan.read_text())
    assert plan["target"]["base_url"] == f"http://127.0.0.1:{service.port}"
    assert plan["signing"]["secret"] == {"env": "LAB_SECRET"}


def test_no_two_services_share_a_port() -> None:
    assert len({find(name).port for name in names()}) == len(names())


@pytest.mark.parametrize("name", [*FLASK, "traps"])
def test_strangers_may_neither_reset_nor_set_up(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsigned by design, these routes are for loopback alone."""
    client = load_app(LAB / name, tmp_path, monkeypatch).app.test_client()
    for path in ("/__reset", "/items"):
        loopback = client.post(path, environ_base={"REMOTE_ADDR": OURSELVES}).status_code
        assert client.post(path, environ_base={"REMOTE_ADDR": STRANGER}).status_code in {403, loopback}
        assert loopback in {200, 201, 404}
    assert client.post("/__reset", environ_base={"REMOTE_ADDR": STRANGER}).status_code == 403


@pytest.mark.parametrize("name", FASTAPI)
def test_strangers_may_neither_reset_nor_set_up_with_fastapi(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before the database is asked for anything: there is none here."""
    client = TestClient(load_app(LAB / name, tmp_path, monkeypatch).app, client=(STRANGER, 50000))
    paths = ("/__reset", "/items", "/accounts", "/coupons")
    assert [client.post(path, json={}).status_code for path in paths] == [403] * len(paths)


def test_an_unknown_service_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(LabError, match=r"no service 'flask-vulnerabel' in the lab; did you mean flask-vulnerable\?"):
        find("flask-vulnerabel")


def test_another_route_of_a_service_has_its_own_plan_and_is_the_same_service() -> None:
    service, route = find("actix-vulnerable"), find("actix-vulnerable/payment")
    assert route in service.others()
    assert (route.title, route.plan.name) == ("actix-vulnerable/payment", "plan-payment.toml")
    assert (route.folder, route.command, route.port) == (service.folder, service.command, service.port)
    assert {title.partition("/")[0] for title in titles()} == set(names())


def test_an_unknown_route_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(
        LabError, match=r"'actix-vulnerable/paymnt' in the lab; did you mean actix-vulnerable/payment\?"
    ):
        find("actix-vulnerable/paymnt")


def test_a_lab_without_services_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_services, "LAB", tmp_path)
    with pytest.raises(LabError, match=r"none has a service\.toml"):
        find("flask-vulnerable")


def finding(verdict: str, severity: str = "none", **variants: object) -> dict[str, object]:
    return {"check": "c", "verdict": verdict, "severity": severity, "evidence": {"variants": variants}}


EXPECTED = {"c": Truth("c", "VIOLATED", "high", {"identical": "VIOLATED"})}


@pytest.mark.parametrize("said", ["VIOLATED", {"verdict": "VIOLATED", "bursts": 3}])
def test_a_report_that_says_the_truth_has_no_mismatch(said: object) -> None:
    assert mismatches([finding("VIOLATED", "high", identical=said)], EXPECTED) == []


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        ([], "c: not in the report, expected VIOLATED high"),
        ([finding("NOT_OBSERVED", identical="VIOLATED")], "c: NOT_OBSERVED, expected VIOLATED high"),
        ([finding("VIOLATED", "low", identical="VIOLATED")], "c: VIOLATED low, expected VIOLATED high"),
        ([finding("VIOLATED", "high")], "c, variant identical: missing, expected VIOLATED"),
        (
            [finding("VIOLATED", "high", identical="VIOLATED"), finding("VIOLATED") | {"check": "d"}],
            "d: not in expected.toml",
        ),
    ],
)
def test_every_difference_from_the_truth_is_a_sentence(findings: list[dict[str, object]], sentence: str) -> None:
    assert mismatches(findings, EXPECTED) == [sentence]
