"""Values in statements: whatever they hold, the server gets them as they were."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guard.postgres.cluster import Database
from tocsin.guard.stores.postgres._phrases import Phrase
from tocsin.guard.stores.postgres._session import BlockingSession
from tocsin.guard.stores.postgres._talk import Lesson, asked, calling, saying
from tocsin.guard.stores.postgres._values import BIGINT, DIGITS, INTEGER, OCTETS, TEXT, TRANSACTION, literal

ECHO = Phrase(
    "echo",
    "SELECT encode(%(octets)s, 'hex'), encode(convert_to(%(text)s, 'UTF8'), 'hex'), %(integer)s, %(bigint)s, "
    "%(digits)s, %(transaction)s",
    {
        "octets": OCTETS,
        "text": TEXT,
        "integer": INTEGER,
        "bigint": BIGINT,
        "digits": DIGITS,
        "transaction": TRANSACTION,
    },
)
# PostgreSQL keeps no NUL in a text.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.fixture
def session(database: Database) -> Iterator[BlockingSession]:
    with closing(psycopg.connect(database.conninfo(), autocommit=True)) as connection:
        made = BlockingSession(connection)
        made.hold(asked(Lesson([ECHO])))
        yield made


@pytest.mark.parametrize("where", ["in the text", "after its name", "beside it"])
@pytest.mark.parametrize(
    "setting",
    [
        "standard_conforming_strings = off",
        "bytea_output = escape",
        "client_encoding = LATIN1",
        "client_encoding = SJIS",
    ],
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(values=st.tuples(st.binary(), TEXTS, st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63) + 1, 2**63 - 1)))
def test_values_arrive_as_they_were_whatever_is_set(
    values: tuple[Any, ...], setting: str, where: str, session: BlockingSession
) -> None:
    octets, text, integer, bigint = values
    session.connection.pgconn.exec_(f"SET {setting}; SET escape_string_warning = on".encode())
    session.is_prepared = where != "in the text"
    named = dict(zip(ECHO.kinds, (octets, text, integer, bigint, bigint, abs(bigint)), strict=True))
    made = calling if where == "beside it" else saying
    result = session.hold(asked(made(session, (ECHO, named))))[-1]
    got = [result.get_value(0, column) for column in range(6)]
    wanted = [octets.hex(), text.encode().hex(), str(integer), str(bigint), str(bigint), str(abs(bigint))]
    assert got == [value.encode() for value in wanted]


@pytest.mark.parametrize("hostile", ["'; DROP TABLE orders; --", "\\'; COMMIT; --", "%(key)s", "$1", "\u2019; COMMIT"])
def test_no_character_of_a_value_reaches_the_text_of_a_statement(hostile: str) -> None:
    for written in (
        literal(TEXT, hostile),
        literal(OCTETS, hostile.encode()),
        TEXT.argument(hostile),
        OCTETS.argument(hostile.encode()),
    ):
        assert hostile not in written
        assert set(written) <= set("E'\\x0123456789abcdef_(,) convert_from::byteaUTF8 ")


@pytest.mark.parametrize("kind", [INTEGER, BIGINT, DIGITS])
def test_what_is_no_number_is_refused_where_one_is_wanted(kind: Any) -> None:
    for written in (kind.literal, kind.argument):
        with pytest.raises((ValueError, TypeError)):
            written("1; COMMIT")


def test_nothing_is_null() -> None:
    assert literal(OCTETS, None) == "NULL"
    assert ECHO.sent(dict.fromkeys(ECHO.kinds)) == [None] * 6
    assert ECHO.called(dict.fromkeys(ECHO.kinds)).endswith("(NULL,NULL,NULL,NULL,NULL,NULL)")
