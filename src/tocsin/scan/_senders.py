"""Whose secrets sign the requests of a plan. Edge: the environment, and files."""

import secrets
from pathlib import Path

from tocsin.scan._plan import Plan
from tocsin.signing import Secret, secret_from_table


def senders(plan: Plan, folder: Path) -> tuple[Secret, ...]:
    """The secret of [signing], and of each [[actor]]. Nobody's, where all that is sent was captured.

    Args:
        plan: authorised; a literal secret is only for loopback targets.
        folder: what a relative file name is relative to.

    Raises:
        SchemeError: one cannot be read.
    """
    if plan.captured is not None:
        return (Secret(secrets.token_bytes(32)),)
    # The service chose its secrets, however short.
    return tuple(
        secret_from_table(table, folder=folder, allow_value=True, allow_short=True, scheme=plan.scheme)
        for table in (plan.signing, *plan.actors)
    )
