"""A former run, from a JSON report or from the history."""

from pathlib import Path

from tocsin.cli._errors import UsageError
from tocsin.cli._run_archive import RunArchive
from tocsin.report.summary import ReportError, RunSummary, read_summary


def former_report(name: str, archive: RunArchive) -> RunSummary:
    """Read a run.

    Args:
        name: a file, or the beginning of a run's id. A file comes first; "./3f9a" is never an id.
        archive: where ids are looked up.

    Raises:
        UsageError: it is neither, or no report.
    """
    path = Path(name)
    if not path.exists():
        if set(name) - set("0123456789abcdef"):
            raise UsageError(f"{name}: no such file, and no id of a run")
        return read_summary(archive.run(name).report)
    try:
        return read_summary(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name}: not UTF-8, as JSON is") from None
    except ReportError as error:
        raise UsageError(f"{name}: {error}") from None
