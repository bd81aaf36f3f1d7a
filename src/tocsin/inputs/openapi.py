"""The signed, state-changing operations of an OpenAPI 3.x description, and a sketch of a plan for one. PURE."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from tocsin.inputs._body import Value, template_json
from tocsin.inputs._document import Cursor, Document, Files, Library
from tocsin.inputs._errors import InputError
from tocsin.inputs._exchange import is_sendable, listing
from tocsin.inputs._har import split_url
from tocsin.inputs._paired import PARAMETER, reads_beside
from tocsin.inputs._schema import Examples
from tocsin.inputs._secrets import is_secret
from tocsin.inputs._signature import Signing, looks_signed, suggested
from tocsin.inputs._sketch import Sketch
from tocsin.inputs._target import operation_noun, wire_target
from tocsin.inputs._variables import Variables

_CHANGING: Final = ("post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Args:
        method: "POST".
        path: as the description has it, with {parameters}.
        place: of the operation object.
        parameters: its own and its path's.
        credentials: names of headers that its security schemes put a key into.
        signature: the header that carries its signature, or "".
    """

    method: str
    path: str
    place: Cursor
    parameters: tuple[Cursor, ...]
    credentials: tuple[str, ...]
    signature: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f"  ({self.signature})" if self.signature else "")


def sketch_of_description(
    octets: bytes, file: str, *, files: Files, entry: int | None = None, signing: Signing | None = None
) -> Sketch:
    """A sketch of a plan for one operation of a description.

    Args:
        octets: the document, JSON or YAML.
        file: how to call it.
        files: gives a file beside it by its relative name; raises InputError.
        entry: which of the listed operations is meant.
        signing: the scheme, where the user has named it.

    Raises:
        InputError: it is no description of OpenAPI 3.x, cannot be read where it is needed, or several operations could
            be meant; they are listed.
    """
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8") from None
    top = Library(Document(file, text), files).top()
    _check_version(top)
    operations = list(_operations(top))
    operation = _chosen(operations, entry, file)
    return _sketch(top, operation, file, signing)


def _check_version(top: Cursor) -> None:
    if top.get("swagger") is not None:
        raise InputError(f"{top.place()}: a description of Swagger 2: wanted OpenAPI 3.x (converters are at hand)")
    version = top.get("openapi")
    if version is None or not str(version.value).startswith("3."):
        shown = "no openapi" if version is None else f"openapi: {str(version.value)[:20]}"
        raise InputError(f"{top.place()}: {shown}: wanted openapi: 3.x")


def _operations(top: Cursor) -> Iterator[Operation]:
    paths = top.get("paths")
    for path, item in paths.items() if paths is not None else ():
        for method in _CHANGING:
            place = item.get(method)
            if place is not None:
                yield _operation(top, method.upper(), path, item, place)


def _operation(top: Cursor, method: str, path: str, item: Cursor, place: Cursor) -> Operation:
    parameters = (*_each(item.get("parameters")), *_each(place.get("parameters")))
    credentials = tuple(_credentials(top, place))
    headers = [one.text("name") for one in parameters if one.text("in") == "header"]
    return Operation(method, path, place, parameters, credentials, looks_signed(iter([*credentials, *headers])))


def _each(listed: Cursor | None) -> Iterator[Cursor]:
    return iter(()) if listed is None else listed.each()


def _credentials(top: Cursor, place: Cursor) -> Iterator[str]:
    """The headers of the apiKey schemes that an operation asks for: its own `security`, else the document's."""
    security = place.get("security") or top.get("security")
    schemes = top.way("components", "securitySchemes")
    for alternative in _each(security):
        for name in dict(alternative.items()):
            scheme = None if schemes is None else schemes.get(name)
            if scheme is not None and scheme.text("type") == "apiKey" and scheme.text("in") == "header":
                yield scheme.text("name")


def _chosen(operations: list[Operation], entry: int | None, file: str) -> Operation:
    if entry is not None:
        if not 0 <= entry < len(operations):
            raise InputError(
                f"{file}: --entry {entry}: wanted 0 to {len(operations) - 1}, the operations that change something"
            )
        return operations[entry]
    signed = {place: str(one) for place, one in enumerate(operations) if one.signature}
    if len(signed) == 1:
        return operations[next(iter(signed))]
    if signed:
        raise InputError(listing(file, "signed operations", signed))
    if len(operations) == 1:
        return operations[0]
    if not operations:
        raise InputError(f"{file}: it has no operation that changes anything: wanted a post, put, patch or delete")
    what = "operations that change something, none of which says that it is signed"
    raise InputError(listing(file, what, {place: str(one) for place, one in enumerate(operations)}))


def _sketch(top: Cursor, operation: Operation, file: str, signing: Signing | None) -> Sketch:
    origin, prefix = _server(top)
    names = [one.text("name") for one in operation.parameters if one.text("in") == "header"]
    if signing is None:
        signing = suggested(dict.fromkeys([*operation.credentials, *names], ""))
    variables = Variables(operation_noun(operation.path))
    content_type, body, asks = _body(operation, variables)
    target = wire_target(prefix + _filled(operation, variables))
    headers = {"Content-Type": content_type} if content_type else {}
    left_out = []
    for one in operation.parameters:
        name = one.text("name")
        if one.text("in") != "header" or name.lower() in signing.written | {"content-type"}:
            continue
        if is_secret(name, ""):
            left_out.append(f"TODO: {name} is left out, for it may be a secret; does the service need it?")
        else:
            headers[name] = _sent(one, variables)
    left_out += [
        f"TODO: {name} is left out, for it is a secret; does the service need it?"
        for name in operation.credentials
        if name.lower() not in signing.written
    ]
    paths = top.get("paths")
    assert paths is not None, "the operation is one of them"
    reads = sorted(reads_beside(paths, operation.path, prefix, variables), key=lambda read: -read.weight)
    variables.undeclared(iter([target, body, *headers.values(), *(read.request.line for read in reads[:1])]))
    return Sketch(
        source=file,
        base_url=origin,
        method=operation.method,
        target=target,
        headers=tuple(header for header in headers.items() if is_sendable(*header)),
        body=body,
        signing=signing,
        variables=tuple(variables),
        left_out=tuple(left_out),
        asks=asks,
        makers=tuple(_makers(top, operation)),
        reads=tuple(reads),
    )


def _server(top: Cursor) -> tuple[str, str]:
    """The origin of the first server, "" where it is relative or none, and the path before all others."""
    server = next(_each(top.get("servers")), None)
    if server is None:
        return "", ""
    url = server.text("url")
    variables = server.get("variables")
    for name, one in variables.items() if variables is not None else ():
        url = url.replace(f"{{{name}}}", one.text("default"))
    if "://" not in url:
        return "", wire_target(url).partition("?")[0].rstrip("/") if url.startswith("/") else ""
    try:
        origin, path = split_url(url, "servers")
    except InputError as error:
        raise InputError(f"{server.place()}: {error}") from None
    return origin, path.partition("?")[0].rstrip("/")


def _body(operation: Operation, variables: Variables) -> tuple[str, str, str]:
    """Content type, template, and what is to be asked about it."""
    content = operation.place.way("requestBody", "content")
    if content is None:
        return "", "", ""
    kinds = dict(content.items())
    kind = next((name for name in kinds if "json" in name), None)
    if kind is None:
        return next(iter(kinds), ""), "", f"TODO: the body ({', '.join(kinds) or 'of no type'}) is yours to write"
    example = Examples().of_media(kinds[kind])
    if example is None:
        return kind, "", "TODO: the body: its schema does not say enough to make one"
    return kind, template_json(example, variables), "TODO: a body of the schema; would the service take it?"


def _filled(operation: Operation, variables: Variables) -> str:
    """The path, with variables where the description has parameters, and the query that is required."""
    found = {one.text("name"): one for one in operation.parameters if one.text("in") == "path"}
    path = PARAMETER.sub(lambda hit: _placed(hit[1], found.get(hit[1]), variables), operation.path)
    query = [
        f"{quote(one.text('name'))}={_queried(one, variables)}"
        for one in operation.parameters
        if one.text("in") == "query" and _is_required(one)
    ]
    return path + (f"?{'&'.join(query)}" if query else "")


def _is_required(parameter: Cursor) -> bool:
    required = parameter.get("required")
    return required is not None and required.value is True


def _placed(name: str, parameter: Cursor | None, variables: Variables) -> str:
    value = quote(_example_of(parameter) or f"TODO-{name}", safe="")
    return variables.placeholder(name, value, is_there=True) or value


def _sent(parameter: Cursor, variables: Variables) -> str:
    """What stands where a parameter is sent: its example, or a variable."""
    value = _example_of(parameter) or f"TODO-{parameter.text('name')}"
    return variables.placeholder(parameter.text("name"), value) or value


def _queried(parameter: Cursor, variables: Variables) -> str:
    value = quote(_example_of(parameter) or f"TODO-{parameter.text('name')}", safe="")
    return variables.placeholder(parameter.text("name"), value) or value


def _example_of(parameter: Cursor | None) -> str:
    made: Value = None if parameter is None else Examples().of_media(parameter)
    return "" if made is None or isinstance(made, dict | list) or not str(made).isprintable() else str(made)


def _makers(top: Cursor, operation: Operation) -> Iterator[str]:
    """Other POSTs to a collection: what makes the things that an operation acts on is mostly among them."""
    for one in _operations(top):
        is_collection = not PARAMETER.search(one.path)
        if one.method == "POST" and is_collection and one.path != operation.path:
            yield f"POST {one.path}"
