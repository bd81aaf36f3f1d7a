"""The options that say which store `tocsin claims` works on, and how to reach it.

Rule: a store is one line here and one file of its own, which is imported when it is wanted: the base install has no
driver but SQLite's.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from tocsin.cli._errors import Unfinished, UsageError
from tocsin.guard import GuardError, StoreError
from tocsin.guard._admin import Administration


@dataclass(frozen=True, slots=True)
class _Kind:
    where: str
    help: str
    module: str


_KINDS = {
    "sqlite": _Kind("PATH", "the claims in a SQLite file", "tocsin.guard.stores.sqlite._admin"),
    "postgres": _Kind("DSN", "the claims in a PostgreSQL database", "tocsin.guard.stores.postgres._admin"),
    "mariadb": _Kind("URL", "the claims in a MariaDB database", "tocsin.guard.stores.mariadb._admin"),
    "redis": _Kind("URL", "the claims in Redis or Valkey", "tocsin.guard.stores.redis._admin"),
}


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each kind of store, and one that names an environment variable instead."""
    target = parser.add_argument_group("the store").add_mutually_exclusive_group(required=True)
    for name, kind in _KINDS.items():
        target.add_argument(f"--{name}", metavar=kind.where, help=kind.help)
        target.add_argument(
            f"--{name}-env", metavar="NAME", help=f"the same, {kind.where} from this environment variable"
        )


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Administration]:
    """The store that the options name, for the time of a command.

    Raises:
        UsageError: it is not there, has no claims, or a password stands on the command line.
        Unfinished: it cannot be reached or is locked.
    """
    try:
        administration = _administration(args)
        try:
            yield administration
        finally:
            administration.close()
    except GuardError as error:
        raise UsageError(str(error)) from None
    except StoreError as error:
        raise Unfinished(str(error)) from None


def _administration(args: argparse.Namespace) -> Administration:
    name, where, is_public = _target(args)
    try:
        module = import_module(_KINDS[name].module)
    except ModuleNotFoundError as error:
        raise UsageError(f"--{name}: {error}; wanted: pip install 'tocsin[{name}]'") from None
    administration: Administration = module.administration(where)
    if is_public and administration.holds_secret:
        raise UsageError(
            f"--{name}: a password on a command line is seen by every process of the machine; wanted --{name}-env NAME"
        )
    return administration


def _target(args: argparse.Namespace) -> tuple[str, str, bool]:
    """Kind and place of the store, and whether the place stands on the command line."""
    for name in _KINDS:
        where: str | None = getattr(args, name)
        variable: str | None = getattr(args, f"{name}_env")
        if where is not None:
            return name, where, True
        if variable is not None:
            found = os.environ.get(variable, "")
            if not found:
                raise UsageError(f"--{name}-env: the environment has no {variable}")
            return name, found, False
    raise AssertionError("argparse wants one of them")
