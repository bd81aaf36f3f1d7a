"""`tocsin scan --curl`: a pasted request in place of a plan file."""

import json
import shlex
from pathlib import Path

import pytest

from tests.scan.services.commanding import said
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import DUPLICATES
from tests.scan.services.serving import serving

pytestmark = pytest.mark.usefixtures("brisk", "elsewhere")

CURL = """curl -X POST {0}/order -H 'X-Signature: {1}' -d '{{"order_id":"{{{{uuid}}}}","item":"sku"}}'"""


def test_a_pasted_curl_command_is_scanned_like_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    class OneItem(Unlocked):
        def is_left(self, _order: object) -> bool:
            return True

    how = ["--scheme", "hex-sha256-body", "--secret-env", "DESK_SECRET", "--accept-effects", "400"]
    where = ["--state", "GET /orders/{{uuid}}", "--pointer", "/count"]
    with serving(OneItem()) as desk:
        command = CURL.format(desk.base_url, "5ec2e7" * 10)
        code, _, err = said(capsys, "--curl", command, *how, *where, "--only", DUPLICATES, "--json", "r.json")
        [finding] = json.loads(Path("r.json").read_text(encoding="utf-8"))["findings"]
        _, _, *again = shlex.split(finding["reproducer"]["command"])
        code_again, _, _ = said(capsys, *again)

    assert (code, err, finding["verdict"]) == (1, "", "VIOLATED")
    assert "5ec2e7" not in json.dumps(finding)
    assert code_again == 1


def test_a_curl_command_has_a_key_id_where_its_scheme_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    command = "curl http://127.0.0.1/order -H 'Idempotency-Key: {{uuid}}' -d x"
    words = ["--curl", command, "--scheme", "tocsin-v1", "--secret-env", "S", "--dry-run"]
    assert said(capsys, *words)[0] == 2
    code, out, _ = said(capsys, *words, "--key-id", "k1")
    assert code == 0
    assert "signature: tocsin-v1" in out


def test_a_curl_command_with_an_unknown_scheme_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "--curl", "curl http://127.0.0.1", "--scheme", "hex-sha", "--secret-env", "S")
    assert code == 2
    assert err.startswith("tocsin: --scheme: unknown preset 'hex-sha'")
