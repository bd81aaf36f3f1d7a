"""Where effects show, beside a read endpoint: each oracle on a service that races and on one that does not."""

import http.client
import os
import socket
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from select import select
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from lab._postgres import missing
from tests.guard.postgres.cluster import Cluster
from tests.scan.services.desk import Desk
from tests.scan.services.oracled import (
    Answering,
    AnsweringTwice,
    AnswersAlike,
    AnswersAtRandom,
    EchoesTwice,
    Notifies,
    NotifiesTwice,
    SingleFlight,
    SingleFlightOfFewWords,
    Written,
    WrittenTwice,
)
from tests.scan.services.plans import plan
from tests.scan.services.scanning import BEFORE, DUPLICATES, Scan, scan
from tocsin.findings import Verdict
from tocsin.scan import RailError, authorise
from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import Query, Sink, State
from tocsin.scan._template import Template
from tocsin.scan.oracles import OPENERS, AnswerClasses, SinkReading
from tocsin.wire import Response

SQL = {"sql": "SELECT COUNT(*) FROM orders WHERE id = {{uuid}}", "database": "sqlite:orders.db", "settle_ms": 0}
FILE = {"file": "orders.log", "containing": '"applied": "{{uuid}}"', "settle_ms": 0}
# grep tells by its status that it found nothing, which is a number too.
COUNTING = 'grep -c "$1" orders.log || true'
COMMAND = {"command": ["sh", "-c", COUNTING, "sh", "{{uuid}}"], "settle_ms": 0}
ANSWERS = {"answers": True, "settle_ms": 0}
pytestmark = pytest.mark.usefixtures("brisk")


def shown(desk: Desk, state: dict[str, Any], *checks: str, folder: Path = Path(), **changed: Any) -> Scan:
    return scan(desk, *checks, state=[state], folder=folder, limits=None, **changed)


@pytest.mark.parametrize("state", [SQL, FILE, COMMAND], ids=["sql", "file", "command"])
def test_a_query_a_file_and_a_command_show_an_effect_too_many_and_the_right_number(
    state: dict[str, Any], tmp_path: Path
) -> None:
    once = shown(Written(tmp_path), state, BEFORE, folder=tmp_path)
    assert once.finding.verdict is Verdict.NOT_OBSERVED
    assert once.fact("control", "effects") == 1
    assert shown(WrittenTwice(tmp_path), state, DUPLICATES, folder=tmp_path).finding.verdict is Verdict.VIOLATED


def test_webhooks_that_the_service_sends_are_counted_for_the_operation_that_they_name() -> None:
    sink = {"sink": "127.0.0.1:0", "pointer": "/order/id", "equals": "{{uuid}}", "settle_ms": 150}
    setup = [{"request": "POST /items", "body": '{"callback":"{{sink_url}}"}', "extract": {"item": "/item"}}]
    desk = Notifies()
    found = shown(desk, sink, BEFORE, setup=setup)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.fact("control", "effects") == 1
    twice = shown(NotifiesTwice(), sink, BEFORE, setup=setup)
    assert "had 2 effects" in twice.finding.evidence.summary
    for thread in desk.threads:
        thread.join()


def test_answers_that_look_as_those_to_a_new_request_are_counted_where_nothing_can_be_read() -> None:
    assert shown(Answering(), ANSWERS, DUPLICATES).finding.verdict is Verdict.NOT_OBSERVED
    found = shown(AnsweringTwice(), ANSWERS, DUPLICATES)
    assert found.finding.verdict is Verdict.VIOLATED


def test_copies_that_all_get_the_answer_of_one_execution_are_one_effect() -> None:
    found = shown(SingleFlight(), ANSWERS, DUPLICATES)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert {burst.effects for burst in found.bursts if not burst.void} == {1}
    assert any(burst.history.statuses()["200"] > 1 for burst in found.bursts)


@pytest.mark.parametrize("desk", [SingleFlightOfFewWords, EchoesTwice])
def test_answers_to_copies_that_say_nothing_of_their_execution_leave_it_open(desk: type[Desk]) -> None:
    finding = shown(desk(), ANSWERS, DUPLICATES).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "nobody can tell one execution from several" in finding.evidence.summary


@pytest.mark.parametrize(
    ("desk", "said"),
    [
        (AnswersAlike(), "a duplicate is answered as a new request is"),
        (AnswersAtRandom(), "two new requests are answered differently"),
    ],
)
def test_answers_that_tell_nothing_are_no_oracle(desk: Desk, said: str) -> None:
    found = shown(desk, ANSWERS, DUPLICATES)
    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert said in found.finding.evidence.summary
    # What was sent to learn from them is undone all the same.
    assert (desk.asked[-1].path, found.ended.left_behind) == ("/__reset", "")


@pytest.mark.parametrize(("kind", "state"), [("sql", SQL), ("file", FILE), ("command", COMMAND)])
def test_what_runs_on_this_machine_runs_if_the_command_line_says_so_and_whatever_the_plan_says(
    kind: str, state: dict[str, Any]
) -> None:
    of = plan(state=[state], reset={"request": "POST /r"})
    for others in ((), tuple({"sql", "file", "command"} - {kind})):
        with pytest.raises(RailError, match=rf"--allow-oracle {kind}"):
            authorise(of, [], accept_effects=None, allow_oracle=others)
    assert authorise(of, [], accept_effects=None, allow_oracle=[kind]) == of
    also = plan(also=[{"request": "POST /b", "state": state}], reset={"request": "POST /r"})
    with pytest.raises(RailError, match=rf"--allow-oracle {kind}"):
        authorise(also, [], accept_effects=None)


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("postgresql://db.example/orders", r"--authorized-for db\.example"),
        ("postgresql://[2001:db8::1]/orders", r"--authorized-for 2001:db8::1"),
        ("postgresql://127.0.0.1/orders?host=db.example", "one host and no other options"),
        ("postgresql://127.0.0.1,db.example/orders", "one host and no other options"),
        ("postgresql://%64b.example/orders", "one host and no other options"),
    ],
)
def test_a_database_is_a_host_like_any_other(database: str, said: str) -> None:
    of = plan(state=[SQL | {"database": database}], reset={"request": "POST /r"})
    with pytest.raises(RailError, match=said):
        authorise(of, [], accept_effects=None, allow_oracle=["sql"])


def state_of(**keys: Any) -> State:
    [found] = plan(state=[keys], variables={"item": {"value": "x"}}).state
    return found


def number(folder: Path, values: dict[str, str] | None = None, **keys: Any) -> int:
    state = state_of(**keys)
    with ExitStack() as closing:
        return int(OPENERS[type(state.source)](state.source, folder, closing)(state, values or {}))


def reason(folder: Path, values: dict[str, str] | None = None, **keys: Any) -> str:
    with pytest.raises(CannotTell) as refused:
        number(folder, values, **keys)
    return str(refused.value)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    Written(tmp_path)
    (tmp_path / "count.json").write_text('{"applied": 7, "rows": [1, 2]}')
    return tmp_path


def test_a_value_from_a_service_is_bound_and_not_part_of_the_query(written: Path) -> None:
    assert number(written, {"item": "' OR 1=1 --"}, sql="SELECT COUNT(*) FROM orders WHERE id = {{item}}",
                  database="sqlite:orders.db") == 0  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "ATTACH 'other.db' AS other",
        "INSERT INTO orders VALUES ('x') RETURNING 1",
        "PRAGMA journal_mode = WAL",
        "SELECT * FROM nothing",
    ],
)
def test_a_query_that_does_more_than_read_fails_and_changes_nothing(statement: str, written: Path) -> None:
    assert reason(written, sql=statement, database="sqlite:orders.db").startswith("the query failed: ")
    assert number(written, sql="SELECT COUNT(*) FROM orders", database="sqlite:orders.db") == 0
    assert not (written / "other.db").exists()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT 1, 2", "wanted one row with one number"),
        ("SELECT 1 UNION SELECT 2", "wanted one row with one number"),
        ("SELECT NULL", "the row holds no number"),
        ("SELECT 'many'", "the row holds no number"),
        ("SELECT 9e999", "the row holds no number"),
    ],
)
def test_a_query_without_one_number_is_no_state(statement: str, said: str, written: Path) -> None:
    assert said in reason(written, sql=statement, database="sqlite:orders.db")


def test_a_database_that_is_not_there_or_not_named_is_said(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason(written, sql="SELECT 1", database="sqlite:none.db").startswith("the database cannot be opened")
    assert "which is not set in the environment" in reason(written, sql="SELECT 1", database="env:NO_SUCH_DB")
    monkeypatch.setenv("SOME_DB", "sqlite:orders.db")
    assert number(written, sql="SELECT 40 + 2", database="env:SOME_DB") == 42
    monkeypatch.setenv("SOME_DB", "oracle:x")
    assert "none that is known" in reason(written, sql="SELECT 1", database="env:SOME_DB")


def test_a_command_prints_a_number_or_a_document_and_has_no_shell(written: Path) -> None:
    assert number(written, command=["printf", "%s", "12"]) == 12
    assert number(written, command=["cat", "count.json"], pointer="/applied") == 7
    assert number(written, command=["cat", "count.json"], pointer="/rows", count=True) == 2
    said = reason(written, {"item": "1; touch pwned"}, command=["printf", "%s", "{{item}}"])
    assert "is not JSON" in said
    assert not (written / "pwned").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["{{item}}"], "a value begins with -, and would be an option"),
        (["no-such-command-here"], "No such file or directory"),
        (["false"], "ended with status 1"),
        (["printf", "\0"], "no command can hold such a value"),
        (["head", "-c", "2000000", "/dev/zero"], "printed more than 1048576 bytes"),
    ],
)
def test_a_command_that_gives_no_number_says_why(command: list[str], said: str, written: Path) -> None:
    assert said in reason(written, {"item": "-rf"}, command=command)


def _has_ended(pid: int) -> bool:
    """Whether a process ends within 20 s, reaped or not: what is killed need not be gone at once."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select([process], [], [], 20)[0])
    finally:
        os.close(process)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when somebody else's child has ended")
def test_a_command_that_does_not_end_is_ended_with_all_that_it_has_started(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.scan.oracles.command._WITHIN_S", 0.1)
    said = reason(written, command=["sh", "-c", "sleep 100 & echo $! > child; wait"])
    assert "did not end within 0.1 s" in said
    child = int((written / "child").read_text())
    assert _has_ended(child)


def test_a_file_is_a_number_a_document_or_lines_and_may_be_absent(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert number(written, file="count.json", pointer="/applied") == 7
    (written / "orders.log").write_text("a x\nb y\na z\n")
    assert number(written, {"item": "a"}, file="orders.log", containing="{{item}} ") == 2
    assert number(written, file="none.log", absent=3, containing="x") == 3
    assert "there is no such file; `absent` says how that reads" in reason(written, file="none.log")
    assert "Is a directory" in reason(written, file=".")
    monkeypatch.setattr("tocsin.scan.oracles.lines._MOST_BYTES", 4)
    assert "is longer than 4 bytes" in reason(written, file="orders.log", containing="x")


@pytest.fixture
def listening() -> Any:
    state = state_of(sink="127.0.0.1:0", pointer="/id", equals="{{item}}")
    assert isinstance(state.source, Sink)
    with ExitStack() as closing:
        reader = OPENERS[Sink](state.source, Path(), closing)
        assert isinstance(reader, SinkReading)
        yield state, reader


def posted(url: str, body: bytes, **headers: str) -> int:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status


def test_a_sink_counts_what_names_the_operation_and_takes_everything_else_too(listening: Any) -> None:
    state, reader = listening
    for body in (b'{"id": "a"}', b'{"id": "b"}', b'{"id": "a"}', b'{"id": 7}', b"[]", b"oops", b'{"id": true}'):
        assert posted(reader.url, body) == 204
    assert [reader(state, {"item": item}) for item in ("a", "b", "7", "c")] == [2, 1, 1, 0]
    assert posted(reader.url, b'{"id": "a"}') == 204
    assert reader(state, {"item": "a"}) == 3


def test_a_sink_refuses_what_is_too_long_or_has_no_length_and_keeps_no_more_than_it_can(
    listening: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, reader = listening
    assert posted(reader.url, b"x" * (8 * 1024 * 1024)) == 413
    assert posted(reader.url, b"", **{"Content-Length": "-1"}) == 413
    with socket.create_connection((urlsplit(reader.url).hostname, urlsplit(reader.url).port)) as gone:
        gone.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx")
    monkeypatch.setattr("tocsin.scan.oracles.sink._MOST_DELIVERIES", 2)
    for _ in range(4):
        assert posted(reader.url, b'{"id": "a"}') == 204
    assert reader(state, {"item": "a"}) == 2


def test_a_port_that_is_taken_is_said_and_every_check_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = shown(Desk(), {"sink": f"127.0.0.1:{port}", "pointer": "/id", "equals": "{{uuid}}"}, BEFORE)
    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert f"nothing can listen on 127.0.0.1:{port}" in found.finding.evidence.summary


def answer(body: str, status: int = 200) -> Response:
    return Response(status, (), body.encode())


def test_ids_instants_and_what_differs_between_two_new_requests_are_left_out_of_an_answers_look() -> None:
    classes = AnswerClasses()
    new = '{{"ok": true, "receipt": "{0}", "at": "2026-01-31T12:00:0{1}Z", "list": [{1}], "n": {1}}}'
    classes.learn(
        answer(new.format("8c6ba1ee-5c3b-4e9c-9d3a-0d6d7f8a1b11", 1)),
        answer(new.format("deadbeefdeadbeef", 2)),
        answer('{"ok": true, "duplicate": true}'),
    )
    for response in (answer(new.format("8c6ba1ee-5c3b-4e9c-9d3a-0d6d7f8a1b13", 7)), answer('{"ok": true}'), None):
        classes.saw(response)
    assert classes.seen == 1
    assert classes.look(answer('{"list": []}')) != classes.look(answer('{"list": 3}'))


def test_an_answer_that_is_no_json_is_looked_at_as_text() -> None:
    classes = AnswerClasses()
    classes.learn(answer("taken as 1700000000001"), answer("taken as 1700000000002"), answer("known"))
    classes.saw(answer("taken as 1700000009999"))
    classes.saw(answer("known"))
    assert classes.seen == 1
    with pytest.raises(CannotTell, match="was not answered"):
        AnswerClasses().learn(None, answer("a"), answer("b"))


def test_an_answer_told_again_is_the_same_execution_and_one_without_a_text_of_its_own_is_in_doubt() -> None:
    classes = AnswerClasses()
    told = '{{"status": "processed", "receipt": "r-{0}"}}'
    classes.learn(answer(told.format("8c6ba1ee5c3b")), answer(told.format("deadbeefde4d")), answer("{}"))
    classes.saw_at_once([answer(told.format("111111111a11"))] * 3 + [answer("{}"), None], "aaaaa")
    assert classes.counted() == 1

    few = AnswerClasses()
    few.learn(answer('{"n": 1}'), answer('{"n": 2}'), answer("{}"))
    few.saw_at_once([answer('{"n": 3}'), answer('{"n": 4}'), answer("{}")], "aab")
    assert few.counted() == 2
    few.saw_at_once([answer('{"n": 5}'), answer('{"n": 5}')], "ab")
    assert few.counted() == 4
    few.saw_at_once([answer('{"n": 5}'), answer('{"n": 5}')], "aa")
    with pytest.raises(CannotTell, match="in the same octets"):
        few.counted()
    assert few.counted() == 6


@pytest.mark.parametrize("nested", ["[{}]", '{{"a": {}}}'], ids=["lists", "objects"])
@pytest.mark.parametrize("times", [90, 110, 900, 10_000])
def test_an_answer_that_is_nested_deeper_than_anybody_designs_is_looked_at_as_text(nested: str, times: int) -> None:
    def deep(inner: str) -> Response:
        before, _, after = nested.format("|").partition("|")
        return answer(before * times + inner + after * times)

    classes = AnswerClasses()
    new = '"8c6ba1ee-5c3b-4e9c-9d3a-0d6d7f8a1b1{}"'
    classes.learn(deep(new.format(1)), deep(new.format(2)), answer('{"known": 1}'))
    classes.saw(deep(new.format(3)))
    classes.saw(answer('{"known": 1}'))
    assert classes.seen == 1
    assert bool(classes.noise) == (times < 100)


@pytest.fixture(scope="module")
def cluster() -> Any:
    """A PostgreSQL server of these tests."""
    if missing():
        pytest.skip(missing())
    with Cluster("fsync=off") as running:
        yield running


def test_a_query_on_postgresql_reads_binds_and_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.database() as database:
        url = database.conninfo()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE notes (id text, cents numeric)")
            connection.execute("INSERT INTO notes VALUES ('100%', 1.50), ('b', 2)")

        def asked(statement: str, **values: str) -> Any:
            # What a libpq string says, a URL says too; the environment may hold either.
            source = Query("env:NOTES_DB", Template(statement))
            with ExitStack() as closing, pytest.MonkeyPatch.context() as patch:
                patch.setattr("tocsin.scan.oracles.sql._WITHIN_S", 1.0)
                patch.setenv("NOTES_DB", f"postgresql://?{urlencode(conninfo_to_dict(url))}")
                state = replace(state_of(sql="SELECT 1", database="sqlite:x"), source=source)
                return OPENERS[Query](source, tmp_path, closing)(state, values)

        assert asked("SELECT SUM(cents) FROM notes") == Decimal("3.50")
        assert asked("SELECT COUNT(*) FROM notes WHERE id = {{item}}", item="100%") == 1
        assert asked("SELECT COUNT(*) FROM notes WHERE id LIKE '%' AND id <> {{item}}", item="' OR 1=1 --") == 2
        for statement in ("DELETE FROM notes RETURNING 1", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"):
            with pytest.raises(CannotTell, match=r"the query failed|wanted one row"):
                asked(statement)
        with pytest.raises(CannotTell, match="the query failed"):
            asked("SELECT pg_sleep(60)")
        assert asked("SELECT COUNT(*) FROM notes") == 2


def test_a_postgresql_that_is_not_there_is_said_without_its_password(tmp_path: Path) -> None:
    said = reason(tmp_path, sql="SELECT 1", database="postgresql://me:hush@127.0.0.1:1/none")
    assert said == "the database cannot be opened: is it there, and are user and password right?"
