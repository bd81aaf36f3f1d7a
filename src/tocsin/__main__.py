"""The command `tocsin`, and `python -m tocsin` for where it is not on the path."""

import sys

# As tocsin.cli has it, which is not there yet.
_INTERRUPTED = 130


def main() -> int:
    """Run the command line. Ctrl-C may come while Python still loads it."""
    try:
        from tocsin.cli import main as run  # noqa: PLC0415  so that an interrupt of it is caught

        return run()
    except KeyboardInterrupt:
        print("tocsin: interrupted", file=sys.stderr)  # noqa: T201  a command line prints
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
