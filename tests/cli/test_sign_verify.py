import argparse
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tocsin.cli import sign, verify
from tocsin.cli._errors import UsageError
from tocsin.cli._har import parse_har
from tocsin.cli._raw_request import parse_raw_request
from tocsin.signing import Message

SECRET = "0123456789abcdef0123456789abcdef"
BODY = b'{"item":"sku-1"}'
REQUEST = (
    b"POST /order?x=1&y=%20 HTTP/1.1\r\n"
    b"Host: api\r\n"
    b"Content-Type: application/json\r\n"
    b"Idempotency-Key: order-17\r\n"
    b"\r\n"
) + BODY
# The first vector of tests/signing/vectors/tocsin-v1.json.
SIGNATURE = "t=1700000000,k=k1,v1=a415a6107167181eb83668e2067ccdd35b2c1498eba35d6009bac6a5723d7f5b"
V1 = ("--secret-env", "TOCSIN_TEST_SECRET", "--key-id", "k1")


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_TEST_SECRET", SECRET)


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "request.http"
    file.write_bytes(REQUEST)
    return file


def run(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    sign.add_to(subparsers)
    verify.add_to(subparsers)
    args = parser.parse_args([str(argument) for argument in arguments])
    return int(args.run(args))


def test_sign_adds_headers_and_touches_nothing_else(
    request_file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("sign", request_file, *V1, "--at", "1700000000") == 0
    head, _, _ = REQUEST.partition(b"\r\n\r\n")
    signed = head + b"\r\nTocsin-Signature: " + SIGNATURE.encode() + b"\r\n\r\n" + BODY
    assert capfdbinary.readouterr().out == signed


def test_sign_prints_only_the_headers_if_asked(request_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("sign", request_file, *V1, "--at", "1700000000", "--headers-only") == 0
    assert capfd.readouterr().out == f"Tocsin-Signature: {SIGNATURE}\n"


def test_what_sign_prints_verifies_now(
    request_file: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run("sign", request_file, *V1)
    signed = tmp_path / "signed.http"
    signed.write_bytes(capfdbinary.readouterr().out)
    assert run("verify", signed, *V1) == 0
    lines = [line.split(None, 1) for line in capfdbinary.readouterr().out.decode().replace(" id", "-id").splitlines()]
    facts = {name: value for name, value in lines if name not in {"age", "digest"}}
    assert facts == {"verified": "tocsin-v1", "key-id": "k1", "message-id": "order-17"}


def test_verify_prints_kind_and_reason_of_a_rejection_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    signed = tmp_path / "signed.http"
    signed.write_bytes(REQUEST.replace(b"\r\n\r\n", b"\r\nTocsin-Signature: " + SIGNATURE.encode() + b"\r\n\r\n"))
    assert run("verify", signed, *V1, "--at", "1700000301") == 1
    assert capfd.readouterr().out == "rejected: OutsideTolerance: the timestamp is 301 s old, and 300 s are tolerated\n"
    assert run("verify", signed, *V1, "--scheme", "github") == 1
    assert capfd.readouterr().out == "rejected: Missing: header X-Hub-Signature-256 is missing\n"


def test_a_request_may_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(REQUEST)))
    assert run("sign", *V1, "--scheme", "github") == 0
    assert b"\r\nX-Hub-Signature-256: sha256=" in capfdbinary.readouterr().out


def test_a_scheme_file_declares_scheme_and_secret_without_code(
    request_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.txt").write_text("c2VjcmV0IG9mIDE2IGJ5dGVz\n")
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[target]\nbase_url = "http://127.0.0.1:8000"\n[signing]\ncontent = "{nonce}\\n{timestamp}\\n{body}"\n'
        'hash = "sha1"\nencoding = "base64"\ntimestamp_header = "X-Time"\nnonce_header = "X-Nonce"\n'
        'secret = { file = "secret.txt" }\nsecret_encoding = "base64"\n'
    )
    options = ("--scheme-file", plan, "--at", "1700000000")
    assert run("sign", request_file, *options, "--nonce", "n-1", "--headers-only") == 0
    headers = capfd.readouterr().out
    # openssl dgst -sha1 -hmac 'secret of 16 bytes' -binary | base64, over "n-1\n1700000000\n" and the body
    assert headers == "X-Time: 1700000000\nX-Nonce: n-1\nX-Signature: 9xBkbJtunGY2eZEqQ7fDZ8RsIFM=\n"
    signed = tmp_path / "signed.http"
    signed.write_bytes(REQUEST.replace(b"\r\n\r\n", b"\r\n" + headers.replace("\n", "\r\n").encode() + b"\r\n"))
    assert run("verify", signed, *options) == 0
    assert "message id  none signed\nage         0.0 s\n" in capfd.readouterr().out


def test_options_win_over_the_scheme_file(
    request_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[signing]\npreset = "tocsin-v1"\nkey_id = "other"\nsecret = { env = "NOT_SET_ANYWHERE" }\n')
    assert run("sign", request_file, "--scheme-file", plan, *V1, "--at", "1700000000", "--headers-only") == 0
    assert SIGNATURE in capfd.readouterr().out


def test_a_secret_file_is_read_from_where_the_command_runs(
    request_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.toml").write_text('[signing]\npreset = "tocsin-v1"\n')
    monkeypatch.chdir(tmp_path)
    options = ("--scheme-file", "plans/plan.toml", "--secret-file", "secret.txt", "--key-id", "k1")
    assert run("sign", request_file, *options, "--at", "1700000000", "--headers-only") == 0
    assert SIGNATURE in capfd.readouterr().out


def test_a_short_secret_needs_an_explicit_word(
    request_file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_TEST_SECRET", "dev")
    with pytest.raises(UsageError, match="has 3 bytes; wanted at least 16"):
        run("sign", request_file, *V1)
    assert run("sign", request_file, *V1, "--allow-short-secret", "--headers-only") == 0
    assert capfd.readouterr().out.startswith("Tocsin-Signature: ")


def test_no_option_takes_a_secret(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("sign", "-", "--secret", SECRET)
    assert "unrecognized arguments" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--key-id", "k1"), "no secret; wanted --secret-env NAME or --secret-file FILE"),
        (("--secret-env", "NOT_SET_ANYWHERE"), "environment variable NOT_SET_ANYWHERE is not set"),
        (("--secret-env", "TOCSIN_TEST_SECRET"), "tocsin-v1 se(nds a key_id|lects secrets by key id)"),
        ((*V1, "--scheme", "githb"), r"unknown preset 'githb'; did you mean 'github'\?"),
        ((*V1, "--scheme-file", "nowhere.toml"), "nowhere.toml: No such file"),
        ((*V1, "--secret-encoding", "hexx"), "unknown secret_encoding 'hexx'"),
        ((*V1, "--secret-prefix", "whsec_"), "does not begin with 'whsec_'"),
    ],
)
@pytest.mark.parametrize("command", ["sign", "verify"])
def test_a_wrong_option_is_one_usage_error(
    command: str, arguments: tuple[str, ...], reason: str, request_file: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        run(command, request_file, *arguments)


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("[signing", r"plan\.toml: not TOML: Expected"),
        ("[target]\n", r"has no table \[signing\]"),
        ("a = " + "[" * 5000, r"plan\.toml: not TOML: it is nested too deeply"),
        ("a = " + "9" * 5000, r"plan\.toml: not TOML: an integer has more than 64 bits"),
        ("\udcff", r"plan\.toml: not UTF-8, as TOML is"),
    ],
)
def test_a_wrong_scheme_file_is_named(toml: str, reason: str, request_file: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(toml, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UsageError, match=reason):
        run("sign", request_file, "--scheme-file", plan)


def test_a_request_that_is_already_signed_is_not_signed_again(
    request_file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run("sign", request_file, *V1)
    request_file.write_bytes(capfdbinary.readouterr().out)
    with pytest.raises(UsageError, match="already has header Tocsin-Signature"):
        run("sign", request_file, *V1)


def test_a_missing_request_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere.http: No such file"):
        run("verify", tmp_path / "nowhere.http", *V1)


def with_field(message: Message) -> Message:
    return replace(message, headers=(*message.headers, ("N", "v")))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("body", [b"", b"a\r\n\r\nb\n\nc", b"\xff\0"])
def test_a_head_ends_its_lines_either_way_and_the_body_is_left_alone(line_end: bytes, body: bytes) -> None:
    lines = (b"PUT /a?b HTTP/1.1", b"X-A: 1 ", b"x-a:\t caf\xe9", b"X-Empty:", b"", b"")
    octets = line_end.join(lines) + body
    request = parse_raw_request(octets, public_origin="https://api.example.com")
    headers = (("X-A", "1"), ("x-a", "caf\u00e9"), ("X-Empty", ""))
    assert request.message == Message("PUT", "/a?b", headers, body, "https://api.example.com")
    assert request.rendered(request.message) == octets
    assert request.rendered(with_field(request.message)) == line_end.join((*lines[:4], b"N: v", b"", b"")) + body


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_a_request_may_end_with_its_head(end: bytes) -> None:
    request = parse_raw_request(b"GET / HTTP/2\nHost: a" + end)
    assert request.message == Message("GET", "/", (("Host", "a"),), b"")
    assert request.rendered(with_field(request.message)) == b"GET / HTTP/2\nHost: a\nN: v\n\n"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "wanted a request line"),
        (b"\n\n", "wanted a request line"),
        (b"POST /order\n\n", "wanted a request line"),
        (b"POST https://api/order HTTP/1.1\n\n", "wanted a request line"),
        (b"POST /or der HTTP/1.1\n\n", "wanted a request line"),
        (b"\xff\xfe /order HTTP/1.1\n\n", "wanted a request line"),
        (b"GET / HTTP/1.1\nHost\n\n", "wanted 'Name: value'"),
        (b"GET / HTTP/1.1\n folded: x\n\n", "wanted 'Name: value'"),
        (b"GET / HTTP/1.1\nHost : a\n\n", "wanted 'Name: value'"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "wanted 'Name: value'"),
        (b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n0\n\n", "wanted the decoded body"),
        (b"POST / HTTP/1.1\nContent-Length: 2\n\n{}\n", "Content-Length says 2 and the body has 3 bytes"),
        (b"POST / HTTP/1.1\nContent-Length: 02\n\n{}", "Content-Length says 02"),
    ],
)
def test_what_is_no_plain_request_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_raw_request(octets)


def test_a_long_value_is_read_at_once() -> None:
    """Its blanks are not looked at again from each of them: that would take minutes."""
    request = parse_raw_request(b"GET / HTTP/1.1\nA: \tb" + b" " * 500_000 + b"c \n\n")
    assert request.message.headers == (("A", f"b{' ' * 500_000}c"),)


def test_the_commands_need_no_third_party_package() -> None:
    script = (
        "import sys; import tocsin.cli.sign, tocsin.cli.verify;"
        "print([name for name in ('h11', 'rich', 'jinja2', 'flask') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    assert loaded == "[]\n"


CURL = (
    "curl -X POST 'http://api.example.com/order?x=1&y=%20' -H 'Idempotency-Key: order-17' "
    """--data-raw '{"item":"sku-1"}'"""
)


def test_a_curl_command_comes_back_with_the_signature_as_one_more_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("sign", "--curl", CURL + "\n", *V1, "--at", "1700000000") == 0
    signed = capfd.readouterr().out
    assert signed == f"{CURL} -H 'Tocsin-Signature: {SIGNATURE}'\n"
    assert run("verify", "--curl", signed, *V1, "--at", "1700000001") == 0
    assert "message id  order-17\n" in capfd.readouterr().out
    changed = signed.replace("sku-1", "sku-2")
    assert run("verify", "--curl", changed, *V1, "--at", "1700000001") == 1


def test_a_curl_command_may_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CURL.encode())))
    assert run("sign", "--curl", "-", *V1, "--at", "1700000000", "--headers-only") == 0
    assert capfd.readouterr().out == f"Tocsin-Signature: {SIGNATURE}\n"


def test_a_command_names_the_public_url_unless_an_option_does(capfd: pytest.CaptureFixture[str]) -> None:
    square = ("--scheme", "square", "--secret-env", "TOCSIN_TEST_SECRET", "--headers-only")
    outputs = []
    for more in ((), ("--public-origin", "http://api.example.com"), ("--public-origin", "https://other.example.com")):
        run("sign", "--curl", CURL, *square, *more)
        outputs.append(capfd.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_a_raw_request_has_no_public_url_of_its_own(request_file: Path) -> None:
    for command in ("sign", "verify"):
        with pytest.raises(UsageError, match=r"^square signs the public URL: wanted --public-origin URL$"):
            run(command, request_file, "--scheme", "square", "--secret-env", "TOCSIN_TEST_SECRET")


def har(**changes: object) -> dict[str, object]:
    request = {
        "method": "POST",
        "url": "https://api.example.com/order?x=1&y=%20#part",
        "httpVersion": "h2",
        "headers": [
            {"name": ":authority", "value": "api.example.com"},
            {"name": "idempotency-key", "value": "order-17"},
            {"name": "content-length", "value": str(len(BODY))},
            {"name": "transfer-encoding", "value": "chunked"},
        ],
        "postData": {"mimeType": "application/json", "text": BODY.decode()},
        "bodySize": len(BODY),
    }
    return {key: value for key, value in {**request, **changes}.items() if value is not None}


def har_file(tmp_path: Path, *requests: object) -> Path:
    file = tmp_path / "session.har"
    file.write_text(json.dumps({"log": {"entries": [{"request": request} for request in requests]}}))
    return file


def test_an_entry_of_an_archive_comes_back_as_a_signed_raw_request(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    archive = har_file(tmp_path, {}, har())
    assert run("sign", "--har", archive, "--entry", "1", *V1, "--at", "1700000000") == 0
    assert capfdbinary.readouterr().out == (
        b"POST /order?x=1&y=%20 HTTP/1.1\r\nHost: api.example.com\r\nidempotency-key: order-17\r\n"
        b"Tocsin-Signature: " + SIGNATURE.encode() + b"\r\nContent-Length: 16\r\n\r\n" + BODY
    )


def test_a_signed_entry_of_an_archive_verifies(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    headers = [
        {"name": "Host", "value": "api.example.com"},
        {"name": "Idempotency-Key", "value": "order-17"},
        {"name": "Tocsin-Signature", "value": SIGNATURE},
    ]
    archive = har_file(tmp_path, har(headers=headers))
    assert run("verify", "--har", archive, *V1, "--at", "1700000000") == 0
    assert "message id  order-17\n" in capfd.readouterr().out


def test_a_request_without_a_body_may_leave_it_out(tmp_path: Path) -> None:
    archive = har_file(tmp_path, har(method="GET", url="http://a", headers=[], postData=None, bodySize=-1))
    request = parse_har(archive.read_bytes(), 0, public_origin="https://api.example.com")
    assert request.message == Message("GET", "/", (("Host", "a"),), b"", "https://api.example.com")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (None, "entry 0 is no request"),
        ("text", "entry 0 is no request"),
        ({}, "entry 0 is no request"),
        (har(headers=[{"name": "X"}]), "entry 0 is no request"),
        (har(url="ws://api.example.com/"), "wanted an http URL"),
        (har(url="http://api.example.com/caf\u00e9"), "wanted an http URL"),
        (har(headers=[{"name": "X Y", "value": "1"}]), "header 'X Y' cannot stand in a request"),
        (har(headers=[{"name": "X", "value": "1\r\nY: 2"}]), "header 'X' cannot stand in a request"),
        (har(headers=[{"name": "X", "value": "\u20ac"}]), "header 'X' cannot stand in a request"),
        (har(postData={"params": []}), "the body is not there as text"),
        (har(postData={"text": "e30=", "encoding": "base64"}), "the body is not there as text"),
        (har(bodySize=17), "17 octets were sent and the archive's text has 16"),
        (har(postData={"text": "{}"}, bodySize=-1), "16 octets were sent and the archive's text has 2"),
    ],
)
def test_an_entry_whose_octets_cannot_be_known_is_refused(request_: object, reason: str, tmp_path: Path) -> None:
    archive = har_file(tmp_path, request_)
    if request_ is None:
        archive.write_text('{"log":{"entries":[{"request":17}]}}')
    with pytest.raises(UsageError, match=reason):
        run("sign", "--har", archive, *V1)


@pytest.mark.parametrize("octets", [b"", b"\xff", b"[]", b'{"log":[]}', b'{"log":{"entries":17}}', b"[" * 100_000])
def test_what_is_no_archive_is_refused(octets: bytes, tmp_path: Path) -> None:
    (tmp_path / "session.har").write_bytes(octets)
    with pytest.raises(UsageError, match=r"not an HTTP archive: wanted JSON with log\.entries"):
        run("sign", "--har", tmp_path / "session.har", *V1)


@pytest.mark.parametrize("number", ["1", "-1"])
def test_an_entry_that_is_not_there_is_refused(number: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--entry {number}: the archive has 1 entries, counted from 0"):
        run("sign", "--har", har_file(tmp_path, har()), "--entry", number, *V1)


def test_an_entry_needs_an_archive(request_file: Path) -> None:
    with pytest.raises(UsageError, match="--entry goes with --har FILE"):
        run("sign", request_file, "--entry", "0", *V1)


def test_only_one_request_is_named(request_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("sign", request_file, "--curl", CURL, *V1)
    assert "not allowed with argument" in capfd.readouterr().err


def test_a_curl_command_that_is_not_understood_is_one_usage_error() -> None:
    with pytest.raises(UsageError, match="--curl: option --next is not understood"):
        run("sign", "--curl", CURL + " --next", *V1)


MAILGUN = b'{"signature":{"timestamp":"1","token":"0123456789abcdef","signature":""},"event-data":{"id":"e"}}'


def test_a_scheme_that_signs_in_the_body_rewrites_it_and_its_length(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "event.http"
    file.write_bytes(b"POST /hook HTTP/1.1\r\nContent-Length: %d\r\nHost: a\r\n\r\n" % len(MAILGUN) + MAILGUN)
    options = ("--scheme", "mailgun", "--secret-env", "TOCSIN_TEST_SECRET")
    assert run("sign", file, *options, "--at", "1700000000", "--nonce", "token-1") == 0
    signed = capfdbinary.readouterr().out
    file.write_bytes(signed)
    assert run("verify", file, *options, "--at", "1700000001") == 0
    with pytest.raises(UsageError, match="carries its signature in the body; wanted a raw request, not --curl"):
        run("sign", "--curl", f"curl http://a -d '{MAILGUN.decode()}'", *options, "--nonce", "token-1")


def test_a_secret_is_read_as_the_schemes_provider_writes_it(
    request_file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    request_file.write_bytes(REQUEST.replace(b"\r\n\r\n", b"\r\nwebhook-id: msg_1\r\n\r\n"))
    options = ("--scheme", "standard-webhooks", "--secret-env", "TOCSIN_TEST_SECRET", "--at", "1700000000")
    assert run("sign", request_file, *options, "--headers-only") == 0
    decoded = capfd.readouterr().out
    explicit = ("--secret-encoding", "base64", "--secret-prefix", "whsec_")
    assert run("sign", request_file, *options, *explicit, "--headers-only") == 0
    assert capfd.readouterr().out == decoded
