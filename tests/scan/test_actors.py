"""Several senders: members of a burst take turns."""

import hashlib
import hmac
from pathlib import Path

import pytest

from tests.scan.services.desk import SECRET, Asked, Desk
from tests.scan.services.plans import merged, shortest
from tests.scan.services.scanning import LIMITS, planned, scan
from tocsin.findings import Verdict
from tocsin.scan import RailError, authorise, plan_from_tables, senders

OTHER = "another canary of the desk"
pytestmark = pytest.mark.usefixtures("brisk")


class TwoKeys(Desk):
    """Knows two senders, and counts what each of them has sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = {SECRET: 0, OTHER: 0}

    def is_signed(self, asked: Asked) -> bool:
        for secret in self.sent:
            wanted = hmac.new(secret.encode(), asked.body, hashlib.sha256).hexdigest()
            if hmac.compare_digest(wanted, asked.signature):
                self.sent[secret] += 1
                return True
        return False


def test_the_members_of_a_burst_are_signed_by_one_sender_after_the_other() -> None:
    desk = TwoKeys()
    found = scan(desk, LIMITS, actor=[{"secret": {"value": OTHER}}])
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert desk.sent[OTHER] > 0.4 * sum(desk.sent.values())


def test_the_secrets_of_all_senders_are_read_as_the_scheme_has_them() -> None:
    tables = merged(shortest(), {"signing": {"secret": {"value": SECRET}}, "actor": [{"secret": {"value": OTHER}}]})
    of = plan_from_tables(tables, "x")
    assert len(senders(of, Path())) == 2


def test_an_actors_literal_secret_is_for_this_machine_alone() -> None:
    tables = merged(
        shortest(), {"target": {"base_url": "http://shop.example"}, "actor": [{"secret": {"value": OTHER}}]}
    )
    with pytest.raises(RailError, match="only for loopback targets"):
        authorise(plan_from_tables(tables, "x"), ["shop.example"], accept_effects=5)


def test_without_actors_there_is_one_sender() -> None:
    desk = TwoKeys()
    scan(desk, LIMITS)
    assert desk.sent[OTHER] == 0
    assert len(senders(planned(desk_at(desk)), Path())) == 1


def desk_at(desk: Desk) -> Desk:
    desk.base_url = "http://127.0.0.1:9"
    return desk
