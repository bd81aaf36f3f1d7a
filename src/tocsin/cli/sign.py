"""`tocsin sign`: add a signature to a raw HTTP request, a curl command or an entry of an HTTP archive."""

import argparse
import sys
import textwrap

from tocsin.cli._errors import UsageError
from tocsin.cli._signing_options import add_signing_options, check_origin, instant, read_request, read_scheme_and_secret
from tocsin.signing import SchemeError, sign, signed_message

_EPILOG = """\
examples:
  tocsin sign request.http --secret-env ORDERS_SECRET --key-id k1
  tocsin sign request.http --scheme stripe --secret-file s.txt --headers-only
  tocsin sign --scheme-file plan.toml --curl "curl http://127.0.0.1 -d '{}'"

exit codes:
  0  signed
  2  usage, or the request cannot be signed so
"""


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "sign",
        help="sign a request",
        description=textwrap.fill(__doc__ or "", 80),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_signing_options(parser)
    parser.add_argument("--nonce", metavar="TEXT", help="for schemes that send one")
    parser.add_argument("--headers-only", action="store_true", help="print only the headers to add")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the signed request in the form it was given in (an archive's entry as a raw request), or only the headers.

    Raises:
        UsageError: request, scheme or secret are wrong.
    """
    try:
        scheme, secret = read_scheme_and_secret(args)
        request = read_request(args)
        check_origin(scheme, request.message)
        now = instant(args)
        if args.headers_only:
            headers = sign(request.message, scheme, secret, now=now, nonce=args.nonce)
            signed = "".join(f"{name}: {value}\n" for name, value in headers).encode("latin-1")
        else:
            signed = request.rendered(signed_message(request.message, scheme, secret, now=now, nonce=args.nonce))
    except SchemeError as error:
        raise UsageError(str(error)) from None
    sys.stdout.buffer.write(signed)
    sys.stdout.buffer.flush()
    return 0
