"""The command `tocsin`: every way of ending has one exit code and, if it is not the good one, one clear line."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import tocsin
from tocsin import cli
from tocsin.cli import COMMANDS, main
from tocsin.cli._errors import Unfinished, UsageError


def command_that(run: Callable[[argparse.Namespace], int]) -> SimpleNamespace:
    """A command of its own, called as `tocsin try`."""

    def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        subparsers.add_parser("try").set_defaults(run=run)

    return SimpleNamespace(add_to=add_to)


def ended(
    run: Callable[[argparse.Namespace], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    monkeypatch.setattr(cli, "COMMANDS", {"try": command_that(run)})
    code = main(["try"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no such plan"), 2, "tocsin: no such plan\n"),
        (Unfinished("nobody is there"), 3, "tocsin: nobody is there\n"),
        (UsageError("which?\n  0: a\n  1: b"), 2, "tocsin: which?\n  0: a\n  1: b\n"),
        (UsageError('no key "\x1b]0;\x07\x00\u202e"'), 2, 'tocsin: no key "\\x1b]0;\\x07\\x00\\u202e"\n'),
        (UsageError('no key "\ntocsin: all is well"'), 2, 'tocsin: no key "\n  tocsin: all is well"\n'),
        (KeyboardInterrupt(), 130, "tocsin: interrupted\n"),
    ],
)
def test_what_ends_a_command_early_is_one_line_and_one_exit_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(_args: argparse.Namespace) -> int:
        raise error

    assert ended(run, monkeypatch, capsys) == (code, said)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_what_a_command_returns_is_the_exit_code(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(lambda _args: code, monkeypatch, capsys) == (code, "")


def test_a_bug_of_ours_is_never_taken_for_a_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_args: argparse.Namespace) -> int:
        raise ZeroDivisionError

    code, said = ended(run, monkeypatch, capsys)
    assert code == 70
    assert said.endswith("tocsin: this is a bug in tocsin; please report it with the lines above\n")


@pytest.mark.parametrize("words", [[], ["scna"], ["scan", "--no-such-option"], ["scan", "a.toml", "b.toml"]])
def test_words_that_are_no_command_line_are_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "usage: tocsin" in capsys.readouterr().err


def test_help_names_every_command_and_what_the_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert left.value.code == 0
    assert all(f" {command} " in said for command in COMMANDS)
    assert "0 clean or done, 1 violated or rejected, 2 usage, 3 no verdict, 130 interrupted" in said


WITH_EXAMPLES = ("scan", "explain", "diff", "runs", "sign", "verify", "schemes", "lab")


def test_help_fits_80_columns_and_shows_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        lines = capsys.readouterr().out.splitlines()
        shown = "\n".join(lines)
        assert command not in WITH_EXAMPLES or f"\n  tocsin {command}" in shown, f"{command}: no examples"
        assert [line for line in lines if len(line) > 80] == []


SUBCOMMANDS = (
    *(["claims", name] for name in ("list", "show", "streams", "prune", "migrate", "export")),
    *(["outbox", name] for name in ("run", "list", "resend", "migrate")),
    *(["plan", name] for name in ("new", "check")),
    *(["runs", name] for name in ("list", "show", "delete")),
)


@pytest.mark.parametrize("words", SUBCOMMANDS, ids=" ".join)
def test_the_help_of_a_subcommand_fits_80_columns(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_every_command_has_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0
        assert f"usage: tocsin {command}" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"tocsin {tocsin.__version__}\n"


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "scan", "no-such-plan.toml"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "tocsin: plan no-such-plan.toml: No such file or directory\n",
    )


PLAN = """
target.base_url = "http://127.0.0.1:8000"
request = { path = "/order", body = "{{uuid}}" }
signing = { preset = "hex-sha256-body", secret = { env = "S" } }
"""


def test_a_reader_who_leaves_early_changes_no_exit_code_and_gets_no_complaint(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN, encoding="utf-8")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "scan", str(plan), "--dry-run"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


INTERRUPTED = """
import sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == "tocsin.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
from tocsin.__main__ import main
sys.exit(main())
"""


def test_ctrl_c_while_python_loads_the_command_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tocsin: interrupted\n")
