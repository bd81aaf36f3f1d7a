"""Schemes and secrets from a plan's [signing] table. PURE, but for secrets, which `_sources` reads.

Rule: an unknown key is an error that names the nearest known one, and no error shows what stands under `secret`: it may
be the secret itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tocsin.signing._errors import SchemeError
from tocsin.signing._message_id import MessageId
from tocsin.signing._nearest import unknown
from tocsin.signing._presets import preset
from tocsin.signing._scheme import Scheme
from tocsin.signing._secret import Secret

_TEXTS = frozenset(
    {
        "name",
        "content",
        "hash",
        "encoding",
        "header",
        "value",
        "item_separator",
        "timestamp_header",
        "timestamp_format",
        "nonce_header",
        "key_id_header",
        "id_header",
        "digest",
        "digest_header",
        "body_format",
        "signature_pointer",
        "timestamp_pointer",
        "nonce_pointer",
        "scope",
        "key_derivation",
    }
)
_NUMBERS = frozenset({"tolerance_past_s", "tolerance_future_s"})
SECRET_KEYS = frozenset({"secret", "secret_encoding", "secret_prefix", "key_id"})
SIGNING_KEYS = _TEXTS | _NUMBERS | SECRET_KEYS | {"preset", "message_id", "covered"}
_SECRET_SOURCES = ("env", "file", "value")
_WANTED = 'wanted secret = { env = "NAME" } or { file = "PATH" }'


def scheme_from_table(table: Mapping[str, object], *, allow_sha1: bool = False) -> Scheme:
    """The scheme that a [signing] table declares: a preset, a scheme of its own, or a preset with changes.

    Args:
        table: its keys are "preset", the fields of Scheme, and those of `secret_from_table`, which are left alone.
        allow_sha1: permits hash "sha1": for clients and scanners, which do not choose what a service verifies.

    Raises:
        SchemeError: a key is unknown or has a value of another type, or the result is no scheme.
    """
    for key in table:
        if key not in SIGNING_KEYS:
            raise SchemeError(unknown("key in [signing]", key, SIGNING_KEYS))
    fields: dict[str, Any] = {key: _text(table, key) for key in table.keys() & _TEXTS}
    fields.update({key: _number(table, key) for key in table.keys() & _NUMBERS})
    if "covered" in table:
        fields["covered"] = _texts(table, "covered")
    if "message_id" in table:
        fields["message_id"] = _message_id(table["message_id"])
    if allow_sha1:
        fields["allow_sha1"] = True
    base = preset(_text(table, "preset")) if "preset" in table else Scheme(name="custom")
    return replace(base, **fields)


def secret_from_table(
    table: Mapping[str, object],
    *,
    folder: Path = Path(),
    allow_value: bool = False,
    allow_short: bool = False,
    scheme: Scheme | None = None,
) -> Secret:
    """The secret that a [signing] or [[actor]] table names.

    Args:
        table: "secret" = {env = ...}, {file = ...} or {value = ...}; "secret_encoding", "secret_prefix", "key_id".
        folder: what a relative file path is relative to: the folder of the plan.
        allow_value: permits a literal {value = ...}.
        allow_short: permits 1 to 15 bytes: for services that one scans and did not choose the secret of.
        scheme: says how its provider writes secrets, where the table does not; by default the table's preset.

    Raises:
        SchemeError: no or several sources, one that cannot be read, or see Secret.decode.
    """
    kind, source, fault = _secret_source(table.get("secret"))
    # A traceback that shows locals sees this frame and those below it: none holds a literal secret by then.
    table = {key: value for key, value in table.items() if key != "secret"}
    try:
        if fault:
            raise SchemeError(fault)
        if scheme is None and "preset" in table:
            scheme = preset(_text(table, "preset"))
        written = ("utf8", "") if scheme is None else (scheme.secret_encoding, scheme.secret_prefix)
        encoding = _text(table, "secret_encoding") if "secret_encoding" in table else written[0]
        prefix = _text(table, "secret_prefix") if "secret_prefix" in table else written[1]
        key_id = _text(table, "key_id") if "key_id" in table else None
        if kind == "env":
            return Secret.from_env(source, encoding=encoding, prefix=prefix, key_id=key_id, allow_short=allow_short)
        if kind == "file":
            path = folder / source
            return Secret.from_file(path, encoding=encoding, prefix=prefix, key_id=key_id, allow_short=allow_short)
        if not allow_value:
            raise SchemeError(f"secret = {{ value = ... }} is only for loopback targets; {_WANTED}")
        return Secret.decode(
            source.encode("utf-8"), encoding=encoding, prefix=prefix, key_id=key_id, allow_short=allow_short
        )
    finally:
        del source


def _text(table: Mapping[str, object], key: str) -> str:
    value = table[key]
    if isinstance(value, str):
        return value
    raise SchemeError(f"{key} = {value!r}: wanted a string")


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = table[key]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise SchemeError(f"{key} = {value!r}: wanted a list of strings")


def _number(table: Mapping[str, object], key: str) -> float:
    value = table[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise SchemeError(f"{key} = {value!r}: wanted seconds")


def _message_id(value: object) -> MessageId:
    if isinstance(value, Mapping) and len(value) == 1:
        [(kind, place)] = value.items()
        if kind in {"header", "pointer"} and isinstance(place, str):
            return MessageId(**{kind: place})
    raise SchemeError(f'message_id = {value!r}: wanted {{ header = "Name" }} or {{ pointer = "/id" }}')


def _secret_source(value: object) -> tuple[str, str, str]:
    """The kind of a source, what stands under it, and what is wrong; it raises nothing, for its frame holds both."""
    if isinstance(value, Mapping) and len(value) == 1:
        [(kind, source)] = value.items()
        if kind not in _SECRET_SOURCES:
            return "", "", unknown("key in secret", str(kind), _SECRET_SOURCES)
        if isinstance(source, str):
            return kind, source, ""
    found = "[signing] has no secret" if value is None else "secret is not one source"
    return "", "", f"{found}; {_WANTED}"
