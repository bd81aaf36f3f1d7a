"""`tocsin schemes`: which signature schemes are known, and what one of them signs, checks and leaves open."""

import argparse
import textwrap
from collections.abc import Iterator

from tocsin.cli._errors import UsageError
from tocsin.signing import PRESETS, Parameters, Scheme, SchemeError, preset

_LABEL_WIDTH = 16
# Fits a terminal of 100 columns with the label.
_TEXT_WIDTH = 84
_DAY_S = 86_400
_HOUR_S = 3_600


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "schemes",
        help="list signature schemes, or show one",
        description=textwrap.fill(__doc__ or "", 80),
        epilog="examples:\n  tocsin schemes\n  tocsin schemes show stripe",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, name=None)
    commands = parser.add_subparsers(metavar="show NAME")
    show = commands.add_parser("show", help="what a scheme signs, checks and leaves open", allow_abbrev=False)
    show.add_argument("name", metavar="NAME", help="one of the listed names")


def run(args: argparse.Namespace) -> int:
    """Print the list, or one scheme.

    Raises:
        UsageError: there is no such scheme.
    """
    if args.name is None:
        width = max(len(name) for name in PRESETS)
        for scheme in PRESETS.values():
            print(f"{scheme.name:<{width}}  {scheme.summary}")
        return 0
    try:
        scheme = preset(args.name)
    except SchemeError as error:
        raise UsageError(str(error)) from None
    for label, text in _facts(scheme):
        first, *rest = textwrap.wrap(text, _TEXT_WIDTH, break_on_hyphens=False, break_long_words=False) or [""]
        print(f"{label:<{_LABEL_WIDTH}}{first}")
        for line in rest:
            print(f"{'':<{_LABEL_WIDTH}}{line}")
    return 0


def _facts(scheme: Scheme) -> Iterator[tuple[str, str]]:
    yield "name", scheme.name
    yield "", scheme.summary
    yield "signed content", scheme.content.replace("\n", r"\n")
    if scheme.covered:
        yield "", f"The sender chooses what it signs; at least {', '.join(scheme.covered)} must be among it."
    yield "algorithm", f"HMAC-{scheme.hash.upper().replace('SHA', 'SHA-')}, {scheme.encoding}"
    yield "secret", _secret(scheme)
    carried = list(_carried(scheme))
    yield from zip(["carried in", *[""] * len(carried)], carried, strict=False)
    yield "window", _window(scheme)
    yield "message id", _message_id(scheme)
    yield "sent again", _retries(scheme)
    if scheme.needs_public_origin:
        yield "public URL", "Needed from configuration (--public-origin, public_origin): it is signed."
    yield "not covered", scheme.not_covered
    yield "source", scheme.source
    yield "unconfirmed", scheme.unconfirmed or "Nothing: the source says all of this."


def _secret(scheme: Scheme) -> str:
    words = {"utf8": "used as it is", "hex": "hexadecimal", "base64": "base64"}
    encoded = words[scheme.secret_encoding]
    return f"{encoded}, after {scheme.secret_prefix!r}" if scheme.secret_prefix else encoded


def _carried(scheme: Scheme) -> Iterator[str]:
    """Each header, and each place in the body, that carries something, with placeholders for what changes."""
    placeholders = {kind: f"{{{kind}}}" for kind in Parameters._fields}
    for name, value in scheme.compiled.carrier.headers("{signature}", placeholders):
        yield f"{name}: {value}"
    if scheme.item_separator is not None:
        yield f"A list, separated by {scheme.item_separator!r}: every signature is tried, unknown items are skipped."
    for kind, pointer in scheme.compiled.pointers.items():
        yield f"in the body, {pointer}: {{{kind}}}"
    if scheme.signature_pointer is not None:
        yield f"in the body, {scheme.signature_pointer}: {{signature}}"


def _window(scheme: Scheme) -> str:
    if not scheme.compiled.signs_timestamp:
        return "None: no timestamp is signed, so a message stays valid as long as its secret."
    past_s, future_s = scheme.tolerance_past_s, scheme.tolerance_future_s
    return f"{past_s:g} s into the past, {future_s:g} s into the future ({scheme.timestamp_format})"


def _message_id(scheme: Scheme) -> str:
    if scheme.message_id is None:
        return "None: nothing that is signed tells a repetition from an honest second message."
    return str(scheme.message_id)


def _retries(scheme: Scheme) -> str:
    horizon_s = scheme.retry_horizon_s
    if horizon_s is None:
        return "Nobody says for how long."
    if horizon_s % _DAY_S == 0:
        return f"For up to {horizon_s // _DAY_S} days."
    return f"For up to {horizon_s / _HOUR_S:g} hours."
