"""`tocsin claims` on MariaDB: what is different there. Everything else is in tests/cli/test_claims.py."""

import json
from collections.abc import Callable, Iterator

import pytest

from lab._mariadb import MariaDB
from tests.guard.mariadb.server import Database, empty_on
from tests.guard.mariadb.shop import MariaDBShop
from tests.guard.mariadb.test_innodb import settled
from tocsin.cli import main
from tocsin.guard import GuardError, StoreUnavailable, json_pointer, sequence
from tocsin.guard.stores.mariadb import MariaDBStore
from tocsin.guard.stores.mariadb._admin import administration
from tocsin.guard.testing import NOW_UNIX_MS, claim

Output = pytest.CaptureFixture[str]
Tocsin = Callable[..., int]
PASSWORD = "p@ss/word 1"
QUOTED = "p%40ss%2Fword%201"


@pytest.fixture
def empty(server: MariaDB) -> Iterator[Database]:
    with empty_on(server) as made:
        yield made


@pytest.fixture
def tocsin(database: Database, monkeypatch: pytest.MonkeyPatch) -> Tocsin:
    """Runs `tocsin claims` on the database."""
    monkeypatch.setenv("CLAIMS_URL", database.url())

    def run(subcommand: str, *arguments: str) -> int:
        return main(["claims", subcommand, "--mariadb-env", "CLAIMS_URL", *arguments])

    return run


def test_claims_are_listed_shown_and_exported(shop: MariaDBShop, tocsin: Tocsin, capsys: Output) -> None:
    receipt = shop.order("17").get_data(as_text=True)
    assert tocsin("list") == 0
    assert "/order" in capsys.readouterr().out.splitlines()[1]
    assert tocsin("show", "--operation", "/order", "--value", "17", "--json") == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["tenant"], shown["operation"], shown["status"]) == ("main", "/order", 201)
    assert tocsin("export") == 0
    text = capsys.readouterr().out
    assert json.loads(text) == shown
    assert receipt not in text
    assert tocsin("export", "--answers") == 0
    assert json.loads(capsys.readouterr().out)["body_base64"] is not None


def test_streams_are_listed_and_counted(make_shop: Callable[..., MariaDBShop], tocsin: Tocsin, capsys: Output) -> None:
    shop = make_shop(guard={"sequence": sequence(number=json_pointer("/version"))})
    assert {shop.order(f"{version}", version=version).status_code for version in (41, 7)} == {201, 200}
    assert tocsin("streams") == 0
    _, stream, count = capsys.readouterr().out.splitlines()
    assert stream.split()[3:] == ["41", "main", "/order"]
    assert count.startswith("1 in all")


def test_filters_are_the_same(database: Database, tocsin: Tocsin, capsys: Output) -> None:
    database.query(
        "INSERT INTO tocsin_claims (`key`, version, tenant, operation, taken_unix_ms, status) VALUES "
        "(UNHEX(REPEAT('01', 32)), 1, 'main', '/a', 1000, 200), (UNHEX(REPEAT('02', 32)), 1, 'acme', '/b', 2000, NULL)"
    )

    def found(*options: str) -> list[str]:
        assert tocsin("list", "--json", *options) == 0
        return [one["key"][:2] for one in json.loads(capsys.readouterr().out)]

    assert found() == ["02", "01"]
    assert found("--unsettled") == found("--tenant", "acme") == found("--operation", "/b") == ["02"]


def test_prune_lets_go_of_what_is_due(database: Database) -> None:
    store = MariaDBStore(database.url())
    for name in ("a", "b"):
        settled(store, name, kept_ms=1000)
    settled(store, "for ever")
    there = administration(database.url())
    due = there.due(NOW_UNIX_MS + 1000)
    assert (due.answers, due.claims) == (0, 2)
    assert [there.prune(NOW_UNIX_MS + 1000), there.prune(NOW_UNIX_MS + 1000)] == [2, 0]
    assert database.claims == 1
    there.close()
    store.close()


def test_an_export_is_read_in_pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from tocsin.guard._admin import Chosen  # noqa: PLC0415
    from tocsin.guard.stores.mariadb import _admin  # noqa: PLC0415  its page is a constant of the module

    monkeypatch.setattr(_admin, "_PAGE", 2)
    store = MariaDBStore(database.url())
    names = [str(number) for number in range(5)]
    for name in names:
        settled(store, name)
    found = [one.key for one in administration(database.url()).all(Chosen(), with_answers=True)]
    assert found == sorted(claim(name).key for name in names)
    store.close()


def test_migrate_makes_the_tables_and_says_its_sql(
    empty: Database, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAIMS_URL", empty.url())
    assert main(["claims", "list", "--mariadb-env", "CLAIMS_URL"]) == 2
    assert "tocsin claims migrate" in capsys.readouterr().err
    assert main(["claims", "migrate", "--mariadb-env", "CLAIMS_URL", "--sql"]) == 0
    assert "ENGINE=InnoDB" in capsys.readouterr().out
    assert main(["claims", "migrate", "--mariadb-env", "CLAIMS_URL"]) == 0
    assert main(["claims", "list", "--mariadb-env", "CLAIMS_URL"]) == 0


def test_no_message_shows_the_password(database: Database, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database.url().replace("tocsin@", f"nobody:{QUOTED}@")
    assert administration(url).holds_secret
    assert not administration(database.url()).holds_secret
    assert main(["claims", "list", "--mariadb", url]) == 2
    assert PASSWORD not in capsys.readouterr().err
    monkeypatch.setenv("CLAIMS_URL", url)
    assert main(["claims", "list", "--mariadb-env", "CLAIMS_URL"]) not in {0, 2}
    shown = capsys.readouterr().err
    assert PASSWORD not in shown
    assert QUOTED not in shown
    with pytest.raises(StoreUnavailable):
        administration(url).prune(0)
    with pytest.raises(GuardError):
        administration("mariadb://x")
