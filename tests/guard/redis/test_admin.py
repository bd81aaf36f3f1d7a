"""`tocsin claims` on Redis: what is different there. Everything else is in tests/cli/test_claims.py."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.guard.redis.server import RedisServer
from tocsin.cli import main
from tocsin.guard.stores import Granted
from tocsin.guard.stores.redis import RedisStore
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

Output = pytest.CaptureFixture[str]
Tocsin = Callable[..., int]


@pytest.fixture
def tocsin(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Tocsin:
    monkeypatch.setenv("CLAIMS_URL", server.url)
    return lambda subcommand, *arguments: main(["claims", subcommand, "--redis-env", "CLAIMS_URL", *arguments])


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    made = RedisStore(server.url, may_run_again=False)
    yield made
    made.close()


def keep(store: RedisStore, name: str, kept_ms: int | None = None, at: int = 0) -> str:
    wanted = claim(name, taken_unix_ms=NOW_UNIX_MS + at, kept_ms=kept_ms)
    taken = store.take(wanted, 10)
    assert isinstance(taken, Granted)
    taken.settle(ANSWER)
    return wanted.key.hex()


def told(capsys: Output) -> list[str]:
    return [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()]


def test_claims_are_listed_shown_and_exported(store: RedisStore, tocsin: Tocsin, capsys: Output) -> None:
    old, new = keep(store, "old"), keep(store, "new", at=1)
    assert isinstance(store.take(claim("held"), 10), Granted)
    assert tocsin("list", "--limit", "1", "--json") == 0
    assert [one["key"] for one in json.loads(capsys.readouterr().out)] == [new]
    assert tocsin("show", old[:8], "--json") == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["key"], shown["status"]) == (old, ANSWER.status)
    assert tocsin("export") == 0
    assert set(told(capsys)) == {old, new}
    assert tocsin("export", "--answers", "--operation", "/order") == 0
    assert b"done".hex() not in capsys.readouterr().err


def test_what_was_lost_with_its_holder_is_shown_as_unsettled(
    store: RedisStore, server: RedisServer, tocsin: Tocsin, capsys: Output
) -> None:
    keep(store, "settled")
    store.take(claim("killed"), 10)
    server.end_leases()
    store.take(claim("killed"), 10)
    assert tocsin("list", "--unsettled", "--json") == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["key"] == claim("killed").key.hex()


def test_there_are_no_streams_to_list(tocsin: Tocsin, capsys: Output) -> None:
    assert tocsin("streams") == 2
    assert "Redis keeps no streams" in capsys.readouterr().err


def test_what_is_due_is_counted_and_let_go(store: RedisStore, tocsin: Tocsin, capsys: Output) -> None:
    keep(store, "due", kept_ms=1)
    kept = keep(store, "for ever")
    assert tocsin("prune", "--dry-run") == 0
    assert "1" in capsys.readouterr().out
    assert tocsin("prune") == 0
    capsys.readouterr()
    assert tocsin("export") == 0
    assert told(capsys) == [kept]


def test_migrating_makes_nothing_and_refuses_a_server_that_evicts(
    server: RedisServer, tocsin: Tocsin, capsys: Output
) -> None:
    assert tocsin("migrate", "--sql") == 0
    assert capsys.readouterr().out.startswith("--")
    assert tocsin("migrate") == 0
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert tocsin("migrate") == 2
    assert "wanted noeviction" in capsys.readouterr().err
    assert server.ask("DBSIZE") == 0


def test_a_password_does_not_stand_on_a_command_line(capsys: Output) -> None:
    assert main(["claims", "list", "--redis", "redis://:hunter2@127.0.0.1:1/0"]) == 2
    error = capsys.readouterr().err
    assert "--redis-env NAME" in error
    assert "hunter2" not in error


def test_a_server_that_is_not_there_is_exit_code_3(capsys: Output) -> None:
    assert main(["claims", "list", "--redis", "redis://127.0.0.1:1/0"]) == 3
    assert "Redis: " in capsys.readouterr().err
