"""A file, or a pasted curl command, as a sketch of a plan: which kind it is, its own first octets say."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from tocsin.cli._errors import UsageError
from tocsin.cli._raw_request import parse_raw_request
from tocsin.curl import CurlError, parse_curl
from tocsin.inputs import Exchange, InputError, Signing, Sketch, chosen, read_flows, read_har, sketch_of

# A browser's archive of a long session; larger than any description of an interface.
_MOST_BYTES = 64 * 1024 * 1024
_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/[0-9]")
_DESCRIPTION = re.compile(rb"(?m)^[\"']?(openapi|swagger)[\"']? *:")
_FLOW = re.compile(rb"[0-9]{1,10}:")
_KINDS = "a curl command, a raw HTTP request, a HAR, a flow file of mitmproxy, or a description of OpenAPI 3.x"


def sketch_of_curl(command: str, signing: Signing | None, file: str = "--curl") -> Sketch:
    """A sketch of a curl command. Raises UsageError.

    Args:
        command: as it is pasted into a shell.
        signing: the scheme, where the user has named it.
        file: how to call it in errors.
    """
    try:
        given = parse_curl(command)
    except CurlError as error:
        raise UsageError(f"{file}: {error}") from None
    body = given.body.encode("utf-8", "surrogateescape")
    exchange = Exchange(given.method, given.origin, given.target, given.headers, body)
    return sketch_of([exchange], 0, "a curl command" if file == "--curl" else file, signing=signing)


def sketch_of_file(path: str, entry: int | None, signing: Signing | None) -> Sketch:
    """A sketch of whatever a file holds.

    Args:
        path: of the file.
        entry: which request of it, counted from 0.
        signing: the scheme, where the user has named it.

    Raises:
        UsageError: it cannot be read, or is nothing that is understood.
        InputError: what it is, it is not rightly.
    """
    octets = read_file(Path(path), path)
    begin = octets.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _FLOW.match(octets):
        return _recorded(read_flows(octets, path), entry, path, signing)
    if begin[:1] == b"{" and _has_log(octets):
        return _recorded(read_har(octets, path), entry, path, signing)
    if begin[:1] == b"{":
        return _described(octets, path, entry, signing)
    if begin.startswith((b"curl ", b"curl\t")) or _REQUEST_LINE.match(begin):
        if entry is not None:
            raise UsageError(f"--entry {entry}: {path} holds one request: wanted a HAR, a flow file or a description")
        if begin.startswith(b"curl"):
            return sketch_of_curl(_text(begin, path), signing, path)
        return _raw(begin, path, signing)
    if _DESCRIPTION.search(octets):
        return _described(octets, path, entry, signing)
    # What it begins with is not shown: it may be anything, a secret too.
    raise UsageError(f"{path}: nothing that is understood: wanted {_KINDS}")


def _raw(octets: bytes, path: str, signing: Signing | None) -> Sketch:
    try:
        message = parse_raw_request(octets).message
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    # A raw request does not say over what it is sent: where the service runs is asked for.
    exchange = Exchange(message.method, "", message.target, message.headers, message.body)
    return sketch_of([exchange], 0, path, signing=signing)


def _recorded(exchanges: list[Exchange], entry: int | None, path: str, signing: Signing | None) -> Sketch:
    place = chosen(exchanges, entry, path)
    return sketch_of(exchanges, place, f"{path}, entry {place}", signing=signing)


def _described(octets: bytes, path: str, entry: int | None, signing: Signing | None) -> Sketch:
    from tocsin.inputs.openapi import sketch_of_description  # noqa: PLC0415  needs PyYAML, of the scan extra

    files = _beside(Path(path).parent)
    return sketch_of_description(octets, path, files=files, entry=entry, signing=signing)


def _has_log(octets: bytes) -> bool:
    """Whether JSON is an archive's; what is no JSON at all is left to who reads descriptions, to say where."""
    try:
        return "log" in json.loads(octets)
    except (ValueError, RecursionError):
        return b'"log"' in octets[:200]


def _beside(folder: Path) -> Callable[[str], bytes]:
    """What reads the files that a description names: those beside it or in folders there, and no others."""
    root = folder.resolve()

    def read(name: str) -> bytes:
        try:
            path = (root / name).resolve()
        except (OSError, ValueError, RuntimeError):
            raise InputError(f'$ref to the file "{name[:80]}": wanted the name of a file') from None
        if not path.is_relative_to(root):
            raise InputError(f'$ref to the file "{name[:80]}": wanted one in the folder of the document')
        return read_file(path, name)

    return read


def read_file(path: Path, shown: str) -> bytes:
    """The octets of a file of bearable size. Raises UsageError."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{shown}: wanted a file")
        with path.open("rb") as file:
            octets = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{shown}: {getattr(error, 'strerror', None) or 'wanted the name of a file'}") from None
    if len(octets) > _MOST_BYTES:
        raise UsageError(f"{shown}: longer than {_MOST_BYTES} octets")
    return octets


def _text(octets: bytes, path: str) -> str:
    try:
        return octets.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8") from None
