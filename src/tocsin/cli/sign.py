"""`tocsin sign`: add a signature to a raw HTTP request."""

import argparse
import sys

from tocsin.cli._errors import UsageError
from tocsin.cli._signing_options import add_signing_options, instant, read_request, read_scheme_and_secret
from tocsin.signing import SchemeError, sign


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser("sign", help="sign a raw HTTP request", description=__doc__, allow_abbrev=False)
    add_signing_options(parser)
    parser.add_argument("--nonce", metavar="TEXT", help="for schemes that send one")
    parser.add_argument("--headers-only", action="store_true", help="print only the headers to add")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the signed request, byte for byte, or only the headers.

    Raises:
        UsageError: request, scheme or secret are wrong.
    """
    try:
        scheme, secret = read_scheme_and_secret(args)
        request = read_request(args)
        headers = sign(request.message, scheme, secret, now=instant(args), nonce=args.nonce)
    except SchemeError as error:
        raise UsageError(str(error)) from None
    if args.headers_only:
        sys.stdout.buffer.write("".join(f"{name}: {value}\n" for name, value in headers).encode("latin-1"))
    else:
        sys.stdout.buffer.write(request.with_headers(headers))
    sys.stdout.buffer.flush()
    return 0
