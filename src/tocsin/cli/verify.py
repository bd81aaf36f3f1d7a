"""`tocsin verify`: does a request carry a valid signature, and what does it prove?"""

import argparse
import textwrap

from tocsin.cli._errors import UsageError
from tocsin.cli._signing_options import add_signing_options, check_origin, instant, read_request, read_scheme_and_secret
from tocsin.cli._streams import show
from tocsin.signing import KeyRing, Rejected, SchemeError, Verified, check_keys, verify

_EPILOG = """\
examples:
  tocsin verify request.http --scheme github --secret-env WEBHOOK_SECRET
  tocsin verify --har session.har --entry 3 --scheme-file plan.toml
  tocsin verify request.http --scheme stripe --secret-file s.txt --at 1700000000

exit codes:
  0  the signature is valid
  1  the message is rejected
  2  usage
"""


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "verify",
        help="verify a request",
        description=textwrap.fill(__doc__ or "", 80),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_signing_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the verdict; 0 if the signature is valid, 1 if the message is rejected.

    Raises:
        UsageError: request, scheme or secret are wrong.
    """
    try:
        scheme, secret = read_scheme_and_secret(args)
        keys = KeyRing.of(secret)
        check_keys(scheme, keys)
    except SchemeError as error:
        raise UsageError(str(error)) from None
    message = read_request(args).message
    check_origin(scheme, message)
    now = instant(args)
    try:
        verified = verify(message, scheme, keys, now=now)
    except Rejected as rejected:
        show(f"rejected: {rejected.kind}: {rejected}")
        return 1
    except SchemeError as error:
        raise UsageError(f"{error} (--public-origin)" if scheme.needs_public_origin else str(error)) from None
    for name, value in _facts(verified, now):
        show(f"{name:<11} {value}")
    return 0


def _facts(verified: Verified, now: float) -> list[tuple[str, str]]:
    signed_at = verified.timestamp_unix
    return [
        ("verified", verified.scheme),
        ("key id", verified.key_id or "none"),
        ("message id", verified.message_id or verified.message_id_error or "none signed"),
        ("age", "no timestamp signed" if signed_at is None else f"{now - signed_at:.1f} s"),
        ("digest", verified.signed_content_digest.hex()),
    ]
