import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.guard.shop import Shop
from tocsin.guard import _fork
from tocsin.guard.stores.sqlite import SQLiteStore

MakeShop = Callable[..., Shop]


class Torn:
    """A seal that fails."""

    def seal(self, plain: bytes, /) -> bytes:
        raise RuntimeError(f"cannot seal {len(plain)} bytes")

    def unseal(self, sealed: bytes, /) -> bytes:
        raise RuntimeError(f"cannot unseal {len(sealed)} bytes")


def test_what_fails_between_the_steps_leaves_no_transaction_and_no_key_behind(make_shop: MakeShop) -> None:
    """A hook of the developer's own: the handler has run, and its answer cannot be stored."""
    shop = make_shop(guard={"seal": Torn()})
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot seal"):
            shop.order()
    assert (shop.runs, shop.orders, shop.claims) == (2, [], 0)
    assert shop.guard._in_flight._entries == {}


def test_forked_children_renew_whatever_lives(tmp_path: Any) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    store.look(bytes(32))
    assert store._readers._idle
    _fork._renew_all()
    assert not store._readers._idle


def test_the_signed_request_shows_what_was_verified(make_shop: MakeShop) -> None:
    shop = make_shop(handler=lambda signed, _: [signed.tenant, signed.body.decode(), signed.json()])
    assert json.loads(shop.order().data) == ["main", '{"order_id": "17"}', {"order_id": "17"}]
