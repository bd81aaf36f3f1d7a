"""concurrent-duplicate has three variants, and a verdict for each: identical, resigned, same_nonce."""

from dataclasses import replace
from typing import Any

import pytest

from tests.scan.services.desk import Asked, Desk
from tests.scan.services.plans import plan
from tests.scan.services.scanning import DUPLICATES, Scan, scan
from tests.scan.services.stamped import (
    NONCE_UNSIGNED,
    NONCED,
    STAMPED,
    LooksForTheNonce,
    Nonced,
    RemembersTheSignature,
    Stamped,
)
from tocsin.findings import Verdict
from tocsin.scan.checks import concurrent_duplicate
from tocsin.scan.checks.concurrent_duplicate import _VARIANTS

pytestmark = pytest.mark.usefixtures("brisk")


def verdicts(found: Scan) -> dict[str, str]:
    return {name: facts["verdict"] for name, facts in found.fact("variants").items()}


def test_a_message_signed_afresh_is_a_new_one_for_a_service_that_remembers_signatures() -> None:
    found = scan(RemembersTheSignature(), DUPLICATES, signing=STAMPED)

    assert verdicts(found) == {"identical": "NOT_OBSERVED", "resigned": "VIOLATED", "same_nonce": "NOT_APPLICABLE"}
    assert found.finding.verdict is Verdict.VIOLATED
    assert "resigned requests at once had" in found.finding.evidence.summary
    assert found.fact("also_sequential") is True


def test_one_nonce_for_many_orders_is_found_where_the_nonce_is_the_identity() -> None:
    found = scan(
        LooksForTheNonce(),
        DUPLICATES,
        signing=NONCED,
        identity={"variables": ["nonce"]},
    )

    assert verdicts(found) == {"identical": "NOT_OBSERVED", "resigned": "NOT_OBSERVED", "same_nonce": "VIOLATED"}
    assert found.fact("also_sequential") is False


class LooksForAnUnsignedNonce(LooksForTheNonce):
    """The same, and the signature covers the body alone."""

    def is_signed(self, asked: Asked) -> bool:
        return Desk.is_signed(self, asked)


def test_an_unsigned_nonce_that_nobody_looks_at_makes_no_two_orders_the_same() -> None:
    found = scan(Desk(), DUPLICATES, signing=NONCE_UNSIGNED)

    assert verdicts(found) == {"identical": "NOT_OBSERVED", "resigned": "NOT_OBSERVED", "same_nonce": "NOT_APPLICABLE"}
    assert "the service does not go by the nonce" in found.fact("variants", "same_nonce", "reason")


def test_an_unsigned_nonce_that_the_service_goes_by_is_raced() -> None:
    found = scan(LooksForAnUnsignedNonce(), DUPLICATES, signing=NONCE_UNSIGNED)

    assert verdicts(found)["same_nonce"] == "VIOLATED"
    assert found.fact("variants", "same_nonce", "also_sequential") is False


def test_every_variant_gets_its_share_of_a_short_time_and_a_correct_service_is_clean_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless = tuple(replace(variant, wanted=10_000) for variant in _VARIANTS)
    monkeypatch.setattr(concurrent_duplicate, "_VARIANTS", endless)
    found = scan(Nonced(), DUPLICATES, signing=NONCED, identity={"variables": ["nonce"]}, budget={"seconds": 4})

    assert verdicts(found) == dict.fromkeys(("identical", "resigned", "same_nonce"), "NOT_OBSERVED")
    bursts = {name: facts["valid_bursts"] for name, facts in found.fact("variants").items()}
    assert bursts["identical"] > bursts["resigned"] > 0 < bursts["same_nonce"]
    assert "resigned: 0 of " in found.finding.evidence.summary


def test_copies_signed_afresh_keep_every_variable_and_change_timestamp_and_nonce() -> None:
    desk = Nonced()
    scan(desk, DUPLICATES, signing=NONCED)
    by_order: dict[str, list[Asked]] = {}
    for asked in desk.orders_asked():
        by_order.setdefault(asked.document["order_id"], []).append(asked)
    resigned = [copies for copies in by_order.values() if len({copy.signature for copy in copies}) > 1]

    assert resigned
    for copies in resigned:
        assert len({copy.body for copy in copies}) == 1
        for name in ("X-Time", "X-Nonce"):
            assert len({"".join(copy.values(name)) for copy in copies}) == len(copies)


def test_copies_signed_afresh_stay_within_a_short_tolerance() -> None:
    class Impatient(Stamped):
        tolerance_s = 8.0

    desk = Impatient()
    found = scan(desk, DUPLICATES, signing=STAMPED | {"tolerance_past_s": 8})

    assert verdicts(found)["resigned"] == "NOT_OBSERVED"
    assert found.fact("variants", "resigned", "sequential", "statuses") == {"200": 20}


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, {"resigned": "the request has no timestamp and no nonce", "same_nonce": "the request has no nonce"}),
        ({"signing": STAMPED}, {"same_nonce": "the request has no nonce"}),
        ({"request": {"body": "{{uuid}} {{timestamp}}"}}, {"same_nonce": "the request has no nonce"}),
        ({"request": {"body": "{{uuid}} {{nonce}}"}}, {"same_nonce": "the nonce is signed and is not what makes"}),
        (
            {"request": {"path": "/o?{{nonce}}"}, "signing": {"content": "{query}{body}"}},
            {"same_nonce": "the nonce is signed and is not what makes"},
        ),
        (
            {"request": {"headers": {"X-N": "{{nonce}}"}}, "signing": {"content": "{header:X-N}{body}"}},
            {"same_nonce": "the nonce is signed and is not what makes"},
        ),
        ({"request": {"path": "/o?{{nonce}}"}}, {}),
        ({"signing": NONCED}, {"same_nonce": "the nonce is signed and is not what makes"}),
        ({"signing": NONCE_UNSIGNED}, {}),
        ({"signing": NONCED, "identity": {"variables": ["nonce"]}}, {}),
        (
            {"request": {"body": "{{nonce}}"}},
            {"resigned": "the request has no", "same_nonce": "the nonce is the only thing that changes"},
        ),
        (
            {
                "request": {"body": "{{nonce}} {{item}}"},
                "variables": {"item": {"fresh": "uuid4"}},
                "limits": {"effects": 5, "per": ["item"]},
            },
            {"resigned": "the request has no", "same_nonce": "the nonce is the only thing that changes"},
        ),
    ],
)
def test_a_variant_that_a_request_has_no_place_for_is_not_applicable_and_says_why(
    changed: dict[str, Any], missing: dict[str, str]
) -> None:
    reasons = {variant.name: variant.missing(plan(**changed)) for variant in _VARIANTS}
    said = {name: reason for name, reason in reasons.items() if reason}
    assert said.keys() == missing.keys()
    assert all(said[name].startswith(start) for name, start in missing.items())
