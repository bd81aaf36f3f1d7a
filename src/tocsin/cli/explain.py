"""`tocsin explain`: what a check asks, why it matters, how the hole looks and how it is closed."""

import argparse
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches

from tocsin.cli._errors import UsageError
from tocsin.report._weaknesses import weakness
from tocsin.report.explanation import FRAMEWORKS, Explanation, explained, explanation

_COLUMNS = 80
_GRANTED = (
    "In the code, tx and db are one open transaction, which commits when the function returns and rolls back when it "
    "raises; message is what `tocsin explain parse-before-verification` verifies. Only Flask's uses tocsin.guard."
)
_EPILOG = """\
examples:
  tocsin explain
  tocsin explain concurrent-duplicate
  tocsin explain over-allocation --for django
"""


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "explain",
        help="what a check asks, why it matters, and the fix",
        description="What a check asks, why it matters, how the hole looks, and how it is closed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("check", nargs="?", metavar="CHECK", help="without it, all checks are listed")
    parser.add_argument(
        "--for",
        dest="framework",
        choices=list(FRAMEWORKS),
        metavar="FRAMEWORK",
        help=f"the fix for one only: {', '.join(FRAMEWORKS)}",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list of checks, or what one of them is about.

    Raises:
        UsageError: there is no such check.
    """
    lines = _catalogue() if args.check is None else _lesson(_known(args.check), args.framework)
    for line in lines:
        print(line)
    return 0


def _known(check: str) -> Explanation:
    found = explanation(check)
    if found is None:
        close = get_close_matches(check, explained(), n=1)
        meant = f'did you mean "{close[0]}"?' if close else "tocsin explain lists them"
        raise UsageError(f'no check "{check}"; {meant}')
    return found


def _catalogue() -> Iterator[str]:
    width = max(map(len, explained()))
    for check in explained():
        yield from textwrap.wrap(
            f"{check:<{width}}  {_known(check).question}",
            _COLUMNS,
            subsequent_indent=" " * (width + 2),
            break_on_hyphens=False,
            # The columns between id and question are meant.
            drop_whitespace=True,
        )


def _lesson(about: Explanation, framework: str | None) -> Iterator[str]:
    yield _heading(about.check)
    yield from _prose(about.question)
    yield ""
    yield from _prose(about.what)
    yield from _section("Why it matters", about.why)
    yield from ("", _heading("The picture"), *about.picture.splitlines())
    yield from _section("The fix", about.fix)
    yield ""
    yield from _prose(_GRANTED)
    for name in [framework] if framework else FRAMEWORKS:
        yield from ("", _heading(FRAMEWORKS[name][0]), *about.code[name].splitlines())
    yield from ("", _heading("Known as"))
    for name in (*map(weakness, about.cwe), f"OWASP {about.owasp}"):
        yield from textwrap.wrap(name, _COLUMNS, subsequent_indent="  ")


def _section(title: str, text: str) -> Iterator[str]:
    yield ""
    yield _heading(title)
    yield from _prose(text)


def _prose(text: str) -> Iterator[str]:
    """Paragraphs, broken anew to the width."""
    for place, paragraph in enumerate(text.split("\n\n")):
        if place:
            yield ""
        yield from textwrap.wrap(" ".join(paragraph.split()), _COLUMNS, break_on_hyphens=False, break_long_words=False)


def _heading(title: str) -> str:
    return f"-- {title} ".ljust(_COLUMNS, "-")
