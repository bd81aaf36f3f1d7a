"""The command `tocsin scan` in this process, in a folder of its own."""

from pathlib import Path
from typing import Any

import pytest

from tests.scan.services.desk import Desk
from tests.scan.services.plans import toml
from tests.scan.services.scanning import tables
from tocsin.cli import main


def plan(of: Desk, **changed: Any) -> str:
    """Write the plan for a desk, and give its name."""
    signing = {"secret": {"env": "DESK_SECRET"}, **changed.pop("signing", {})}
    Path("plan.toml").write_text(toml(tables(of, signing=signing, **changed)), encoding="utf-8")
    return "plan.toml"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit code, and what the command wrote to its two outputs."""
    code = main(["scan", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err
