"""The options that `tocsin sign` and `tocsin verify` share: which request, which scheme, which secret, which instant.

Rule: a secret never stands on a command line, where every process of the machine can read it.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Protocol

from tocsin.cli._curl_request import parse_curl_request
from tocsin.cli._errors import UsageError
from tocsin.cli._har import parse_har
from tocsin.cli._raw_request import parse_raw_request
from tocsin.signing import SECRET_KEYS, Message, Scheme, Secret, preset, scheme_from_table, secret_from_table
from tocsin.toml import TomlError, parse_toml


def add_signing_options(parser: argparse.ArgumentParser) -> None:
    """Add the shared options."""
    request = parser.add_mutually_exclusive_group()
    request.add_argument("request", metavar="FILE", nargs="?", help="raw HTTP request (default: standard input)")
    request.add_argument("--curl", metavar="COMMAND", help="a curl command instead; - for standard input")
    request.add_argument("--har", metavar="FILE", help="an entry of an HTTP archive instead")
    parser.add_argument("--entry", metavar="N", type=int, help="which entry of the archive, from 0 (default: 0)")
    scheme = parser.add_mutually_exclusive_group()
    scheme.add_argument("--scheme", metavar="NAME", help="preset (default: tocsin-v1, or what --scheme-file says)")
    scheme.add_argument("--scheme-file", metavar="TOML", help="a plan, or a file with its [signing] table")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--secret-env", metavar="NAME", help="environment variable that holds the secret")
    secret.add_argument("--secret-file", metavar="FILE", help="file that holds the secret")
    parser.add_argument(
        "--secret-encoding", metavar="ENCODING", help="utf8, hex or base64 (default: as the scheme's provider does)"
    )
    parser.add_argument("--secret-prefix", metavar="TEXT", help="cut off the secret before decoding, such as whsec_")
    parser.add_argument("--allow-short-secret", action="store_true", help="accept a secret of 1 to 15 bytes")
    parser.add_argument("--key-id", metavar="ID", help="the secret's key id, for schemes that send one")
    parser.add_argument("--at", metavar="UNIX", type=float, help="the instant, in Unix seconds (default: now)")
    parser.add_argument("--public-origin", metavar="URL", default="", help="for schemes that sign the full URL")


class ReadRequest(Protocol):
    """A request as it was given, and how to give it back signed."""

    @property
    def message(self) -> Message:
        """What it says."""

    def rendered(self, signed: Message) -> bytes:
        """A signed version of the message, in the form that the request was given in."""


def read_request(args: argparse.Namespace) -> ReadRequest:
    """The request that the command names.

    Raises:
        UsageError: it cannot be read or is no request.
    """
    if args.entry is not None and args.har is None:
        raise UsageError("--entry goes with --har FILE")
    if args.har is not None:
        return parse_har(_octets(args.har), args.entry or 0, public_origin=args.public_origin)
    if args.curl is not None:
        command = os.fsdecode(_octets("-")) if args.curl == "-" else args.curl
        return parse_curl_request(command, public_origin=args.public_origin)
    return parse_raw_request(_octets(args.request or "-"), public_origin=args.public_origin)


def read_scheme_and_secret(args: argparse.Namespace) -> tuple[Scheme, Secret]:
    """What the options, or the scheme file, declare; options win.

    Raises:
        UsageError: the file is no TOML with a [signing] table.
        SchemeError: the declaration or the secret is wrong.
    """
    table: dict[str, object] = {}
    folder = Path()
    if args.scheme_file is not None:
        table = _signing_table(Path(args.scheme_file))
        folder = Path(args.scheme_file).parent
        # Clients and verifiers of old services do not choose their hash.
        scheme = scheme_from_table(table, allow_sha1=True)
    else:
        scheme = preset(args.scheme or "tocsin-v1")
    secret_table = {key: value for key, value in table.items() if key in SECRET_KEYS} | _secret_options(args)
    if not {"secret_encoding", "secret_prefix"} & secret_table.keys():
        # How the provider writes it, where nobody says otherwise.
        secret_table |= {"secret_encoding": scheme.secret_encoding, "secret_prefix": scheme.secret_prefix}
    if "secret" not in secret_table:
        raise UsageError("no secret; wanted --secret-env NAME or --secret-file FILE")
    # A literal secret in the scheme file is no longer one by being read; nothing is sent anywhere.
    allow_short: bool = args.allow_short_secret
    return scheme, secret_from_table(secret_table, folder=folder, allow_value=True, allow_short=allow_short)


def check_origin(scheme: Scheme, message: Message) -> None:
    """Whether the public URL is known, where it is signed. Raises UsageError."""
    if scheme.needs_public_origin and not message.public_origin:
        raise UsageError(f"{scheme.name} signs the public URL: wanted --public-origin URL")


def instant(args: argparse.Namespace) -> float:
    """--at, or the wall clock, in Unix seconds."""
    at: float | None = args.at
    return time.time() if at is None else at


def _octets(path: str) -> bytes:
    if path == "-" and sys.stdin is None:
        raise UsageError("standard input is closed; wanted FILE")
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _secret_options(args: argparse.Namespace) -> dict[str, object]:
    options: dict[str, object] = {}
    if args.secret_env is not None:
        options["secret"] = {"env": args.secret_env}
    if args.secret_file is not None:
        # Relative to where the command runs, not to the scheme file.
        options["secret"] = {"file": str(Path(args.secret_file).absolute())}
    named = {"secret_encoding": args.secret_encoding, "secret_prefix": args.secret_prefix, "key_id": args.key_id}
    return options | {key: value for key, value in named.items() if value is not None}


def _signing_table(path: Path) -> dict[str, object]:
    try:
        document = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8, as TOML is") from None
    except TomlError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    table = document.get("signing")
    if not isinstance(table, dict):
        raise UsageError(f"{path}: has no table [signing]")
    return table
