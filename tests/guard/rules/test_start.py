"""What is said, or refused, when a service starts."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from tocsin.guard import Guard, GuardError, body_digest
from tocsin.guard._retention import ANSWER_DAYS
from tocsin.guard._waiting import MOST_WAITERS
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Secret, json_pointer, preset

SECRET = Secret(b"a secret of the tests, 32 octets")
ITEM = "/notificationItems/0/NotificationRequestItem"


def default(function: Any, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def test_the_numbers_that_nobody_has_to_give_are_those_of_the_rules() -> None:
    """wait_s is below the 3 s after which Slack gives up."""
    assert default(Guard, "wait_s") == 2.0
    assert default(Guard, "max_body_bytes") == default(Guard, "max_answer_bytes") == 1 << 20
    assert default(SQLiteStore, "hold_s") == 0.1
    assert ANSWER_DAYS == 7
    assert MOST_WAITERS == 64


@pytest.mark.parametrize("name", ["line", "github", "shopify", "slack"])
def test_a_provider_of_messages_with_several_events_makes_the_developer_say_what_identifies_them(
    name: str, tmp_path: Path
) -> None:
    """And so does every provider that signs no id of a message."""
    guard = Guard(preset(name), KeyRing.of(SECRET), SQLiteStore(tmp_path / "db"))
    with pytest.raises(GuardError, match="signs no message id"):
        guard.flask()(lambda _signed, _tx: "")


@pytest.mark.parametrize("key", [None, json_pointer(f"{ITEM}/pspReference"), body_digest(days=3)], ids=str)
def test_a_second_item_that_nobody_signed_is_refused(tmp_path: Path, key: Any) -> None:
    """Adyen signs some fields of one item, and what stands beside them would take effect unsigned."""
    guard = Guard(preset("adyen"), KeyRing.of(SECRET), SQLiteStore(tmp_path / "db"), unsigned_body=True)
    with pytest.raises(GuardError, match=r"signs no message id|does not sign the body"):
        guard.flask(key=key)(lambda _signed, _tx: "")
    with pytest.raises(GuardError, match="does not sign the body"):
        Guard(preset("adyen"), KeyRing.of(SECRET), SQLiteStore(tmp_path / "db"))
