import argparse

import pytest

from tocsin.cli import COMMANDS, main, schemes
from tocsin.cli._errors import UsageError
from tocsin.signing import PRESETS, Scheme


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    schemes.add_to(parser.add_subparsers())
    args = parser.parse_args(["schemes", *arguments])
    return int(args.run(args))


def test_the_list_names_every_preset_once_with_its_summary(capfd: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(None, 1) for line in lines] == [[name, scheme.summary] for name, scheme in PRESETS.items()]


def test_the_command_is_registered(capfd: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS["schemes"] is schemes
    assert main(["schemes", "show", "github"]) == 0
    assert capfd.readouterr().out.startswith("name            github\n")


def test_a_scheme_shows_what_it_signs_checks_and_leaves_open(capfd: pytest.CaptureFixture[str]) -> None:
    run("show", "stripe")
    assert capfd.readouterr().out == (
        "name            stripe\n"
        "                Stripe webhooks: hex HMAC-SHA256 of timestamp and raw body, several signatures while\n"
        "                secrets roll.\n"
        "signed content  {timestamp}.{body}\n"
        "algorithm       HMAC-SHA-256, hex\n"
        "secret          used as it is\n"
        "carried in      Stripe-Signature: t={timestamp},v1={signature}\n"
        "                A list, separated by ',': every signature is tried, unknown items are skipped.\n"
        "window          300 s into the past, 300 s into the future (unix)\n"
        "message id      /id in the body\n"
        "sent again      For up to 30 days.\n"
        "not covered     Method, path, query and every other header: an endpoint per secret, or a message for\n"
        "                one is valid for the other.\n"
        "source          https://docs.stripe.com/webhooks/signature\n"
        "unconfirmed     Nothing: the source says all of this.\n"
    )


@pytest.mark.parametrize("scheme", PRESETS.values(), ids=lambda scheme: scheme.name)
def test_every_preset_can_be_shown_and_names_source_and_gaps(scheme: Scheme, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("show", scheme.name) == 0
    shown = " ".join(capfd.readouterr().out.split())
    for text in (scheme.summary, scheme.not_covered, scheme.source, scheme.unconfirmed):
        assert " ".join(text.split()) in shown
    for name in scheme.written_headers:
        assert f"{name}: " in shown
    assert scheme.signature_pointer is None or f"{scheme.signature_pointer}: {{signature}}" in shown


@pytest.mark.parametrize(
    ("scheme", "line"),
    [
        ("github", "window          None: no timestamp is signed, so a message stays valid as long as its secret."),
        ("standard-webhooks", "secret          base64, after 'whsec_'"),
        ("adyen", "secret          hexadecimal"),
        ("github", "message id      None: nothing that is signed tells a repetition from an honest second message."),
        ("mailgun", "sent again      For up to 8 hours."),
        ("hex-sha256-body", "sent again      Nobody says for how long."),
        ("square", "public URL      Needed from configuration (--public-origin, public_origin): it is signed."),
        ("rfc9421-hmac-sha256", "                The sender chooses what it signs; at least @method, @target-uri,"),
        ("tocsin-v1", r"signed content  tocsin-v1\n{timestamp}\n{key_id}\n{method}\n{path}\n{query}\n"),
        ("mailgun", "carried in      in the body, /signature/timestamp: {timestamp}"),
    ],
)
def test_a_fact_that_is_different_is_said_in_words(scheme: str, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    run("show", scheme)
    assert f"\n{line}" in capfd.readouterr().out


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown preset 'githb'; did you mean 'github'"):
        run("show", "githb")
