"""`tocsin lab` finds the lab in a checkout, tells what is in it, and runs a service until it is told to stop."""

import argparse
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tocsin
from tests.untraced import untraced
from tocsin.cli import lab
from tocsin.cli._errors import UsageError

ROOT = Path(tocsin.__file__).parents[2]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tocsin")
    lab.add_to(parser.add_subparsers())
    return parser.parse_args(["lab", *words])


@contextmanager
def in_foreground(*words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tocsin", "lab", *words]
    # As in an environment that is active: `tocsin` is found by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=untraced(PATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """What is printed until the scan command, which is the last thing before the service is left to itself."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "tocsin scan" in line:
            return "".join(lines)
    assert process.stderr is not None
    raise AssertionError("".join(lines) + process.stderr.read())


def test_list_names_every_service_and_what_a_scan_must_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run(parse("list")) == 0
    shown = capsys.readouterr().out
    assert {path.parent.name for path in ROOT.glob("lab/*/service.toml")} == set(re.findall(r"(?m)^\S+$", shown))
    assert "a scan must say: VIOLATED concurrent-duplicate, over-allocation" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_says_how_to_scan_and_an_interrupt_stops_the_service(number: signal.Signals) -> None:
    with in_foreground("run", "flask-published", "--port", "0") as process:
        shown = said(process)
        found = re.search(r"listens on http://127\.0\.0\.1:(\d+)", shown)
        assert found
        port = int(found[1])
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out.strip(), err) == (0, "flask-published is stopped.", "")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_printed_command_has_the_secret_in_a_file_of_our_own_and_nowhere_else() -> None:
    """Pasted into a shell it sets the secret, names the plan, and overrides the address that the plan has."""
    with in_foreground("run", "flask-published", "--port", "0") as process:
        shown = said(process)
        command = shown.splitlines()[-1].strip()
        file = Path(re.findall(r"\$\(cat (\S+)\)", command)[0])
        secret = file.read_text()
        assert len(secret) == 32
        assert secret not in shown
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        pasted = subprocess.run(
            ["sh", "-c", f'tocsin() {{ printf \'%s\\n\' "$LAB_SECRET" "$@"; }}; {command}'],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        assert pasted.stdout.splitlines()[:3] == [secret, "scan", "lab/flask-published/plan.toml"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", pasted.stdout.splitlines()[4])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert not file.exists()


def test_a_service_that_ends_by_itself_is_an_error_and_not_a_wait_for_ever() -> None:
    with in_foreground("run", "flask-published", "--port", "0") as process:
        found = re.search(r"listens on http://(\S+);", said(process))
        assert found
        listing = subprocess.run(["ps", "-ww", "-Ao", "pid=,args="], capture_output=True, text=True, check=True).stdout
        # The service alone, not the process that holds it on its leash.
        for pid in re.findall(rf"(?m)^ *(\d+) (?!.*_leash).*--bind {re.escape(found[1])} ", listing):
            os.kill(int(pid), signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 2
        assert err.startswith("tocsin: flask-published ended by itself with status 137")


def test_generate_writes_the_service_of_a_seed_and_starts_it() -> None:
    with in_foreground("generate", "109", "--port", "0") as process:
        shown = said(process)
        folder = Path(shown.splitlines()[1].strip())
        assert shown.startswith("generated-109: Seed 109: lock-per-process on file, flask, 2 processes")
        assert f"tocsin scan {folder / 'plan.toml'} --base-url http://127.0.0.1:" in shown
        assert (folder / "expected.toml").is_file()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out.strip(), err) == (0, "generated-109 is stopped.", "")
    assert not folder.exists()


def test_a_folder_that_is_named_keeps_the_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.run(parse("generate", "109", "--into", str(tmp_path / "new"), "--no-start")) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "app.py",
        "expected.toml",
        "plan.toml",
        "seed",
        "service.toml",
    ]
    assert str(tmp_path / "new") in capsys.readouterr().out


def test_a_service_that_is_neither_kept_nor_started_is_refused() -> None:
    with pytest.raises(UsageError, match="--no-start leaves nothing behind: wanted --into FOLDER"):
        lab.run(parse("generate", "109", "--no-start"))


@pytest.mark.parametrize("seed", ["-1", "1.5", "", "٣", "x"])
def test_a_seed_that_is_no_whole_number_is_refused(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("generate", seed)
    assert "SEED" in capsys.readouterr().err


def test_verify_says_of_every_check_whether_the_truth_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And of one that is wrong, that it is: exit code 1."""
    assert lab.run(parse("generate", "109", "--into", str(tmp_path), "--no-start")) == 0
    truth = tmp_path / "expected.toml"
    truth.write_text(truth.read_text().replace('"NOT_OBSERVED"', '"VIOLATED"', 1))
    assert lab.run(parse("verify", str(tmp_path))) == 1
    out = capsys.readouterr().out
    assert "right  concurrent-duplicate: expected VIOLATED, seen VIOLATED" in out
    assert "WRONG  sequential-replay: expected VIOLATED, seen NOT_OBSERVED" in out
    assert out.endswith("expected.toml is wrong about 1 of them.\n")


def test_an_unknown_service_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"no service 'flask-publishd' in the lab; did you mean flask-published\?"):
        lab.run(parse("run", "flask-publishd"))


@pytest.mark.parametrize("port", ["-1", "65536", "80a", "", "٣"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("run", "flask-published", "--port", port)
    assert "wanted a number from 0 to 65535" in capsys.readouterr().err


def test_the_lab_is_found_above_the_working_directory_or_beside_an_install_in_place(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "_launch.py").touch()
    below = tmp_path / "deep" / "below"
    below.mkdir(parents=True)
    nowhere = Path("/nowhere/site-packages/tocsin/__init__.py")
    assert lab.find_checkout(below, nowhere) == tmp_path
    assert lab.find_checkout(Path("/"), tmp_path / "src" / "tocsin" / "__init__.py") == tmp_path
    with pytest.raises(UsageError, match=r"no lab/ in / or above it.*clone the tocsin repository"):
        lab.find_checkout(Path("/"), nowhere)


def test_a_plan_is_named_from_the_working_directory_where_that_is_possible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    secret = tmp_path / "it's secret"
    assert lab.scan_command(tmp_path / "a b.toml", secret, "").endswith("tocsin scan 'a b.toml'")
    assert lab.scan_command(Path("/else/plan.toml"), secret, "http://127.0.0.1:1").endswith(
        f"$(cat {shlex.quote(str(secret))}) tocsin scan /else/plan.toml --base-url http://127.0.0.1:1"
    )


def test_a_tocsin_that_is_not_on_the_path_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my env" / "bin" / "python"))
    assert lab.program() == "tocsin"
    (tmp_path / "my env" / "bin").mkdir(parents=True)
    (tmp_path / "my env" / "bin" / "tocsin").touch()
    assert lab.program() == "'my env/bin/tocsin'"


def test_a_relay_leads_to_a_port_of_somebody(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("relay", "0")
    assert "port 0: wanted the port of a service, from 1 to 65535" in capsys.readouterr().err
