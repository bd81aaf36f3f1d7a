"""A cargo that cannot build the lab is named before anything is built, with the command that installs one."""

from pathlib import Path

import pytest

from lab import _cargo
from lab._launch import start
from lab._services import LabError


def cargo(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only cargo in PATH."""
    program = folder / "cargo"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("version", ["1.89.0", "1.95.0 (f2d3ce0bd 2026-03-21)", "2.0.0"])
def test_one_that_is_new_enough_will_do(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cargo(tmp_path, f"echo 'cargo {version}'", monkeypatch)
    assert _cargo.missing("1.89") == ""


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo 'cargo 1.66.0 (d65d197ad 2022-11-15)'", "cargo 1.89 or later, and this is cargo 1.66.0"),
        ("echo 'error: no default toolchain' >&2; exit 1", r"a cargo that works \(error: no default toolchain\)"),
        ("echo hello", r"a cargo that works \(it does not say its version\)"),
    ],
)
def test_one_that_will_not_is_named_with_what_is_wrong(
    script: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cargo(tmp_path, script, monkeypatch)
    with pytest.raises(LabError, match=rf"actix-mutex needs {fault}.*: rustup toolchain install stable"):
        start("actix-mutex")


def test_none_at_all_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="actix-mutex needs the program cargo: rustup toolchain install stable"):
        start("actix-mutex")
