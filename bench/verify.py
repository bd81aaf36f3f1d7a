"""What does a verification cost? `python -m bench.verify [--rounds N]` -> bench/results/verify.json

Per call, in microseconds, at three body sizes: ours, beside each provider's own SDK on the same message, beside bare
HMAC-SHA256 (`hmac.new(secret, body).hexdigest()` and `compare_digest`, as a hand-written check has it) and beside
`hashlib.sha256(body)`, which nobody can beat. In every round each subject runs for about as long, in shuffled order.
Times are medians over the rounds; ratios are medians of the ratios within one round, so a slow moment of the machine
is in both. Every message is signed anew for each round, and every subject has to accept it before it is timed.

The SDKs come with the dependency group "oracles"; one that is not installed is named in the result. A body is JSON.
"""

import argparse
import gc
import hashlib
import hmac
import importlib.metadata
import json
import logging
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from bench._host import facts
from bench._sdks import SDKS, URL, Check, Sdk, Signed
from tocsin.signing import PRESETS, KeyRing, Message, preset, signed_message, verify

RESULTS = Path(__file__).parent / "results" / "verify.json"
SIZES = (256, 4096, 1 << 20)
SAMPLE_NS = 3_000_000
TEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEX_TEXT = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
BARE = "bare HMAC-SHA256"
FLOOR = "hashlib.sha256"


OURS = ("hex-sha256-body", "tocsin-v1", *(sdk.preset for sdk in SDKS))


def signed_by(name: str, size: int, now: float) -> Signed:
    scheme = PRESETS[name]
    text = HEX_TEXT if scheme.secret_encoding == "hex" else TEXT
    document: dict[str, object] = {"id": "evt_1", "data": ""}
    if scheme.signature_pointer is not None:
        document["signature"] = {}
    body = json.dumps(document | {"data": "x" * (size - len(json.dumps(document)))}).encode()
    target = "/order?bodySHA256=" + hashlib.sha256(body).hexdigest() if name == "twilio-json" else "/order"
    headers = (
        ("Host", "api.example.com"),
        ("User-Agent", "sender/1.0"),
        ("Accept", "*/*"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(size)),
        ("Idempotency-Key", "order-17"),
        *(((scheme.message_id.header, "msg_1"),) if scheme.message_id and scheme.message_id.header else ()),
    )
    message = Message("POST", target, tuple(dict(headers).items()), body, URL)
    secret = scheme.decode_secret(text.encode(), key_id="k1")
    return Signed(signed_message(message, scheme, secret, now=now, nonce="nonce1" if scheme.has_nonce else None), text)


def ours(name: str, signed: Signed) -> Check:
    scheme, message = preset(name), signed.message
    keys = KeyRing.of(scheme.decode_secret(signed.secret.encode(), key_id="k1"))
    return lambda: verify(message, scheme, keys, now=time.time())


def bare(signed: Signed) -> Check:
    secret, body = signed.secret.encode(), signed.body
    sent = hmac.new(secret, body, "sha256").hexdigest()
    return lambda: hmac.compare_digest(hmac.new(secret, body, "sha256").hexdigest(), sent)


def subjects(size: int, installed: Mapping[str, Sdk]) -> dict[str, Check]:
    now = time.time()
    signed = {name: signed_by(name, size, now) for name in dict.fromkeys(OURS)}
    plain = signed["hex-sha256-body"]
    found: dict[str, Check] = {FLOOR: lambda: hashlib.sha256(plain.body), BARE: bare(plain)}
    found |= {f"tocsin {name}": ours(name, signed[name]) for name in signed}
    return found | {name: sdk.check(signed[sdk.preset]) for name, sdk in installed.items()}


def timed(check: Check) -> float:
    """Microseconds per call, over a sample of fixed length."""
    began = time.perf_counter_ns()
    check()
    once = max(time.perf_counter_ns() - began, 100)
    calls = max(1, SAMPLE_NS // once)
    began = time.perf_counter_ns()
    for _ in range(calls):
        check()
    return (time.perf_counter_ns() - began) / calls / 1000


def accepted(name: str, check: Check) -> None:
    if check() in {None, False}:
        raise SystemExit(f"{name} does not accept what we signed")


def measure(size: int, rounds: int, installed: Mapping[str, Sdk], draw: random.Random) -> dict[str, object]:
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        checks = list(subjects(size, installed).items())
        draw.shuffle(checks)
        for name, check in checks:
            accepted(name, check)
            times[name].append(timed(check))
    versus = {name: f"tocsin {sdk.preset}" for name, sdk in installed.items()}
    return {
        "us_per_call": {name: round(statistics.median(times[name]), 2) for name in sorted(times)},
        "ratio_to_bare_hmac": {
            name: ratio(times[name], times[BARE]) for name in sorted(times) if name.startswith("tocsin ")
        },
        "ratio_to_sdk": {name: ratio(times[mine], times[name]) for name, mine in sorted(versus.items())},
    }


def ratio(these: list[float], those: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(these, those, strict=True)), 3)


def version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    versions = {sdk.distribution: version(sdk.distribution) for sdk in SDKS}
    installed = {sdk.distribution: sdk for sdk in SDKS if versions[sdk.distribution] is not None}
    gc.disable()
    draw = random.Random(args.seed)
    result = {
        "what": "verify, microseconds per call",
        "host": facts(),
        "rounds": args.rounds,
        "sdks": {name: found for name, found in versions.items() if found is not None},
        "missing": [name for name, found in versions.items() if found is None],
        "goals": {"4096": {"ratio_to_bare_hmac": 1.25}, "1048576": {"ratio_to_bare_hmac": 1.02}},
        "sizes": {str(size): measure(size, args.rounds, installed, draw) for size in SIZES},
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["sizes"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
