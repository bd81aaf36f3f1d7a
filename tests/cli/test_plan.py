"""`tocsin plan new` and `tocsin plan check`, from their words to their exit codes."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.inputs.documents import SHOP, SIGNATURE, archive, session
from tests.scan.services.commanding import plan as plan_of
from tests.scan.services.desk import SECRET, Answer, Asked, Desk
from tests.scan.services.serving import serving
from tocsin.cli import _foreign, main
from tocsin.scan import plan_from_toml

pytestmark = pytest.mark.usefixtures("elsewhere")

CAPTURE = Path(__file__).parents[1] / "inputs" / "captures" / "orders.mitm"
CURL = (
    f"curl http://127.0.0.1:8000/order -H 'X-Signature: {SIGNATURE}' -H 'Cookie: sid=hush' "
    """-d '{"order_id":"o-1"}'"""
)
RAW = "POST /order HTTP/1.1\r\nHost: shop.example\r\nContent-Type: application/json\r\n\r\n" + '{"order_id":"o-1"}'


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["plan", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def write(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (CURL, 'path = "/order"'),
        (f"\n{CURL}\n", 'base_url = "http://127.0.0.1:8000"'),
        (RAW, 'base_url = "http://127.0.0.1:8000"  # TODO: where does the service run?'),
        (archive(*session()), 'base_url = "https://shop.example"'),
        (CAPTURE.read_bytes(), "per_effect = -1  # as the source shows it"),
        (SHOP, 'preset = "github"'),
        (f"{RAW}\nopenapi: 3", "# TODO: the source's body (application/json) is left out"),
        ('{"openapi": "3.1.0", "paths": {"/pay": {"post": {}}}}', 'path = "/pay"'),
    ],
    ids=["curl", "curl with blank lines", "raw", "har", "flows", "yaml", "raw with words of another kind", "json"],
)  # fmt: skip
def test_a_plan_is_made_of_whatever_a_file_holds(
    capsys: pytest.CaptureFixture[str], content: str | bytes, line: str
) -> None:
    code, out, err = said(capsys, "new", write("source", content))

    assert (code, err) == (0, "")
    assert line in out
    assert "hush" not in out
    plan_from_toml(out, "plan.toml")


def test_a_pasted_command_becomes_a_file_that_is_not_overwritten_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("new", "--curl", CURL, "--scheme", "stripe", "--secret-env", "ORDERS_SECRET", "-o", "plan.toml")
    code, out, _ = said(capsys, *words)

    assert (code, out) == (0, "plan.toml: 7 TODOs left; tocsin plan check plan.toml\n")
    text = Path("plan.toml").read_text(encoding="utf-8")
    assert 'preset = "stripe"\nsecret = { env = "ORDERS_SECRET" }\n' in text
    assert said(capsys, *words)[::2] == (
        2,
        "tocsin: plan.toml is there already: wanted --force to overwrite it\n",
    )
    assert Path("plan.toml").read_text(encoding="utf-8") == text
    write("plan.toml", "x" * 10_000)
    assert said(capsys, *words, "--force")[0] == 0
    assert Path("plan.toml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["new"], "wanted one of FROM and --curl"),
        (["new", "raw.http", "--curl", CURL], "wanted one of FROM and --curl"),
        (["new", "--curl", CURL, "--entry", "1"], "--entry goes with a file"),
        (["new", "--curl", "curl --upload-file x http://a"], "--curl: option --upload-file is not understood"),
        (["new", "--curl", CURL, "--scheme", "strip"], "--scheme: unknown preset 'strip'; did you mean 'stripe'?"),
        (["new", "raw.http", "--entry", "1"], "--entry 1: raw.http holds one request"),
        (["new", "none"], "none: No such file or directory"),
        (["new", "a\0b"], "wanted the name of a file"),
        (["new", "."], ".: wanted a file"),
        (["new", "words"], "words: nothing that is understood: wanted a curl command, a raw HTTP request, a HAR"),
        (["new", "latin.curl"], "latin.curl: not UTF-8"),
        (["new", "short.http"], "short.http: Content-Length says 9"),
        (["new", "long"], "long: longer than 1000 octets"),
        (["new", "a.har", "--entry", "4"], "a.har: --entry 4: it has 4 entries"),
        (["new", "half.json"], "half.json:1: not JSON"),
        (["new", "half.har"], "half.har:1: not JSON"),
        (["new", "a.har", "-o", "no/plan.toml"], "no/plan.toml: No such file or directory"),
        (["check", "none"], "none: No such file or directory"),
        (["check", "latin.curl"], "latin.curl: not UTF-8, as TOML is"),
        (["check", "p.toml", "--authorized-for", "a"], "--authorized-for goes with --probe"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_is_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], wanted: str
) -> None:
    write("raw.http", RAW)
    write("words", "hush, a secret")
    write("latin.curl", b"curl http://a -d '\xff'")
    write("short.http", RAW.replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\n"))
    write("long", "curl " + "x" * 3000)
    if words[-1] == "long":
        monkeypatch.setattr(_foreign, "_MOST_BYTES", 1000)
    write("a.har", archive(*session()))
    write("half.json", '{"openapi": ')
    write("half.har", '{"log": ')
    code, out, err = said(capsys, *words)

    assert (code, out) == (2, "")
    assert wanted in err
    assert err.startswith("tocsin: ")
    assert err.count("\n") == 1
    assert "hush" not in err


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [
        ("../parts.yaml", '$ref to the file "../parts.yaml": wanted one in the folder of the document'),
        ("link.yaml", "wanted one in the folder of the document"),
        ("none.yaml", "none.yaml: No such file or directory"),
        ("a%00b", "wanted the name of a file"),
        (
            "http://127.0.0.1:9/x.yaml",
            "wanted a place in this document (#/...) or a file beside it; nothing is fetched",
        ),
    ],
)
def test_a_description_reads_the_files_beside_it_and_no_others(
    capsys: pytest.CaptureFixture[str], ref: str, wanted: str
) -> None:
    Path("api").mkdir()
    write("parts.yaml", "post: {}")
    write("api/parts.yaml", "post: {}")
    Path("api/link.yaml").symlink_to("../parts.yaml")
    document = write("api/api.yaml", f"openapi: 3.0.0\npaths:\n  /pay: {{$ref: {ref}}}\n")

    assert wanted in said(capsys, "new", document)[2]
    write(document, "openapi: 3.0.0\npaths:\n  /pay: {$ref: parts.yaml}\n")
    assert 'path = "/pay"' in said(capsys, "new", document)[1]


def test_what_is_not_installed_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("tocsin.inputs.openapi", "tocsin.inputs._document"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "yaml", None)

    assert said(capsys, "new", write("api.yaml", SHOP)) == (
        2,
        "",
        "tocsin: this needs yaml: pip install 'tocsin[scan]'\n",
    )


def test_a_complete_plan_is_explained_and_nothing_is_sent(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "check", plan_of(desk))

    assert (code, err) == (0, "")
    assert desk.asked == []
    for line in (
        f"Would scan {desk.base_url}, by plan.toml",
        "    one operation is one value of: uuid",
        "  sequential-replay: The same signed request again, later: another effect?",
        "  reordering: NOT_APPLICABLE, no [sequence]",
        "  POST /order HTTP/1.1",
        "  X-Signature: ...",
        '","item":"{{item}}"}',
        "  item: from the answer to a [[setup]], new in each trial",
        "  uuid: made anew for each distinct request (uuid4)",
        "  environment variable DESK_SECRET\n",
        "Permission that a scan wants on its command line\n  none",
        "At most 20000 requests, 20000 effects and 10 s",
    ):
        assert line in out
    assert out.endswith("\nNothing was sent.\n")
    assert SECRET not in out


def test_what_is_still_to_be_filled_in_is_listed_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "new", "--curl", CURL, "-o", "plan.toml")
    text = Path("plan.toml").read_text(encoding="utf-8")
    write("plan.toml", f'{text}\n[[teardown]]\nrequest = "TODO /"\n')
    code, out, _ = said(capsys, "check", "plan.toml")

    assert code == 3
    assert "plan.toml:16: Cookie is left out, for it may be a secret; does the service need it?" in out
    assert "where does an effect show?" in out
    assert "plan.toml:2:" not in out
    assert ": a value is to be filled in\n" in out


def test_only_what_depends_on_the_secret_is_masked(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "check", plan_of(desk, signing={"preset": "slack"}))

    assert code == 0
    assert re.search(r"  X-Slack-Request-Timestamp: [0-9]{10}\n  X-Slack-Signature: v0=\.\.\.\n", out)


def test_an_error_in_a_table_on_one_line_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    plan = 'target.base_url = "http://127.0.0.1:1"\nrequest.path = "/"\nsigning = { preset = "stripe", secret = 7 }\n'
    assert said(capsys, "check", write("plan.toml", plan))[2].startswith("tocsin: plan.toml: [signing] secret is no")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('pointer = "/stock"', 'pointr = "/stock"', 'plan.toml:21: [[state]] 2 has an unknown key "pointr"'),
        ('method = "POST"', "method = 7", "plan.toml:5: [request] method = 7: wanted a string"),
        ('base_url = "http://127.0.0.1:8000"', 'base_url = "x"', "plan.toml:2: base_url 'x': wanted http://host:port"),
        ('path = "/order"', 'path = "/order', "plan.toml:6: not TOML"),
        ("[signing]", "[singing]", 'plan.toml:10: the plan has an unknown key "singing"'),
        ("Shop = 'a'", "Host = 'a'", "plan.toml:7: [request] headers Host: it is made for every request"),
        ('preset = "stripe"', 'preset = "strip"', "plan.toml:10: [signing] unknown preset"),
        ('"{{uuid}}"', '"{{uid}}"', "plan.toml:4: [request] POST /order mentions {{uid}}, which nothing defines"),
        ("[target]", "[budget]", "plan.toml: the plan lacks [target]"),
        ("[[state]]\nname", "[state]\nname", "plan.toml:19: not TOML"),
        ('secret = { env = "X" }', 'secret.env = "X"\nkey_id = 7', "plan.toml:13: [signing] key_id"),
        ('request = "GET /b"', 'request = "GET"', "plan.toml:20: [[state]] 2 request = 'GET': wanted"),
        ('secret = { env = "X" }', "", 'plan.toml:10: [signing] lacks "secret"'),
    ],
)  # fmt: skip
def test_an_error_in_a_plan_names_the_line(capsys: pytest.CaptureFixture[str], old: str, new: str, wanted: str) -> None:
    text = """\
[target]
base_url = "http://127.0.0.1:8000"

[request]
method = "POST"
path = "/order"
headers = { Shop = 'a' }
body = '{"id":"{{uuid}}"}'

[signing]
preset = "stripe"
secret = { env = "X" }

[[state]]
name = "one"
request = "GET /a"
pointer = "/count"

[[state]]
request = "GET /b"
pointer = "/stock"
"""
    assert said(capsys, "check", write("plan.toml", text))[0] == 0
    code, out, err = said(capsys, "check", write("plan.toml", text.replace(old, new)))

    assert (code, out) == (2, "")
    assert wanted in err


def test_permissions_and_secrets_are_said_before_they_are_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORDERS_SECRET", raising=False)
    plan = """\
[target]
base_url = "https://shop.example"
[request]
path = "/order"
body = '{"id":"{{uuid}}","at":{{timestamp}},"to":"{{to}}","hook":"{{sink_url}}"}'
[variables]
to = { value = "shop" }
[signing]
preset = "tocsin-v1"
key_id = "k1"
secret = { env = "ORDERS_SECRET" }
[request.headers]
Idempotency-Key = "{{uuid}}"
[[actor]]
key_id = "k2"
secret = { file = "two.txt" }
[[actor]]
key_id = "k3"
secret = { file = "three.txt" }
[[state]]
file = "orders.log"
[[state]]
sink = "127.0.0.1:0"
pointer = "/id"
equals = "{{uuid}}"
"""
    write("two.txt", "x" * 32)
    code, out, err = said(capsys, "check", write("plan.toml", plan))

    assert (code, err) == (0, "")
    for line in (
        "  --authorized-for shop.example: https://shop.example is not this machine, and\n    its owner must agree\n",
        "  --allow-oracle file: a [[state]] is read on this machine, as the plan says",
        "  --accept-effects N: without [reset], up to 500 effects stay",
        "  environment variable ORDERS_SECRET, which is not set here",
        "  file two.txt\n",
        "  file three.txt, which is not there",
        "  timestamp: the instant that is signed",
        "  sink_url: where the sink listens",
        "  to: always the same",
        ",k=k1,v1=...",
    ):
        assert line in out
    assert '"hook":"{{sink_url}}"' in out
    literal = plan.replace('{ env = "ORDERS_SECRET" }', '{ value = "hush" }')
    assert "in the plan itself" in said(capsys, "check", write("plan.toml", literal))[1]


ESCAPES = r"""
target.base_url = "http://127.0.0.1:8000"
request = { path = "/order", headers = { X = "h{{uuid}}" }, body = "b\u001b[31m\nb\u009b2J" }
signing = { preset = "hex-sha256-body", secret = { env = "S\u001b[31m" } }
state = [{ file = "f\u202e" }]
"""


def test_a_plan_that_nobody_has_read_yet_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor can the line of it that is to be filled in."""
    words = write("plan.toml", f"# TODO: \u009b2J\n{ESCAPES}"), "--base-url", "http://127.0.0.1:1"
    shown = said(capsys, "check", *words)[1]
    assert main(["scan", "plan.toml", "--dry-run"]) == 0
    shown += capsys.readouterr().out
    assert {mark for mark in shown if not mark.isprintable()} == {"\n"}
    assert all(
        escape in shown for escape in (r"S\x1b[31m", r"b\x1b[31m", r"b\x9b2J", r"f\u202e", r"plan.toml:1: \x9b2J")
    )


def test_a_check_fits_80_columns_but_for_what_the_plan_says(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "check", write("plan.toml", ESCAPES))[1].splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_a_captured_plan_is_explained_without_its_signature(capsys: pytest.CaptureFixture[str]) -> None:
    write("orders.curl", CURL)
    write("plan.toml", '[target]\nbase_url = "http://127.0.0.1:1"\n[captured]\ncurl = "orders.curl"\n')
    code, out, _ = said(capsys, "check", "plan.toml")

    assert code == 0
    assert "Sent as it was captured" in out
    assert SIGNATURE not in out
    assert "Secrets" not in out


def test_a_probe_reads_what_shows_effects_and_changes_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    states = [
        {"name": "orders", "request": "GET /orders/{{uuid}}", "pointer": "/count", "sign": True},
        {"request": "GET /items/{{item}}", "pointer": "/stock"},
        {"name": "log", "file": "orders.log"},
    ]
    invariants = [{"request": "GET /all", "sum_of": ["/count"], "equals": 0}]
    name = plan_of(desk, state=states, invariant=invariants)
    code, out, err = said(capsys, "check", name, "--probe")

    assert (code, err) == (0, "")
    assert "  orders: 0\n" in out
    assert "  GET /items/{{item}}: not read: {{item}} is made by [[setup]], which changes state\n" in out
    assert "  log: not read: it is not asked of the service\n" in out
    assert "  GET /all: the sum is 0, as it is to be\n" in out
    assert out.endswith("\nNothing that changes anything was sent.\n")
    assert {asked.method for asked in desk.asked} == {"GET"}
    assert [bool(asked.signature) for asked in desk.asked] == [True, True, False]


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"state": [{"request": "POST /items", "pointer": "/x"}]}, "POST /items: not read: it is no GET"),
        (
            {"state": [{"request": "GET /items/none", "pointer": "/x"}]},
            "GET /items/none: [[state]] GET /items/none was answered 404",
        ),
        ({"invariant": [{"request": "GET /all", "sum_of": ["/count"], "equals": 7}]}, "GET /all: the sum is 0, not 7"),
        ({"invariant": [{"request": "GET /all", "sum_of": ["/x"], "equals": 7}]}, 'nothing at "/x"'),
    ],
)
def test_what_cannot_be_read_is_said_and_is_no_success(
    desk: Desk, capsys: pytest.CaptureFixture[str], changed: dict[str, object], wanted: str
) -> None:
    code, out, _ = said(capsys, "check", plan_of(desk, **changed), "--probe")

    assert code == 3
    assert wanted in out


def test_a_state_that_moves_by_itself_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Busy(Desk):
        def read(self, asked: Asked) -> Answer:
            self.taken += 1
            return super().read(asked)

    with serving(Busy()) as desk:
        code, out, _ = said(
            capsys, "check", plan_of(desk, state=[{"request": "GET /all", "pointer": "/count"}]), "--probe"
        )

    assert code == 3
    assert "GET /all: 1, then 2: somebody else writes, so effects cannot be counted" in out


def test_a_probe_goes_nowhere_without_permission_and_says_where_nobody_answers(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = {"request": "GET /all", "pointer": "/count", "sign": True}
    name = plan_of(desk, state=[read])
    code, _, err = said(capsys, "check", name, "--probe", "--base-url", "http://shop.example")
    assert (code, err.partition(":")[2].strip()[:26]) == (2, "http://shop.example is not")
    code, _, err = said(
        capsys, "check", name, "--probe", "--base-url", "http://nobody.invalid", "--authorized-for", "nobody.invalid"
    )
    assert code == 3
    assert "nothing to read: " in err
    monkeypatch.delenv("DESK_SECRET")
    code, _, err = said(capsys, "check", name, "--probe")
    assert (code, "DESK_SECRET" in err) == (2, True)
    assert desk.asked == []


def test_a_plan_and_its_explanation_hold_nothing_that_was_secret(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = ["hush-cookie", "hush-bearer", "hush-password", SIGNATURE]
    words = f"-H 'Cookie: {hidden[0]}' -H 'Authorization: Bearer {hidden[1]}' -H 'X-Signature: {SIGNATURE}'"
    body = json.dumps({"order_id": "o-1", "password": hidden[2]})
    made = said(capsys, "new", "--curl", f"curl http://127.0.0.1:1/order {words} -d '{body}'", "-o", "plan.toml")
    shown = Path("plan.toml").read_text(encoding="utf-8") + "".join(
        map(str, (made, said(capsys, "check", "plan.toml")))
    )

    assert "{{password}}" in shown
    assert [secret for secret in hidden if secret in shown] == []
