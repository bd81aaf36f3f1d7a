import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.scan.services_more.asking import ask, fact
from tests.scan.services_more.shop import Answer, Asked, Shop
from tocsin.findings import Severity, Verdict
from tocsin.scan.checks import parse_before_verification
from tocsin.scan.checks.parse_before_verification import CHECK

FORM = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": "id={{uuid}}&qty={{qty}}"}


class Forms(Shop):
    """Takes its orders as forms."""

    def parse(self, asked: Asked) -> dict[str, Any] | None:
        fields = parse_qs(asked.body.decode("latin-1"))
        return {"id": fields["id"][0]} if "id" in fields and fields.get("qty", [""])[0].isdecimal() else None


class ParsesFirst(Shop):
    """The key defence removed: the body is parsed before the signature is looked at."""

    def __init__(self, status: int = 400) -> None:
        super().__init__()
        self.status = status

    def before_verification(self, asked: Asked) -> Answer | None:
        return None if self.parse(asked) is not None else Answer(self.status)


class FormsFirst(Forms, ParsesFirst):
    """The same with forms."""


class Scripted(Shop):
    """Something else than verification answers forgeries."""

    def __init__(self, script: Callable[[Asked, int], Answer | None]) -> None:
        super().__init__()
        self.script = script
        self.forgeries = 0

    def before_verification(self, asked: Asked) -> Answer | None:
        if self.is_signed(asked):
            return None
        self.forgeries += 1
        return self.script(asked, self.forgeries)


def is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def test_a_service_that_verifies_the_raw_body_first_answers_every_body_alike() -> None:
    finding = ask(CHECK, Shop())
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "statuses")) == {
        "truncated", "not_utf8", "empty", "other_types", "no_object", "no_members",
        "without /id", "without /item", "without /qty",
    }  # fmt: skip
    assert set(fact(finding, "statuses").values()) == {"401"}
    assert str(finding.bound) == "0 of 9 bodies; all answered as the well-formed one, 401"


def test_a_service_that_parses_first_is_found_by_what_it_answers_to_each_malformed_body() -> None:
    finding = ask(CHECK, ParsesFirst())
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.LOW)
    assert fact(finding, "each_time") == [
        "truncated", "not_utf8", "empty", "other_types", "no_object", "no_members", "without /id",
    ]  # fmt: skip
    assert fact(finding, "well_formed") == "401"
    assert "truncated (400)" in finding.evidence.summary


@pytest.mark.parametrize("status", [500, 0], ids=["server error", "closed connection"])
def test_a_stranger_who_makes_the_service_fail_is_worse(status: int) -> None:
    finding = ask(CHECK, ParsesFirst(status))
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)


@pytest.mark.parametrize("status", [413, 415])
def test_what_can_be_told_from_the_headers_is_no_finding(status: int) -> None:
    assert ask(CHECK, ParsesFirst(status)).verdict is Verdict.NOT_OBSERVED


def test_a_form_is_malformed_through_its_variables() -> None:
    variables = {"qty": {"value": "1"}}
    clean = ask(CHECK, Forms(), request=FORM, variables=variables)
    assert clean.verdict is Verdict.NOT_OBSERVED
    assert set(fact(clean, "statuses")) == {"truncated", "not_utf8", "empty", "other_types", "incomplete"}
    found = ask(CHECK, FormsFirst(), request=FORM, variables=variables)
    assert {"other_types", "incomplete"} <= set(fact(found, "each_time"))


def test_a_body_without_variables_that_is_no_json_is_malformed_by_its_bytes_alone() -> None:
    class Named(Shop):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            return {"id": asked.header("X-Id")}

    finding = ask(CHECK, Named(), request={"headers": {"X-Id": "{{uuid}}"}, "body": "buy one"})
    assert set(fact(finding, "statuses")) == {"truncated", "not_utf8", "empty"}


def test_a_list_is_malformed_as_a_list() -> None:
    class Lists(Shop):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            return {"id": json.loads(asked.body)[0]}

    finding = ask(CHECK, Lists(), request={"body": '["{{uuid}}",true,null]'})
    assert set(fact(finding, "statuses")) == {"truncated", "not_utf8", "empty", "other_types", "no_object"}


def test_an_answer_that_does_not_come_again_is_no_finding() -> None:
    failed: list[bytes] = []

    def once(asked: Asked, _: int) -> Answer | None:
        if failed or is_json(asked.body):
            return None
        failed.append(asked.body)
        return Answer(500)

    finding = ask(CHECK, Scripted(once))
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert list(fact(finding, "statuses").values()).count("500") == 1


def test_equal_forgeries_that_are_answered_differently_tell_nothing() -> None:
    finding = ask(CHECK, Scripted(lambda asked, count: Answer(403) if is_json(asked.body) and count > 9 else None))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "401, 403" in finding.evidence.summary


def test_where_forgeries_are_accepted_there_is_no_verification_to_come_first() -> None:
    class Unverified(Shop):
        def is_signed(self, _asked: Asked) -> bool:
            return True

    finding = ask(CHECK, Unverified())
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "signature-bypass" in finding.evidence.summary


def test_a_service_that_answers_success_to_every_forgery_and_does_nothing_can_be_told() -> None:
    assert ask(CHECK, Scripted(lambda _asked, _count: Answer(200))).verdict is Verdict.NOT_OBSERVED


def test_a_rate_limiter_is_given_time() -> None:
    finding = ask(CHECK, Scripted(lambda _, count: Answer(429) if count == 3 else None))
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "statuses").values()) == {"401"}


def test_a_rate_limiter_that_never_ends_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse_before_verification, "LIMITED_WAITS_S", (0.0, 0.0))
    finding = ask(CHECK, Scripted(lambda _asked, _count: Answer(503)))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "503" in finding.evidence.summary


def test_a_lock_out_after_forgeries_does_not_pass_for_a_defence() -> None:
    class LocksOut(Scripted):
        def is_timely(self, _asked: Asked) -> bool:
            return self.forgeries == 0

    finding = ask(CHECK, LocksOut(lambda _asked, _count: None))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "honest request" in finding.evidence.summary


def test_a_request_without_a_body_has_nothing_to_malform() -> None:
    finding = ask(CHECK, Shop(), request={"body": ""})
    assert finding.verdict is Verdict.NOT_APPLICABLE


def test_a_plan_without_state_says_what_to_add() -> None:
    finding = ask(CHECK, Shop(), state=None)
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "[[state]]" in finding.evidence.summary
