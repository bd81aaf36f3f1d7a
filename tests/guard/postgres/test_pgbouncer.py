"""Through PgBouncer in transaction mode: any of its connections will do for a transaction, and none keeps anything."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.guard.postgres.cluster import Bouncer, Database, bouncer
from tests.guard.postgres.conftest import MakeShop
from tests.guard.postgres.shop import PostgresShop
from tests.guard.postgres.test_setup import NAMES, settings_of
from tests.guard.server_shop import write_order
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed
from tocsin.guard.stores.postgres import PostgresStore, Transaction, _settings


@pytest.fixture
def pooled(make_shop: MakeShop, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresShop]:
    """A service with more connections to PgBouncer than PgBouncer has to the server."""
    if bouncer() is None:
        pytest.skip("no PgBouncer found; apt-get install pgbouncer")
    monkeypatch.setattr(_settings, "_told", set())
    with Bouncer(database) as running:
        shop = make_shop(store=PostgresStore(database.conninfo(port=running.port)), guard={"wait_s": 30})
        yield shop
        shop.store.close()


def test_64_different_requests_go_through_two_connections(pooled: PostgresShop, database: Database) -> None:
    def often(signed: Signed, tx: Transaction) -> Any:
        for number in range(8):
            tx.execute("SELECT %s::int", (number,))
        return write_order(signed, tx)

    pooled.handler = often
    names = iter(map(str, range(64)))
    assert {answer.status_code for answer in together(64, lambda: pooled.order(next(names)))} == {201}
    assert len(database.orders) == 64
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert database.value(busy) <= 2


def test_64_identical_requests_have_one_effect_and_identical_answers(pooled: PostgresShop, database: Database) -> None:
    answers = together(64, pooled.order)
    assert {(answer.status_code, answer.data) for answer in answers} == {(201, answers[0].data)}
    assert (pooled.runs, database.orders) == (1, ["17"])


def test_settings_last_as_long_as_the_transaction_and_what_may_not_be_set_is_said(
    pooled: PostgresShop, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert settings_of(pooled, *NAMES, "lock_timeout")[:2] == ["30s", "50ms"]
    assert "tcp_keepalives_* towards the server are its own to set" in caplog.text
    through = Database(pooled.store._connections.stack.idle[0].connection.info.port, database.name)
    assert [through.value("SELECT current_setting(%s)", name) for name in NAMES[:2]] == ["0", "0"]


def test_tables_are_made_through_a_pooler_too(pooled: PostgresShop, database: Database) -> None:
    database.query("DROP TABLE tocsin_claims, tocsin_forgotten")
    pooled.store.migrate()
    assert pooled.order().status_code == 201
