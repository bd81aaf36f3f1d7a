"""`tocsin outbox`: run, list, resend and migrate, and every way in which its file can be wrong."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.outboxing.receiver import Receiver, receiving
from tests.outbox.conftest import Place
from tests.outbox.contract import put
from tests.untraced import untraced
from tocsin.cli import main
from tocsin.outbox import State

SECRET_TEXT = "a secret of the bench, 32 octets"
PARTNER = """
[destination.partner]
url = "{url}"
secret = {{ env = "PARTNER_SECRET" }}
secret_encoding = "utf8"
secret_prefix = ""
"""
AT_ONCE = "[runner]\nretry_s = []\npoll_s = 0.01\n"
Run = Callable[..., int]


@pytest.fixture
def written(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a file for the place; the environment has what it names."""
    for name, value in (place.environment | {"PARTNER_SECRET": SECRET_TEXT}).items():
        monkeypatch.setenv(name, value)

    def write(url: str) -> Path:
        path = tmp_path / "outbox.toml"
        path.write_text(f"[store]\n{place.config}\n{AT_ONCE}{PARTNER.format(url=url)}")
        return path

    return write


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_run_once_delivers_and_list_shows_it(
    place: Place, written: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ids = put(place, "partner", "partner")
    with receiving() as receiver:
        config = str(written(receiver.url))
        assert main(["outbox", "run", "--config", config, "--once"]) == 0
        assert {one.id for one in receiver.came} == set(ids)
    capsys.readouterr()
    assert main(["outbox", "list", "--config", config]) == 0
    shown = lines(capsys)
    assert shown[0].split() == ["message", "destination", "state", "attempts", "put", "(UTC)", "last", "error"]
    assert sorted(line.split()[:3] for line in shown[1:]) == sorted([one, "partner", "delivered"] for one in ids)
    assert main(["outbox", "list", "--config", config, "--state", "dead", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_dead_messages_are_listed_and_sent_again(
    place: Place, written: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (message_id,) = put(place, "partner")
    statuses = iter([500, 204, 204])
    with receiving(lambda _: (next(statuses), {})) as receiver:
        config = str(written(receiver.url))
        assert main(["outbox", "run", "--config", config, "--once", "--quiet"]) == 0
        capsys.readouterr()
        assert main(["outbox", "list", "--config", config, "--state", "dead", "--json"]) == 0
        (shown,) = json.loads(capsys.readouterr().out)
        assert (shown["id"], shown["state"], shown["error"]) == (message_id, "dead", "answered 500")
        assert main(["outbox", "resend", "--config", config, "--dead", "--destination", "others"]) == 0
        assert main(["outbox", "resend", "--config", config, "--dead"]) == 0
        assert lines(capsys) == ["due again: 0 messages", "due again: 1 messages"]
        assert main(["outbox", "resend", "--config", config, message_id, "msg_none"]) == 1
        assert lines(capsys) == [
            f"{message_id}: no such message, or it is waiting to be sent anyway",
            "msg_none: no such message, or it is waiting to be sent anyway",
            "due again: 0 messages",
        ]
        assert main(["outbox", "run", "--config", config, "--once"]) == 0
        assert main(["outbox", "resend", "--config", config, message_id]) == 0
        assert main(["outbox", "run", "--config", config, "--once"]) == 0
        assert [one.id for one in receiver.came] == [message_id] * 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_runner_when_what_it_sends_is_sent(
    number: signal.Signals, place: Place, written: Callable[[str], Path]
) -> None:
    def answers(_delivery: object) -> tuple[int, dict[str, str]]:
        process.send_signal(number)
        return 204, {}

    with receiving(answers) as receiver:
        command = [sys.executable, "-m", "tocsin", "outbox", "run", "--config", str(written(receiver.url))]
        with subprocess.Popen(
            command, env=untraced(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().endswith(" to partner; Ctrl-C ends\n")
            put(place, "partner")
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "delivered at attempt 1" in err
    assert SECRET_TEXT not in err
    with place.outbox.connected() as session:
        assert [kept.state for kept in session.list()] == [State.DELIVERED]


def test_whoever_has_no_destination_is_named(
    place: Place, written: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    put(place, "others", "others")
    with receiving() as receiver:
        assert main(["outbox", "run", "--config", str(written(receiver.url)), "--once"]) == 0
    assert "2 messages wait for others, which " in capsys.readouterr().err


def test_migrate_makes_the_table(
    place: Place, written: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with place.begun() as tx:
        tx.execute("DROP TABLE tocsin_outbox")
    config = str(written("https://partner.example/"))
    assert main(["outbox", "list", "--config", config]) == 2
    assert "has no table tocsin_outbox; `tocsin outbox migrate` makes it" in capsys.readouterr().err
    assert main(["outbox", "migrate", "--config", config]) == 0
    assert main(["outbox", "list", "--config", config]) == 0


@pytest.mark.usefixtures("file_place")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "[store] is missing or no table"),
        ("[store]\n", "[store] wants one of sqlite"),
        ('[store]\nsqlite = "a"\npostgres_env = "B"\n', "[store] wants one of sqlite"),
        ('[store]\nsqlit = "a"\n', '[store] has an unknown key "sqlit"; did you mean "sqlite"?'),
        ('[store]\nzzz = "a"\n', "known: postgres_env, sqlite"),
        ("[store]\nsqlite = 3\n", "[store] sqlite = 3: wanted a text"),
        ('[store]\npostgres_env = "OUTBOX_NONE"\n', "the environment has no OUTBOX_NONE"),
        ('[store]\nsqlite = "a"\n', "the file has no [destination.NAME]"),
        ("store = 1\n[x]\n", 'the file has an unknown key "x"'),
        ("[store\n", "outbox.toml: not TOML: Expected"),
        ("a = " + "[" * 5000, "outbox.toml: not TOML: it is nested too deeply"),
        ('D\n[runner]\nretry_s = ["1"]\n', "[runner] retry_s = ['1']: wanted a list of seconds"),
        ("D\n[runner]\nretry_s = [-1]\n", "wanted a list of seconds"),
        ("D\n[runner]\nretry_s = [1, 1e300]\n", "wanted a list of seconds"),
        ("D\n[runner]\nkeep_delivered_days = 1e18\n", "[runner] keep_delivered_days = 1e+18: wanted at most 36525"),
        ("D\n[runner]\npoll_s = 0\n", "[runner] poll_s = 0: wanted 0.01 to 60 seconds"),
        ("D\n[runner]\npoll_s = true\n", "[runner] poll_s = True: wanted a number"),
        ("D\nworkers = 0.5\n", "[destination.partner] workers = 0.5: wanted a whole number"),
        ("D\ntimeout_s = 61\n", "partner: timeout_s = 61.0: wanted more than 0, at most 60"),
        ('D\nurl_env = "X"\n', "[destination.partner] wants one of url and url_env"),
        ('D\npreset = "standard-webhook"\n', "did you mean 'standard-webhooks'"),
        ('D\npreset = "hex-sha256-body"\nsecret_encoding = "hex"\n', "the secret is not hex"),
        ('[store]\nsqlite = "orders.db"\n[destination.partner]\nurl = "https://x/"\n', "[destination.partner] "),
        ('[store]\nsqlite = "a"\n[destination]\npartner = 1\n', "[destination.partner] is missing or no table"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_is_wanted(
    text: str,
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PARTNER_SECRET", SECRET_TEXT)
    usual = f'[store]\nsqlite = "{tmp_path / "orders.db"}"\n[destination.partner]\nurl = "https://x.example/"\n'
    usual += 'secret = { env = "PARTNER_SECRET" }\nsecret_prefix = ""\n'
    usual += "" if "secret_encoding" in text else 'secret_encoding = "utf8"\n'
    path = tmp_path / "outbox.toml"
    path.write_text(text.replace("D\n", usual, 1) if text.startswith("D\n") else text)
    assert main(["outbox", "run", "--config", str(path), "--once"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tocsin: ")
    assert wanted in error
    assert SECRET_TEXT not in error


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bin").write_bytes(b"\xff")
    for name, reason in (("none.toml", "No such file or directory"), (".", "Is a directory"), ("bin", "not UTF-8")):
        assert main(["outbox", "list", "--config", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.startswith(f"tocsin: {tmp_path / name}: {reason}")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["list", "--limit", "0"], "--limit 0: wanted 1 or more"),
        (["list", "--limit", "9" * 20], f"--limit {'9' * 20}: wanted at most 1000000000"),
        (["resend"], "wanted message ids, or --dead"),
        (["resend", "msg_1", "--dead"], "wanted message ids, or --dead"),
        (["resend", "msg_1", "--destination", "a"], "--destination goes with --dead"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["outbox", *words]) == 2
    assert wanted in capsys.readouterr().err


def test_a_database_out_of_reach_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTBOX_DSN", "postgresql://shop:canary-7d1f@127.0.0.1:1/orders")
    (tmp_path / "outbox.toml").write_text('[store]\npostgres_env = "OUTBOX_DSN"\n')
    assert main(["outbox", "list", "--config", str(tmp_path / "outbox.toml")]) == 3
    error = capsys.readouterr().err
    assert error == "tocsin: orders at 127.0.0.1: cannot be reached (OperationalError)\n"


def test_a_url_with_a_token_comes_from_the_environment(
    file_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver: Receiver
    with receiving() as receiver:
        monkeypatch.setenv("PARTNER_URL", f"{receiver.url}?token=canary-7d1f")
        monkeypatch.setenv("PARTNER_SECRET", SECRET_TEXT)
        text = PARTNER.replace('url = "{url}"', 'url_env = "PARTNER_URL"').format()
        (tmp_path / "outbox.toml").write_text(f'[store]\nsqlite = "orders.db"\n{text}')
        put(file_place, "partner")
        assert main(["outbox", "run", "--config", str(tmp_path / "outbox.toml"), "--once"]) == 0
    shown = capsys.readouterr()
    assert "canary" not in shown.out + shown.err


def on_the_base_install(folder: Path, *words: str) -> tuple[int, str]:
    hidden = "import sys; sys.modules['httpx'] = None; from tocsin.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", hidden, "outbox", *words, "--config", str(folder / "outbox.toml")],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    return ended.returncode, ended.stderr


def test_the_base_install_does_all_but_sending_and_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text(
        '[store]\nsqlite = "orders.db"\n[destination.a]\nurl = "https://a.example/"\n'
    )
    (tmp_path / "orders.db").touch()
    for words in (["migrate"], ["list"], ["resend", "--dead"]):
        assert on_the_base_install(tmp_path, *words) == (0, "")
    wanted = "tocsin: sending the outbox needs httpx: pip install 'tocsin[outbox]'\n"
    assert on_the_base_install(tmp_path, "run", "--once") == (2, wanted)
