"""`tocsin claims` on PostgreSQL: what is different there. Everything else is in tests/cli/test_claims.py."""

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest

from lab._postgres import free_port
from tests.guard.postgres.cluster import Cluster, Database
from tests.guard.postgres.shop import PostgresShop
from tests.guard.test_flask_concurrency import together
from tocsin.cli import main
from tocsin.guard import StoreUnavailable, json_pointer, sequence
from tocsin.guard.stores import Granted
from tocsin.guard.stores.postgres import PostgresStore, schema_sql
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

Output = pytest.CaptureFixture[str]
Tocsin = Callable[..., int]
PASSWORD = "p@ss/word 1"


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Database]:
    """A database without any table."""
    made = cluster.create("unmigrated")
    yield made
    Database(cluster.port, "postgres").query("DROP DATABASE unmigrated WITH (FORCE)")


@pytest.fixture
def tocsin(database: Database, monkeypatch: pytest.MonkeyPatch) -> Tocsin:
    """Runs `tocsin claims` on the database."""
    monkeypatch.setenv("CLAIMS_DSN", database.conninfo())

    def run(subcommand: str, *arguments: str) -> int:
        return main(["claims", subcommand, "--postgres-env", "CLAIMS_DSN", *arguments])

    return run


def keep(store: PostgresStore, name: str, kept_ms: int | None = None) -> str:
    taken = store.take(claim(name, kept_ms=kept_ms), 10)
    assert isinstance(taken, Granted)
    taken.settle(ANSWER)
    return claim(name).key.hex()


def test_claims_are_listed_shown_and_exported(shop: PostgresShop, tocsin: Tocsin, capsys: Output) -> None:
    receipt = shop.order("17").get_data(as_text=True)
    assert tocsin("list") == 0
    assert "/order" in capsys.readouterr().out.splitlines()[1]
    assert tocsin("show", "--operation", "/order", "--value", "17", "--json") == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert tocsin("export") == 0
    text = capsys.readouterr().out
    assert json.loads(text) == shown
    assert receipt not in text
    assert tocsin("export", "--answers") == 0
    assert json.loads(capsys.readouterr().out)["body_base64"] is not None


def test_streams_are_listed_and_counted(make_shop: Callable[..., PostgresShop], tocsin: Tocsin, capsys: Output) -> None:
    shop = make_shop(guard={"sequence": sequence(number=json_pointer("/version"))})
    assert {shop.order(f"{version}", version=version).status_code for version in (41, 7)} == {201, 200}
    assert tocsin("streams") == 0
    _, stream, count = capsys.readouterr().out.splitlines()
    assert stream.split()[3:] == ["41", "main", "/order"]
    assert count.startswith("1 in all")


def test_filters_are_the_same(database: Database, tocsin: Tocsin, capsys: Output) -> None:
    database.query(
        "INSERT INTO tocsin_claims (key, version, tenant, operation, taken_unix_ms, status) VALUES "
        "('\\x01', 1, 'main', '/a', 1000, 200), ('\\x02', 1, 'acme', '/b', 2000, NULL)"
    )

    def found(*options: str) -> list[str]:
        assert tocsin("list", "--json", *options) == 0
        return [one["key"] for one in json.loads(capsys.readouterr().out)]

    assert found() == ["02", "01"]
    assert found("--unsettled") == found("--tenant", "acme") == found("--operation", "/b") == ["02"]
    assert found("--since", "1970-01-01T00:00:02") == found("--limit", "1") == ["02"]


def test_an_export_reads_page_after_page_without_a_transaction(
    database: Database, tocsin: Tocsin, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.guard.stores.postgres._admin._PAGE", 2)
    database.query(
        "INSERT INTO tocsin_claims (key, version, tenant, operation, taken_unix_ms) "
        "SELECT sha256(n::text::bytea), 1, 'main', '/a', n FROM generate_series(1, 5) n"
    )
    assert tocsin("export") == 0
    keys = [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()]
    assert keys == sorted(keys)
    assert len(set(keys)) == 5
    assert tocsin("show", keys[2][:9]) == 0


def test_pruning_lets_go_of_what_is_due_and_of_nothing_else(
    make_store: Callable[..., PostgresStore], database: Database, tocsin: Tocsin, capsys: Output
) -> None:
    store = make_store()
    keep(store, "due", kept_ms=1)
    kept = keep(store, "for ever")
    database.query(
        "INSERT INTO tocsin_claims (key, version, tenant, operation, taken_unix_ms, claim_until_unix_ms, due_unix_ms) "
        "VALUES ('\\x01', 1, 'main', '/unsettled', 1, 1, 1)"
    )
    long_ago = "1970-01-02"
    assert tocsin("prune", "--dry-run", "--before", long_ago) == 0
    assert capsys.readouterr().out == "due: 0 answers and 0 claims\n"
    later = NOW_UNIX_MS + 10
    database.query("UPDATE tocsin_claims SET claim_until_unix_ms = 5, due_unix_ms = 5 WHERE due_unix_ms < %s", later)
    assert tocsin("prune", "--before", long_ago) == 0
    assert capsys.readouterr().out == "pruned 0 answers and 1 claims\n"
    left = {key.hex() for (key,) in database.query("SELECT key FROM tocsin_claims")}
    assert left == {kept, "01"}
    assert database.value("SELECT count(*) FROM tocsin_forgotten") == 1


def test_migrating_at_once_from_many_processes_makes_the_tables_once(
    empty: Database, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("CLAIMS_DSN", empty.conninfo())
    arguments = ["claims", "migrate", "--postgres-env", "CLAIMS_DSN"]
    assert main([*arguments, "--sql"]) == 0
    assert capsys.readouterr().out == schema_sql()
    assert main(["claims", "prune", "--postgres-env", "CLAIMS_DSN"]) == 2
    error = capsys.readouterr().err
    assert error == "tocsin: the database has no claims of a guard; `tocsin claims migrate` makes the tables\n"
    assert together(8, lambda: main(arguments)) == [0] * 8
    assert empty.value("SELECT count(*) FROM tocsin_claims") == 0


def test_a_password_on_the_command_line_is_refused_and_not_repeated(capsys: Output) -> None:
    """Every process of the machine could read it."""
    for dsn in ("postgresql://shop:hunter22@127.0.0.1/shop", "host=127.0.0.1 password=hunter22"):
        assert main(["claims", "list", "--postgres", dsn]) == 2
        error = capsys.readouterr().err
        assert "wanted --postgres-env NAME" in error
        assert "hunter22" not in error


def test_a_dsn_without_a_password_may_stand_on_the_command_line(database: Database) -> None:
    assert main(["claims", "list", "--postgres", database.conninfo()]) == 0


def test_a_connection_string_that_cannot_be_read_is_not_quoted(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("CLAIMS_DSN", "hosst=x password=hunter22")
    assert main(["claims", "list", "--postgres-env", "CLAIMS_DSN"]) == 2
    error = capsys.readouterr().err
    assert "cannot be read; wanted such as" in error
    assert "hunter22" not in error


def test_a_server_that_is_not_there_is_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("CLAIMS_DSN", f"postgresql://shop:hunter22@127.0.0.1:{free_port()}/shop?connect_timeout=2")
    for subcommand in ("list", "migrate"):
        assert main(["claims", subcommand, "--postgres-env", "CLAIMS_DSN"]) == 3
        error = capsys.readouterr().err
        assert error.startswith("tocsin: PostgreSQL: ")
        assert error.count("\n") == 1
        assert "hunter22" not in error


@pytest.mark.parametrize("spelled", [PASSWORD, "p%40ss%2Fword%201"])
@pytest.mark.parametrize("kind", [psycopg.OperationalError, StoreUnavailable])
def test_a_password_in_an_error_is_masked_however_it_is_spelled(
    kind: type[Exception], spelled: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise kind(f"no route to postgresql://shop:{spelled}@db\nDETAIL: {spelled}")

    monkeypatch.setattr(psycopg, "connect", fails)
    monkeypatch.setenv("CLAIMS_DSN", "postgresql://shop:p%40ss%2Fword%201@127.0.0.1/shop")
    assert main(["claims", "list", "--postgres-env", "CLAIMS_DSN"]) == 3
    assert capsys.readouterr().err == "tocsin: PostgreSQL: no route to postgresql://shop:***@db DETAIL: ***\n"


def test_an_error_that_is_not_masked_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("tocsin.guard.stores.postgres._admin._SECRETS", ())
    with pytest.raises(AssertionError):
        test_a_password_in_an_error_is_masked_however_it_is_spelled(
            psycopg.OperationalError, PASSWORD, monkeypatch, capsys
        )
