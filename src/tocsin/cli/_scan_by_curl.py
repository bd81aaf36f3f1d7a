"""`tocsin scan --curl`: the options that say in place of a plan file what is sent, and where its effect shows."""

import argparse
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tocsin.cli._errors import UsageError

if TYPE_CHECKING:
    from tocsin.scan import Plan

# Of a pasted request's headers: what these are called is mostly what must not stand in a report.
_CREDENTIALS = ("auth", "cookie", "token", "secret", "api-key", "apikey", "session", "signature")
# What a plan file says itself.
_OF_SIGNING = ("scheme", "secret_env", "key_id")
_OF_STATE = ("state", "pointer", "per_effect")


def add_curl_options(parser: argparse.ArgumentParser) -> None:
    """Add them in a group of their own."""
    curl = parser.add_argument_group("without a plan file")
    curl.add_argument("--curl", metavar="COMMAND", help="the request; {{uuid}} and {{nonce}} in it are made anew")
    curl.add_argument("--scheme", metavar="NAME", help="how it is signed: a preset's name")
    curl.add_argument("--secret-env", metavar="NAME", help="the environment variable that holds the secret")
    curl.add_argument("--key-id", metavar="ID", help="what the scheme calls the secret")
    curl.add_argument("--state", metavar="REQUEST", help='where an effect shows: "GET /orders/{{uuid}}"')
    curl.add_argument("--pointer", metavar="POINTER", help="the number in that answer: /count (RFC 6901)")
    curl.add_argument("--per-effect", type=int, metavar="N", help="how one effect changes it (default: 1)")


def check_curl_options(args: argparse.Namespace) -> None:
    """Whether each says something about this scan. Raises UsageError."""
    for name in (*_OF_SIGNING, *_OF_STATE):
        if getattr(args, name) is not None and args.curl is None:
            raise UsageError(f"{_option(name)} goes with --curl")
    for name in _OF_STATE:
        if getattr(args, name) is not None and args.state is None:
            raise UsageError(f"{_option(name)} goes with --state")


def tables_of(args: argparse.Namespace) -> dict[str, object]:
    """What stands in a plan file, from the options. Raises UsageError."""
    from tocsin.scan import tables_from_curl  # noqa: PLC0415  the scan extra
    from tocsin.signing import SchemeError, preset  # noqa: PLC0415  only for --curl

    if args.scheme is None or args.secret_env is None:
        raise UsageError("--curl wants --scheme NAME and --secret-env NAME")
    try:
        written = {name.lower() for name in preset(args.scheme).written_headers}
    except SchemeError as error:
        raise UsageError(f"--scheme: {error}") from None
    tables: dict[str, object] = dict(tables_from_curl(args.curl, drop=frozenset(written)))
    signing: dict[str, object] = {"preset": args.scheme, "secret": {"env": args.secret_env}}
    if args.key_id is not None:
        signing["key_id"] = args.key_id
    tables["signing"] = signing
    if args.state is not None:
        per_effect = 1 if args.per_effect is None else args.per_effect
        tables["state"] = [{"request": args.state, "pointer": args.pointer or "", "per_effect": per_effect}]
    return tables


def curl_words(args: argparse.Namespace, plan: "Plan") -> Iterator[str]:
    """The options again, for a command line that repeats the scan."""
    if args.curl is not None:
        yield from ("--curl", _shown_curl(plan))
    for name in (*_OF_SIGNING, *_OF_STATE):
        value = getattr(args, name)
        if value is not None:
            yield from (_option(name), str(value))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _shown_curl(plan: "Plan") -> str:
    """The pasted request without the live signature that stood in it, and with credentials left out."""
    words = ["curl", "-X", plan.request.method, f"{plan.base_url}{plan.request.target.text}"]
    for name, template in plan.request.headers:
        hidden = "{{" not in template.text and any(word in name.lower() for word in _CREDENTIALS)
        words += ["-H", f"{name}: {'...' if hidden else template.text}"]
    words += ["-d", plan.request.body.text] if plan.request.body.text else []
    return shlex.join(words)
