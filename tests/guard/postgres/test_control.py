import pytest

from tocsin.guard.stores.postgres._control import control_in
from tocsin.guard.stores.postgres._sqlstates import Trouble, trouble_of


@pytest.mark.parametrize(
    ("sql", "control"),
    [
        ("COMMIT", "COMMIT"),
        ("  commit and chain", "COMMIT"),
        ("END;", "END"),
        ("BEGIN", "BEGIN"),
        ("START\n TRANSACTION READ ONLY", "START TRANSACTION"),
        ("ROLLBACK", "ROLLBACK"),
        ("ROLLBACK WORK", "ROLLBACK"),
        ("ABORT", "ABORT"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 'x'", "COMMIT"),
        ("SELECT 1; COMMIT", "COMMIT"),
        ("-- a comment\nCOMMIT", "COMMIT"),
        ("/* one /* in */ another */ COMMIT", "COMMIT"),
        ("SELECT 'it''s'; COMMIT", "COMMIT"),
        (r"SELECT E'it\'s'; COMMIT", "COMMIT"),
        ('SELECT 1 AS "a;b"; COMMIT', "COMMIT"),
        ("SELECT $$;$$; COMMIT", "COMMIT"),
        ("SELECT $a$ $b$ ; $b$ $a$; COMMIT", "COMMIT"),
    ],
)
def test_what_would_begin_or_end_a_transaction_is_found(sql: str, control: str) -> None:
    assert control_in(sql) == control


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "ROLLBACK WORK TO SAVEPOINT a",
        "rollback transaction to a",
        "RELEASE a",
        "SELECT CASE WHEN true THEN 1 END",
        "INSERT INTO notes VALUES ('; COMMIT')",
        r"SELECT E'\'; COMMIT'",
        'SELECT 1 AS "; COMMIT"',
        "SELECT $$; COMMIT$$",
        "SELECT $x$; COMMIT; $y$ $x$",
        "SELECT 1 -- ; COMMIT",
        "SELECT 1 /* ; /* COMMIT */ ; COMMIT */",
        "SELECT 1 /* ; COMMIT",
        "SELECT committed, end_of_day FROM days",
        "PREPARE plan AS SELECT 1",
        "UPDATE t SET a$b$ = 1; SELECT $1",
    ],
)
def test_everything_else_is_the_handlers_own(sql: str) -> None:
    assert control_in(sql) == ""


@pytest.mark.parametrize(
    ("sqlstate", "trouble"),
    [
        ("40001", Trouble.CONFLICT),
        ("40P01", Trouble.CONFLICT),
        ("40003", Trouble.STATEMENT),
        ("53100", Trouble.UNAVAILABLE),
        ("53300", Trouble.UNAVAILABLE),
        ("57P01", Trouble.UNAVAILABLE),
        ("08006", Trouble.UNAVAILABLE),
        ("25006", Trouble.UNAVAILABLE),
        ("25P02", Trouble.STATEMENT),
        ("55P03", Trouble.UNAVAILABLE),
        ("XX001", Trouble.UNAVAILABLE),
        ("23505", Trouble.STATEMENT),
        ("42P01", Trouble.STATEMENT),
    ],
)
def test_an_error_code_says_whose_trouble_it_is(sqlstate: str, trouble: Trouble) -> None:
    assert trouble_of(sqlstate) is trouble
