"""`tocsin claims` on a SQLite file; on PostgreSQL it is tested where the server is, in tests/guard/postgres."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.guard.shop import NOW, Shop
from tocsin.cli import COMMANDS, _claims_text, claims, main
from tocsin.guard import body_digest, claim_key
from tocsin.guard._admin import Kept
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Granted, Position
from tocsin.guard.stores.sqlite import SQLiteStore

DAY_MS = 86_400_000
NOW_MS = round(NOW * 1000)

Output = pytest.CaptureFixture[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


@pytest.fixture
def shop(path: Path) -> Iterator[Shop]:
    made = Shop(path)
    yield made
    made.store.close()


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day after the shop's clock."""
    monkeypatch.setattr(claims, "_now_ms", lambda: NOW_MS + DAY_MS)


def put(path: Path, value: str, **said: object) -> bytes:
    """Keep a claim, as a guard would; returns its key."""
    given = {"tenant": "main", "operation": "/order", "taken": NOW_MS, "answer": None, "claim": None, "status": 201}
    given |= said
    key = claim_key(str(given["tenant"]), str(given["operation"]), "string", value.encode())
    store = SQLiteStore(path)
    until = (given["answer"], given["claim"])
    taken = store.take(Claim(key, given["tenant"], given["operation"], b"R1", given["taken"], *until, None), 1)  # type: ignore[arg-type]
    assert isinstance(taken, Granted)
    taken.settle(StoredAnswer(int(str(given["status"])), b"[]", b"done"))
    store.close()
    return key


def unsettle(path: Path) -> None:
    """What no guard on SQLite leaves behind: a claim without an answer."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE tocsin_claims SET status = NULL, headers = NULL, body = NULL, due_unix_ms = NULL")


def run(path: Path, *arguments: str) -> int:
    subcommand, *rest = arguments
    return main(["claims", subcommand, "--sqlite", str(path), *rest])


def said(output: Output, path: Path, *arguments: str) -> str:
    assert run(path, *arguments) == 0
    return output.readouterr().out


def refusal(output: Output, arguments: Sequence[str]) -> tuple[int, str]:
    code = main(["claims", *arguments])
    return code, output.readouterr().err


def test_the_command_is_registered() -> None:
    assert COMMANDS["claims"] is claims


def test_the_list_is_a_table_of_80_columns_with_the_newest_first(path: Path, capsys: Output) -> None:
    put(path, "17")
    put(path, "18", tenant="a tenant with a long name", operation="/a/path/that/is/far/too/long/<for>/the/table")
    put(path, "19", taken=NOW_MS + 1000, answer=NOW_MS, claim=NOW_MS + 9 * DAY_MS)
    lines = said(capsys, path, "list").splitlines()
    assert lines[0].split() == ["KEY", "TAKEN", "(UTC)", "STATUS", "STATE", "TENANT", "OPERATION"]
    assert lines[1].split()[1:] == ["2026-09-21", "14:13:21", "201", "tombstone", "main", "/order"]
    assert lines[2].endswith("...")
    assert max(map(len, lines)) == 80


def test_a_list_of_nothing_is_its_head(path: Path, capsys: Output) -> None:
    SQLiteStore(path).close()
    assert said(capsys, path, "list").splitlines() == ["KEY  TAKEN (UTC)  STATUS  STATE  TENANT  OPERATION"]


def test_streams_are_listed_with_their_numbers_and_counted(path: Path, capsys: Output) -> None:
    with closing(SQLiteStore(path)) as store:
        for number, position in enumerate([Position(b"a" * 32, 41), Position(b"b" * 32, 7)]):
            taken = store.take(
                Claim(bytes([number]) * 32, "main", "/stock", None, NOW_MS, None, None, None, position), 1
            )
            assert isinstance(taken, Granted)
            assert taken.advance(1)
            taken.settle(StoredAnswer(200, b"[]", b""))
    head, *lines, count = said(capsys, path, "streams").splitlines()
    assert head.split() == ["STREAM", "MOVED", "(UTC)", "NUMBER", "TENANT", "OPERATION"]
    assert [line.split()[3:] for line in lines] == [["41", "main", "/stock"], ["7", "main", "/stock"]]
    assert count == "2 in all, kept for ever"
    [first] = json.loads(said(capsys, path, "streams", "--json", "--limit", "1"))
    assert (first["stream"], first["number"], first["moved_unix_ms"]) == ((b"a" * 32).hex(), 41, NOW_MS)


def test_a_file_without_streams_is_listed_and_pruned_all_the_same(path: Path, capsys: Output) -> None:
    """As an older version of the guard, or a service in another language, has made it."""
    put(path, "17")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TABLE tocsin_sequences")
    assert len(said(capsys, path, "list").splitlines()) == 2
    code, error = refusal(capsys, ["streams", "--sqlite", str(path)])
    assert (code, "`tocsin claims migrate` makes the tables" in error) == (2, True)
    said(capsys, path, "migrate")
    assert said(capsys, path, "streams").endswith("0 in all, kept for ever\n")


def test_the_list_is_filtered_and_limited(path: Path, capsys: Output) -> None:
    keys = [
        put(path, "1"),
        put(path, "2", tenant="acme"),
        put(path, "3", operation="/refund"),
        put(path, "4", taken=NOW_MS + DAY_MS),
    ]

    def found(*options: str) -> list[int]:
        listed = json.loads(said(capsys, path, "list", "--json", *options))
        return sorted(keys.index(bytes.fromhex(one["key"])) + 1 for one in listed)

    assert found("--tenant", "acme") == [2]
    assert found("--operation", "/refund") == [3]
    assert found("--since", "2026-09-22T00:00") == [4]
    assert found("--since", "2026-09-22T02:00+02:00") == [4]
    assert found("--limit", "1") == [4]
    assert found("--unsettled") == []
    assert found() == [1, 2, 3, 4]
    unsettle(path)
    assert found("--unsettled", "--tenant", "acme") == [2]


def test_a_since_may_be_an_age(path: Path, capsys: Output) -> None:
    put(path, "old")
    assert json.loads(said(capsys, path, "list", "--json", "--since", "1s")) == []
    assert len(json.loads(said(capsys, path, "list", "--json", "--since", "99999d"))) == 1


def test_unsettled_claims_are_shown_as_applied_with_an_unknown_answer(path: Path, capsys: Output) -> None:
    key = put(path, "17")
    unsettle(path)
    assert said(capsys, path, "list", "--unsettled").splitlines()[1].split()[3:5] == ["?", "unsettled"]
    shown = said(capsys, path, "show", key.hex())
    assert "state        unsettled: applied, answer unknown; a duplicate gets 500, and nothing runs it again\n" in shown
    assert "status       unknown\n" in shown


def test_a_claim_is_shown_by_its_key_or_its_first_digits(path: Path, capsys: Output) -> None:
    key = put(path, "17", claim=NOW_MS + 2 * DAY_MS)
    whole = said(capsys, path, "show", key.hex())
    assert whole == (
        f"key          {key.hex()}\n"
        "tenant       main\n"
        "operation    /order\n"
        "state        answered: a duplicate gets the stored answer\n"
        "taken        2026-09-21 14:13:20 UTC\n"
        "status       201\n"
        "body         4 bytes\n"
        "answer kept  for ever\n"
        "claim kept   until 2026-09-23 14:13:20 UTC\n"
        "fingerprint  5231\n"
        "version      1\n"
    )
    for digits in (key.hex()[:7], key.hex()[:7].upper()):
        assert said(capsys, path, "show", digits) == whole


def test_an_order_is_looked_up_by_its_id(shop: Shop, capsys: Output) -> None:
    """Text and number are different messages, and a person who looks for one may have sent the other."""
    shop.order("17")
    shop.order(17)
    text = said(capsys, shop.path, "show", "--operation", "/order", "--value", "17")
    assert [line for line in text.splitlines() if line.startswith("key ")] == [
        f"key          {claim_key('main', '/order', tag, b'17').hex()}" for tag in ("string", "integer")
    ]
    assert len(json.loads(said(capsys, shop.path, "show", "--operation", "/order", "--value", "17", "--json"))) == 2
    assert run(shop.path, "show", "--operation", "/order", "--value", "17", "--tenant", "acme") == 1
    assert run(shop.path, "show", "--operation", "/order", "--value", "x17") == 1
    assert capsys.readouterr().out == 2 * "no such claim: nothing was applied under this key, or it has been let go\n"


def test_digits_that_several_keys_begin_with_are_refused(path: Path, capsys: Output) -> None:
    keys = [put(path, str(number)).hex() for number in range(17)]
    digit = next(key[0] for key in keys if sum(other[0] == key[0] for other in keys) > 1)
    code, error = refusal(capsys, ["show", "--sqlite", str(path), digit])
    assert (code, error) == (2, f"tocsin: '{digit}' is the beginning of several keys; wanted more of its digits\n")


def test_pruning_lets_go_of_what_is_due_and_keeps_tombstones_and_everything_else(path: Path, capsys: Output) -> None:
    gone = put(path, "gone", answer=NOW_MS + 1, claim=NOW_MS + 1)
    stripped = put(path, "stripped", answer=NOW_MS + 1)
    kept = put(path, "kept", answer=NOW_MS + 2 * DAY_MS)
    for_ever = put(path, "for ever")
    assert said(capsys, path, "prune", "--dry-run") == "due: 1 answers and 1 claims\n"
    assert said(capsys, path, "prune", "--dry-run", "--before", "2026-09-21") == "due: 0 answers and 0 claims\n"
    assert len(json.loads(said(capsys, path, "list", "--json"))) == 4
    assert said(capsys, path, "prune") == "pruned 1 answers and 1 claims\n"
    states = {one["key"]: one["state"] for one in json.loads(said(capsys, path, "list", "--json"))}
    assert states == {stripped.hex(): "tombstone", kept.hex(): "answered", for_ever.hex(): "answered"}
    assert gone.hex() not in states
    assert said(capsys, path, "prune") == "pruned 0 answers and 0 claims\n"


def test_pruning_never_touches_a_claim_without_an_answer(path: Path, capsys: Output) -> None:
    """Nobody knows what its sender was told."""
    put(path, "17", answer=NOW_MS + 1, claim=NOW_MS + 1)
    unsettle(path)
    said(capsys, path, "prune")
    assert len(json.loads(said(capsys, path, "list", "--json", "--unsettled"))) == 1


def test_what_is_pruned_cannot_take_effect_again_when_the_clock_goes_back(path: Path, capsys: Output) -> None:
    put(path, "17", answer=NOW_MS + 1, claim=NOW_MS + 1)
    said(capsys, path, "prune")
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT tenant, operation, taken_unix_ms FROM tocsin_forgotten").fetchall() == [
            ("main", "/order", NOW_MS)
        ]


def test_pruning_goes_on_until_nothing_is_due(path: Path, capsys: Output) -> None:
    """A sweep of the store is short, because everybody else waits for it."""
    put(path, "17", answer=NOW_MS + 1, claim=NOW_MS + 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(
            "INSERT INTO tocsin_claims (key, version, tenant, operation, taken_unix_ms, claim_until_unix_ms, "
            "due_unix_ms, status) SELECT randomblob(32), 1, 'main', '/order', 1, 1, 1, 200 "
            "FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) SELECT i FROM n)"
        )
    assert said(capsys, path, "prune") == "pruned 0 answers and 1201 claims\n"
    assert json.loads(said(capsys, path, "list", "--json")) == []


def test_pruning_waits_for_a_busy_store_and_not_for_ever(
    path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, "17", claim=NOW_MS + 1)
    monkeypatch.setattr(claims, "_ATTEMPTS", 2)
    monkeypatch.setattr(claims, "_PAUSE_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        code, error = refusal(capsys, ["prune", "--sqlite", str(path)])
    assert code == 3
    assert "holds the write lock" in error
    assert error.count("\n") == 1


def test_a_time_in_the_future_would_prune_what_must_be_kept(path: Path, capsys: Output) -> None:
    put(path, "17", claim=NOW_MS + 9 * DAY_MS)
    code, error = refusal(capsys, ["prune", "--sqlite", str(path), "--before", "2027-01-01"])
    assert (code, error) == (
        2,
        "tocsin: --before 2027-01-01: in the future; what is not due yet must be kept\n",
    )


def test_migrate_makes_the_tables_and_prints_what_makes_them(tmp_path: Path, capsys: Output) -> None:
    made, by_hand = tmp_path / "made.db", tmp_path / "by-hand.db"
    assert said(capsys, made, "migrate") == "the tables are there\n"
    assert said(capsys, made, "migrate") == "the tables are there\n"
    with closing(sqlite3.connect(by_hand, isolation_level=None)) as db:
        for _ in range(2):
            db.executescript(said(capsys, made, "migrate", "--sql"))

    def schema(path: Path) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(path)) as db:
            tables = db.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
            return [*tables, *db.execute("PRAGMA journal_mode").fetchall()]

    assert schema(made) == schema(by_hand)


def test_printing_the_sql_changes_nothing(path: Path, capsys: Output) -> None:
    assert "CREATE TABLE IF NOT EXISTS tocsin_claims" in said(capsys, path, "migrate", "--sql")
    assert not path.exists()


def test_an_export_is_a_line_a_claim_without_anybodys_answer(shop: Shop, capsys: Output) -> None:
    receipt = shop.order("17").get_json()["receipt"]
    shop.order("18")
    text = said(capsys, shop.path, "export")
    exported = [json.loads(line) for line in text.splitlines()]
    assert [one["operation"] for one in exported] == ["/order", "/order"]
    assert receipt not in text
    assert not {"headers_base64", "body_base64"} & exported[0].keys()


def test_an_export_with_answers_holds_the_stored_bytes(shop: Shop, capsys: Output) -> None:
    body = shop.order("17").data
    exported = json.loads(said(capsys, shop.path, "export", "--answers"))
    assert base64.b64decode(exported["body_base64"]) == body
    assert b"Content-Type" in base64.b64decode(exported["headers_base64"])


def test_an_answer_that_has_gone_is_null_in_an_export(path: Path, capsys: Output) -> None:
    put(path, "17", answer=NOW_MS + 1)
    said(capsys, path, "prune")
    exported = json.loads(said(capsys, path, "export", "--answers"))
    assert (exported["body_base64"], exported["body_bytes"], exported["state"]) == (None, None, "tombstone")


def test_an_export_reads_a_bounded_number_at_a_time(
    path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its reader does not keep SQLite's log from being reset."""
    monkeypatch.setattr("tocsin.guard.stores.sqlite._admin._PAGE", 2)
    keys = {put(path, str(number)).hex() for number in range(5)}
    exported = [json.loads(line)["key"] for line in said(capsys, path, "export").splitlines()]
    assert len(exported) == 5
    assert set(exported) == keys


def test_no_secret_and_no_value_of_a_key_is_in_anything_that_is_said(shop: Shop, capsys: Output) -> None:
    shop.order("the-order-of-alice")
    key = claim_key("main", "/order", "string", b"the-order-of-alice").hex()
    everything = "".join(said(capsys, shop.path, *arguments) for arguments in (["list"], ["show", key], ["export"]))
    assert "a secret of the tests" not in everything
    assert "the-order-of-alice" not in everything


def test_names_that_somebody_wrote_into_the_table_cannot_move_the_cursor(path: Path, capsys: Output) -> None:
    key = put(path, "17", tenant="a\x1b[2J", operation="/b\n\u202e")
    for arguments in (["list"], ["show", key.hex()]):
        text = said(capsys, path, *arguments)
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert json.loads(said(capsys, path, "export"))["tenant"] == "a\x1b[2J"


def test_a_terminal_that_knows_ascii_only_is_told_the_rest_in_escapes(path: Path) -> None:
    put(path, "17", tenant="\u5e97")
    code = "import sys; from tocsin.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "claims", "list", "--sqlite", str(path)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert r"\u5e97" in subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_a_claim_by_a_digest_is_listed_like_any_other(path: Path, capsys: Output) -> None:
    shop = Shop(path, route={"key": body_digest(days=3)})
    shop.order("17")
    shop.store.close()
    assert json.loads(said(capsys, path, "list", "--json"))[0]["claim_until_unix_ms"] == NOW_MS + 3 * DAY_MS


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["list", "--limit", "0"], "--limit 0: wanted 1 or more"),
        (["streams", "--limit", "9" * 20], f"--limit {'9' * 20}: wanted at most 1000000000"),
        (["list", "--since", "soon"], "--since 'soon': wanted a time such as"),
        (["list", "--since", "999999d"], "--since '999999d': wanted a time such as"),
        (["show"], "wanted KEY, or both --operation NAME and --value ID"),
        (["show", "--value", "17"], "wanted KEY, or both --operation NAME and --value ID"),
        (["show", "xyz"], "'xyz' is no key; wanted 1 to 64 hexadecimal digits"),
        (["show", "ab", "--operation", "/order"], "KEY and --operation, --value, --tenant exclude each other"),
        (["show", "--operation", "/order", "--value", "\udcff"], r"--value '\udcff': wanted text in UTF-8"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_one_line(
    path: Path, capsys: Output, arguments: list[str], error: str
) -> None:
    SQLiteStore(path).close()
    subcommand, *rest = arguments
    code, said_instead = refusal(capsys, [subcommand, "--sqlite", str(path), *rest])
    assert code == 2
    assert said_instead.startswith(f"tocsin: {error}")
    assert said_instead.count("\n") == 1


@pytest.mark.parametrize("subcommand", ["list", "export", "prune"])
def test_a_file_that_is_not_there_is_named_and_not_made(path: Path, capsys: Output, subcommand: str) -> None:
    code, error = refusal(capsys, [subcommand, "--sqlite", str(path)])
    assert (code, error) == (2, f"tocsin: {path} is no file; wanted the path of a database file\n")
    assert not path.exists()


def test_somebodys_database_without_claims_is_left_as_it_is(path: Path, capsys: Output) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE theirs (id)")
    before = path.read_bytes()
    code, error = refusal(capsys, ["prune", "--sqlite", str(path)])
    assert code == 2
    assert error.endswith("has no claims of a guard; `tocsin claims migrate` makes the tables\n")
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_no_verdict(path: Path, capsys: Output) -> None:
    path.write_bytes(b"no database" * 100)
    code, error = refusal(capsys, ["list", "--sqlite", str(path)])
    assert code == 3
    assert error == f"tocsin: {path} cannot be read: file is not a database\n"


def test_the_store_may_be_named_by_the_environment(path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, "17")
    monkeypatch.setenv("CLAIMS", str(path))
    assert main(["claims", "export", "--sqlite-env", "CLAIMS"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == 201
    monkeypatch.delenv("CLAIMS")
    assert refusal(capsys, ["export", "--sqlite-env", "CLAIMS"]) == (
        2,
        "tocsin: --sqlite-env: the environment has no CLAIMS\n",
    )


def test_exactly_one_store_is_wanted(path: Path) -> None:
    for arguments in ([], ["--sqlite", str(path), "--postgres", "host=x"]):
        with pytest.raises(SystemExit) as exited:
            main(["claims", "list", *arguments])
        assert exited.value.code == 2


def test_a_missing_driver_names_the_extra(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tocsin.guard.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    code, error = refusal(capsys, ["list", "--postgres", "host=x"])
    assert code == 2
    assert error.startswith("tocsin: --postgres: ")
    assert error.endswith("wanted: pip install 'tocsin[postgres]'\n")


def test_on_sqlite_the_command_needs_nothing_but_the_base_install(path: Path) -> None:
    put(path, "17")
    code = (
        "import sys; sys.meta_path.insert(0, type('No', (), {'find_spec': staticmethod(lambda name, *_: "
        "(_ for _ in ()).throw(ModuleNotFoundError(name)) if name.split('.')[0] in "
        "{'rich', 'jinja2', 'h11', 'flask', 'psycopg', 'markupsafe'} else None)}));"
        "from tocsin.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "claims", "list", "--sqlite", str(path)]
    assert "/order" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_time_that_no_calendar_has_is_shown_as_a_number() -> None:
    kept = Kept(bytes(32), 1, "main", "/order", None, 10**18, None, None, 200, 0)
    assert dict(_claims_text.facts(kept, 0))["taken"] == f"{10**18} ms"


def test_a_prune_that_did_not_look_at_the_clock_is_noticed(
    path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_now_ms", lambda: 10**15)
    with pytest.raises(AssertionError):
        test_a_time_in_the_future_would_prune_what_must_be_kept(path, capsys)


def test_a_table_that_did_not_escape_is_noticed(path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_claims_text, "line", str)
    with pytest.raises(AssertionError):
        test_names_that_somebody_wrote_into_the_table_cannot_move_the_cursor(path, capsys)
