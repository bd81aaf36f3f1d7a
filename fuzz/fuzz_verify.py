"""Invariant: for any message whatever, verify() returns Verified or raises a kind of Rejected, and nothing else.

And what it accepts is right: a message that verifies has, under the signature, the content that was signed.

    python fuzz/fuzz_verify.py --seconds 20           a seeded mutator, no package needed
    python fuzz/fuzz_verify.py --atheris corpus/      coverage-guided, where atheris is installed; libFuzzer's options

A failure prints the seed and the message; it becomes a test in tests/signing.
"""

import argparse
import random
import sys
import time
from dataclasses import replace

from tocsin.signing import PRESETS, KeyRing, Message, MessageId, Rejected, Scheme, Secret, sign, verify

SECRET = Secret(b"0123456789abcdef", "k1")
KEYS = KeyRing.of(SECRET, Secret(b"fedcba9876543210", "k2"))
NOW = 1_700_000_000
SCHEMES = (
    *PRESETS.values(),
    Scheme(
        name="list",
        content="{header:webhook-id}.{timestamp}.{body}",
        encoding="base64",
        header="webhook-signature",
        value="v1,{signature}",
        item_separator=" ",
        timestamp_header="webhook-timestamp",
        message_id=MessageId(header="webhook-id"),
    ),
    Scheme(
        name="nonce",
        content="{timestamp}:{nonce}:{key_id}:{url}:{body}",
        value="k={key_id};n={nonce};s={signature}.",
        timestamp_header="X-Time",
        timestamp_format="iso8601",
    ),
)
SEED = Message(
    "POST",
    "/order?x=1",
    (("Host", "a"), ("Idempotency-Key", "order-17"), ("webhook-id", "msg_1")),
    b'{"id":"evt_1","n":[1,2,{"a":null}]}',
    "https://api.example.com",
)
SIGNED = tuple(
    replace(SEED, headers=SEED.headers + sign(SEED, scheme, SECRET, now=NOW, nonce="n-1")) for scheme in SCHEMES
)
CONTENT = tuple(
    verify(message, scheme, KEYS, now=NOW).signed_content_digest
    for scheme, message in zip(SCHEMES, SIGNED, strict=True)
)
# What has broken verifiers before: aliases of numbers, separators, quotes, other scripts, surrogates, length.
TOKENS = (
    *("", "t=", "v1=", "v0=x", "k=k1", ",", ";", " ", ".", ":", "=", '"', "\\", "\0", "\r\n", "+", "_", "1.7e9"),
    *("sha256=", "0" * 64, "\u00e9", "\u0661", "\u212a", "\ud800", "\U0001f600", "9" * 5000, "v1=0," * 70, "[" * 5000),
)


def mutated_text(text: str, draw: random.Random) -> str:
    start = draw.randint(0, len(text))
    end = min(len(text), start + draw.choice((0, 0, 1, 1, 2, len(text))))
    odd = (draw.choice(TOKENS), chr(draw.randrange(256)), chr(draw.randrange(0x11000)), text[start:end] * 2)
    return text[:start] + draw.choice(odd) + text[end:]


def mutated_bytes(body: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(body))
    end = min(len(body), start + draw.choice((0, 1, 4)))
    return body[:start] + draw.choice((b"", draw.randbytes(3), b'{"id":', b"[" * 2000, b"\xed\xa0\x80")) + body[end:]


def mutated_headers(message: Message, draw: random.Random) -> Message:
    headers = list(message.headers)
    place = draw.randrange(len(headers))
    name, value = headers[place]
    action = draw.randrange(5)
    if action == 0:
        del headers[place]
    elif action == 1:
        again = draw.choice((value, mutated_text(value, draw)))
        headers.insert(draw.randint(0, len(headers)), (name.swapcase(), again))
    elif action == 2:
        headers[place] = (mutated_text(name, draw), value)
    else:
        headers[place] = (name, mutated_text(value, draw))
    return replace(message, headers=tuple(headers) or message.headers)


def mutated(message: Message, draw: random.Random) -> Message:
    part = draw.randrange(8)
    if part == 0:
        return replace(message, body=mutated_bytes(message.body, draw))
    if part == 1:
        return replace(message, target=mutated_text(message.target, draw))
    if part == 2:
        return replace(message, method=mutated_text(message.method, draw))
    return mutated_headers(message, draw)


def check(index: int, message: Message, now: float) -> bool:
    """Raise unless the invariant holds; returns whether the message verified."""
    scheme = SCHEMES[index]
    try:
        verified = verify(message, scheme, KEYS, now=now)
    except Rejected as rejected:
        str(rejected)
        return False
    if verified.signed_content_digest != CONTENT[index]:
        raise AssertionError("verified, and the signed content is another one")
    if (verified.message_id is None) != (scheme.message_id is None or verified.message_id_error != ""):
        raise AssertionError("a message id must be there or have a reason")
    return True


def one_case(draw: random.Random) -> bool:
    index = draw.randrange(len(SCHEMES))
    message = SIGNED[index]
    for _ in range(draw.randint(0, 3)):
        message = mutated(message, draw)
    now = draw.choice((NOW, NOW, NOW, 0, 1e300, float("nan"), NOW + draw.uniform(-400, 400)))
    try:
        return check(index, message, now)
    except BaseException:
        print(f"scheme {SCHEMES[index].name}, now {now!r}, message {message!r}", file=sys.stderr)
        raise


def run_seeded(seconds: float, iterations: int, seed: int) -> tuple[int, int]:
    """Run until one of the limits; returns how many messages were tried and how many verified."""
    ends = time.monotonic() + seconds
    verified = 0
    for number in range(iterations):
        if number % 256 == 0 and time.monotonic() > ends:
            return number, verified
        # Each case has a seed of its own: a failure is rerun alone with --seed and --iterations 1.
        try:
            verified += one_case(random.Random(seed + number))
        except BaseException:
            print(f"rerun: --seed {seed + number} --iterations 1", file=sys.stderr)
            raise
    return iterations, verified


def run_atheris(arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415  optional

    def one_input(octets: bytes) -> None:
        data = atheris.FuzzedDataProvider(octets)
        index = data.ConsumeIntInRange(0, len(SCHEMES) - 1)
        headers = list(SIGNED[index].headers)
        for _ in range(data.ConsumeIntInRange(0, 4)):
            name = headers[data.ConsumeIntInRange(0, len(headers) - 1)][0]
            headers.insert(data.ConsumeIntInRange(0, len(headers)), (name, data.ConsumeUnicode(200)))
        body = data.ConsumeBytes(400) if data.ConsumeBool() else SIGNED[index].body
        check(index, replace(SIGNED[index], headers=tuple(headers), body=body), NOW)

    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.instrument_all()
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--iterations", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true", help="pass everything else to libFuzzer")
    args, rest = parser.parse_known_args()
    if args.atheris:
        run_atheris(rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    began = time.monotonic()
    tried, verified = run_seeded(args.seconds, args.iterations, args.seed)
    took_s = time.monotonic() - began
    print(f"{tried} messages in {took_s:.1f} s: {verified} verified, the rest rejected; seed {args.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
