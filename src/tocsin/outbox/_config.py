"""Reads the TOML file of `tocsin outbox`: the database, and where messages of each name go.

Rule: a file that is not understood whole is refused whole. It holds no secret: it names where each is.
"""

import os
import random
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tocsin.outbox._errors import OutboxError
from tocsin.outbox._retry import STANDARD_S, Retries
from tocsin.outbox._store import Outbox
from tocsin.outbox.sqlite import SQLiteOutbox
from tocsin.signing import SECRET_KEYS, SchemeError, preset, secret_from_table
from tocsin.toml import TomlError, parse_toml

if TYPE_CHECKING:
    # They send, with an HTTP client that the base install does not have.
    from tocsin.outbox._delivery import Destination
    from tocsin.outbox._runner import Options

_DAY_S = 24 * 3600
# A century: much more would be before the time that a clock or a database can tell.
_MOST_DAYS = 36_525
_KEYS = {"store", "runner", "destination"}
_STORE_KEYS = {"sqlite", "postgres_env"}
_RUNNER_KEYS = {"retry_s", "poll_s", "keep_delivered_days"}
_DESTINATION_KEYS = {"url", "url_env", "preset", "timeout_s", "workers", *SECRET_KEYS}
_A_STORE = '[store] wants one of sqlite = "PATH" and postgres_env = "NAME of an environment variable"'
_DEFAULT_PRESET = "standard-webhooks"


class Config:
    """What the file says.

    Args:
        path: the file. Paths in it are relative to its folder.

    Raises:
        OutboxError: it cannot be read or understood.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        try:
            self._values = parse_toml(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise OutboxError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise OutboxError(f"{path}: not UTF-8, as TOML is") from None
        except TomlError as error:
            raise OutboxError(f"{path}: not TOML: {error}") from None
        _check_keys("the file", self._values, _KEYS)

    def outbox(self) -> Outbox:
        """The database of [store], which is not opened yet. Raises OutboxError."""
        table = _table("[store]", self._values.get("store"))
        _check_keys("[store]", table, _STORE_KEYS)
        if len(table) != 1:
            raise OutboxError(_A_STORE)
        if "sqlite" in table:
            return SQLiteOutbox(self._folder / _text("[store]", table, "sqlite"))
        try:
            # The base install has no driver but SQLite's.
            from tocsin.outbox.postgres import PostgresOutbox  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise OutboxError(str(error)) from None
        return PostgresOutbox(_from_env("[store] postgres_env", _text("[store]", table, "postgres_env")))

    def options(self) -> "Options":
        """What [runner] says. Raises OutboxError."""
        from tocsin.outbox._runner import Options  # noqa: PLC0415  see above

        table = _table("[runner]", self._values.get("runner", {}))
        _check_keys("[runner]", table, _RUNNER_KEYS)
        steps = table.get("retry_s", list(STANDARD_S))
        if not isinstance(steps, list) or not all(_is_number(step) and step <= _MOST_DAYS * _DAY_S for step in steps):
            raise OutboxError(f"[runner] retry_s = {steps!r}: wanted a list of seconds")
        poll_s = _number("[runner]", table, "poll_s", 1.0)
        if not 0.01 <= poll_s <= 60:  # noqa: PLR2004  between a busy loop and a minute
            raise OutboxError(f"[runner] poll_s = {poll_s:g}: wanted 0.01 to 60 seconds")
        days = _number("[runner]", table, "keep_delivered_days", 7.0)
        if days > _MOST_DAYS:
            raise OutboxError(f"[runner] keep_delivered_days = {days:g}: wanted at most {_MOST_DAYS}")
        return Options(Retries(tuple(steps), random.SystemRandom().random), poll_s, days * _DAY_S)

    def destinations(self) -> "list[Destination]":
        """Every [destination.NAME], with its secret. Raises OutboxError."""
        tables = _table("[destination]", self._values.get("destination", {}))
        if not tables:
            raise OutboxError("the file has no [destination.NAME]; wanted where messages of a name go")
        return [self._destination(name, _table(f"[destination.{name}]", table)) for name, table in tables.items()]

    def _destination(self, name: str, table: Mapping[str, Any]) -> "Destination":
        from tocsin.outbox._delivery import Destination  # noqa: PLC0415  see above

        where = f"[destination.{name}]"
        _check_keys(where, table, _DESTINATION_KEYS)
        if ("url" in table) == ("url_env" in table):
            raise OutboxError(f"{where} wants one of url and url_env, for a URL that holds a token")
        url = _text(where, table, "url") if "url" in table else _from_env(where, _text(where, table, "url_env"))
        try:
            scheme = preset(_text(where, {"preset": _DEFAULT_PRESET, **table}, "preset"))
            secret = secret_from_table(table, folder=self._folder, scheme=scheme)
        except SchemeError as error:
            raise OutboxError(f"{where} {error}") from None
        workers = table.get("workers", 4)
        if not isinstance(workers, int) or isinstance(workers, bool):
            raise OutboxError(f"{where} workers = {workers!r}: wanted a whole number")
        return Destination(name, url, scheme, secret, _number(where, table, "timeout_s", 10.0), workers)


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise OutboxError(f"{where} is missing or no table")
    return value


def _check_keys(where: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            near = get_close_matches(key, sorted(known), n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(sorted(known))}"
            raise OutboxError(f'{where} has an unknown key "{key}"; {hint}')


def _text(where: str, table: Mapping[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value:
        raise OutboxError(f"{where} {key} = {value!r}: wanted a text")
    return value


def _number(where: str, table: Mapping[str, Any], key: str, default: float) -> float:
    value = table.get(key, default)
    if not _is_number(value):
        raise OutboxError(f"{where} {key} = {value!r}: wanted a number of at least 0")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _from_env(where: str, name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise OutboxError(f"{where}: the environment has no {name}")
    return value
