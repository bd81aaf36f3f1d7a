"""Invariant: for any message whatever, verify() returns Verified or raises a kind of Rejected, and nothing else.

And what it accepts is right: a message that verifies has, under the signature, the content that was signed.

And the quick way says what the general way says, of every message.

And the time it takes grows no faster than the message.

    python fuzz/fuzz_verify.py --seconds 20           a seeded mutator, no package needed
    python fuzz/fuzz_verify.py --iterations 10000000  a night's worth, over all presets
    python fuzz/fuzz_verify.py --linear               hostile messages of growing length
    python fuzz/fuzz_verify.py --atheris corpus/      coverage-guided, where atheris is installed; libFuzzer's options

A failure prints the seed and the message; it becomes a test in tests/signing.
"""

import argparse
import hashlib
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Message,
    MessageId,
    Rejected,
    Scheme,
    SchemeError,
    Secret,
    Verified,
    signed_message,
    verify,
)
from tocsin.signing._verify import verify_generally

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
ADYEN = (
    b'{"pspReference":"p","merchantAccountCode":"m","amount":{"value":1,"currency":"EUR"},"eventCode":"e",'
    b'"success":"true","additionalData":{}}'
)
JSON = (
    b'{"id":"evt_1","n":[1,2,{"a":null}],"webhookTimestamp":1700000000000,"signature":{},'
    b'"notificationItems":[{"NotificationRequestItem":' + ADYEN + b"}]}"
)
FORM = b"razorpay_order_id=o_1&razorpay_payment_id=p%201"


def seed(scheme: Scheme) -> Message:
    """A message that every preset can sign, as a form where the scheme reads one."""
    body = FORM if scheme.body_format == "form" else JSON
    headers = (("Host", "a"), ("Idempotency-Key", "order-17"), ("webhook-id", "msg_1"), ("svix-id", "msg_1"))
    target = f"/order?x=1&bodySHA256={hashlib.sha256(body).hexdigest()}"
    return signed_message(
        Message("POST", target, headers, body, "https://api.example.com"), scheme, SECRET, now=NOW, nonce="n-1"
    )


SIGNED = tuple(seed(scheme) for scheme in SCHEMES)
CONTENT = tuple(
    verify(message, scheme, KEYS, now=NOW).signed_content_digest
    for scheme, message in zip(SCHEMES, SIGNED, strict=True)
)
# What has broken verifiers before: aliases of numbers, separators, quotes, other scripts, surrogates, length.
TOKENS = (
    *("", "t=", "v1=", "v0=x", "k=k1", ",", ";", " ", ".", ":", "=", '"', "\\", "\0", "\r\n", "+", "_", "1.7e9"),
    *("sig1=", '("@method")', ";created=1", ";expires=1", ":YQ==:", 'keyid="k1"', "SignedHeaders=host", "Hawk ", ", "),
    *("sha256=", "0" * 64, "\u00e9", "\u0661", "\u212a", "\ud800", "\U0001f600", "9" * 5000, "v1=0," * 70, "[" * 5000),
)


# A quadratic step would take 16 times as long again.
SHORT, TIMES, SLACK = 5_000, 16, 4


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


def facts(verified: Verified) -> tuple[object, ...]:
    return (
        verified.key_id,
        verified.timestamp_unix,
        verified.nonce,
        verified.message_id_value,
        verified.message_id_error,
        verified.signed_content_digest,
    )


def check(index: int, message: Message, now: float) -> bool:
    """Raise unless the invariant holds; returns whether the message verified."""
    scheme = SCHEMES[index]
    try:
        verified = verify(message, scheme, KEYS, now=now)
    except Rejected as rejected:
        refused = rejected
    else:
        if verified.signed_content_digest != CONTENT[index]:
            raise AssertionError("verified, and the signed content is another one")
        if (verified.message_id is None) != (scheme.message_id is None or verified.message_id_error != ""):
            raise AssertionError("a message id must be there or have a reason")
        if facts(verified) != facts(verify_generally(message, scheme, KEYS, now)):
            raise AssertionError("the quick way and the general way say different things")
        return True
    check_refusal(index, message, now, refused)
    return False


def check_refusal(index: int, message: Message, now: float, refused: Rejected) -> None:
    """Raise unless the general way refuses the message for the same reason."""
    try:
        verify_generally(message, SCHEMES[index], KEYS, now)
    except Rejected as rejected:
        if (rejected.kind, str(rejected)) == (refused.kind, str(refused)):
            return
        raise AssertionError(f"the quick way says {refused}, the general way says {rejected}") from None
    raise AssertionError(f"the quick way says {refused}, the general way verifies")


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


def resigned(scheme: Scheme, message: Message) -> Message:
    """The message with a right signature, so that what is read after it is read; as it is where it cannot be signed."""
    headers = tuple(header for header in message.headers if header[0] not in scheme.written_headers)
    try:
        return signed_message(replace(message, headers=headers), scheme, SECRET, now=NOW, nonce="n-1")
    except SchemeError:
        return message


def hostile(scheme: Scheme, message: Message, text: str, size: int) -> Iterator[Message]:
    """The message with each of its parts grown by repetitions of a text."""
    grown = text * (size // len(text))
    for place, (name, value) in enumerate(message.headers):
        for long in (value + grown, grown + value, grown):
            yield replace(message, headers=(*message.headers[:place], (name, long), *message.headers[place + 1 :]))
    yield replace(message, headers=message.headers * (size // 100))
    yield replace(message, headers=tuple((f"{text}{number}", "") for number in range(size // 100)) + message.headers)
    yield replace(message, target=message.target + grown)
    yield replace(message, target=f"/?{'&'.join([text] * (size // len(text)))}")
    for body in (grown, f'{{"id":{grown}}}', f"a={grown}", "&".join([text + "=1"] * (size // len(text)))):
        changed = replace(message, body=body.encode("utf-8", "surrogatepass"))
        yield changed
        yield resigned(scheme, changed)


def listing(message: Message, size: int) -> Message:
    """The message with more names in its list of what is signed, where it has one, and with more headers beside.

    At the longer size these are as many names as are read: what looks for each of them among all headers is quadratic.
    """
    names = [f"h{number:02}" for number in range(size // 1_400)]
    listed, quoted = ";".join([*names, "host"]), "".join([f' "{name}"' for name in names])
    headers = [
        (name, value.replace("=host;", f"={listed};").replace('"content-digest")', f'"content-digest"{quoted})'))
        for name, value in message.headers
    ]
    more = [*[(name, "") for name in names], *[("zz", "")] * (size // 5)]
    return replace(message, headers=(*headers, *more))


def growing(scheme: Scheme, message: Message) -> Iterator[tuple[str, Message, Message]]:
    """What grows, and the message with it short and long."""
    for text in filter(None, TOKENS):
        both = (hostile(scheme, message, text, size) for size in (SHORT, SHORT * TIMES))
        for short, long in zip(*both, strict=True):
            yield repr(text[:20]), short, long
    yield "names and headers", listing(message, SHORT), listing(message, SHORT * TIMES)


def seconds(index: int, message: Message) -> float:
    """The best of three: what a rejection or a verification takes, its message id and digest included."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        try:
            verified = verify(message, SCHEMES[index], KEYS, now=NOW)
            str(verified.message_id_error + verified.signed_content_digest.hex())
        except (Rejected, SchemeError) as refused:
            str(refused)
        best = min(best, time.perf_counter() - began)
    return best


def run_linear() -> int:
    """Compare messages of two lengths; returns how many pairs there were."""
    pairs = 0
    for index, message in enumerate(SIGNED):
        for grown, short, long in growing(SCHEMES[index], message):
            pairs += 1
            # Below a millisecond a fixed cost, or the machine, may be most of it.
            if seconds(index, long) > max(SLACK * TIMES * seconds(index, short), 0.001 * SLACK):
                what = f"scheme {SCHEMES[index].name}, {grown}"
                raise AssertionError(f"{what}: {TIMES} times the length takes {SLACK * TIMES} times as long or more")
    return pairs


def run_atheris(arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415  optional

    def one_input(octets: bytes) -> None:
        data = atheris.FuzzedDataProvider(octets)
        index = data.ConsumeIntInRange(0, len(SCHEMES) - 1)
        headers = list(SIGNED[index].headers)
        for _ in range(data.ConsumeIntInRange(0, 4)):
            place = data.ConsumeIntInRange(0, len(headers) - 1)
            name, value = headers[place]
            start = data.ConsumeIntInRange(0, len(value))
            changed = value[:start] + data.ConsumeUnicode(200) + value[start + data.ConsumeIntInRange(0, 3) :]
            headers[place : place + data.ConsumeIntInRange(0, 1)] = [(name, changed)]
        body = data.ConsumeBytes(400) if data.ConsumeBool() else SIGNED[index].body
        check(index, replace(SIGNED[index], headers=tuple(headers), body=body), NOW)

    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.instrument_all()
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="end after this long (default: 20, or never with --iterations)")
    parser.add_argument("--iterations", type=int, help="end after this many messages")
    parser.add_argument("--linear", action="store_true", help="time hostile messages of two lengths instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true", help="pass everything else to libFuzzer")
    args, rest = parser.parse_known_args()
    if args.atheris:
        run_atheris(rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    began = time.monotonic()
    if args.linear:
        print(f"{run_linear()} pairs in {time.monotonic() - began:.1f} s: none grows faster than its length")
        return 0
    endless = float("inf") if args.iterations is not None else 20.0
    limit_s = endless if args.seconds is None else args.seconds
    tried, verified = run_seeded(limit_s, args.iterations or 10**12, args.seed)
    took_s = time.monotonic() - began
    print(f"{tried} messages in {took_s:.1f} s: {verified} verified, the rest rejected; seed {args.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
