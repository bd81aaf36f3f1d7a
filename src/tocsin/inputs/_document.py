"""A JSON or YAML document, its `$ref`s followed, and where each value stands. PURE.

Rule: nothing is fetched. A `$ref` leads to a place in the document or to a file beside it; any other is refused where
it is met.
"""

import json
import re
import reprlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self
from urllib.parse import unquote

import yaml

from tocsin.inputs._errors import InputError

Files = Callable[[str], bytes]

_MOST_HOPS: Final = 32
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
# The C parser where PyYAML was built with it: a large description takes seconds without.
_LOADER: Final[type[yaml.SafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_LOADER):  # type: ignore[valid-type, misc]  # one of two classes
    """YAML as OpenAPI wants it (3.1.0, "Format": the JSON schema of YAML 1.2): no dates, and `no` is a word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if tag.rpartition(":")[2] not in {"timestamp", "bool", "merge"}]
    for first, resolvers in _LOADER.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false|True|False"), list("tTfF"))


@dataclass(frozen=True)
class Document:
    """One file.

    Args:
        name: as it is called in errors.
        text: what is in it.
    """

    name: str
    text: str

    @cached_property
    def root(self) -> object:
        """What it says. Raises InputError."""
        try:
            if self.text.lstrip()[:1] in {"{", "["}:
                return json.loads(self.text)
        except json.JSONDecodeError as error:
            raise InputError(f"{self.name}:{error.lineno}: not JSON: {error.msg}") from None
        except (ValueError, RecursionError):
            raise InputError(f"{self.name}: not JSON that can be read: too deep, or a number too long") from None
        return self._yaml()

    def _yaml(self) -> object:
        try:
            return yaml.load(_bounded(self.text), Loader=_Loader)  # noqa: S506  a safe loader
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            raise InputError(f"{self.name}{line}: not YAML: {error.problem}") from None
        except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
            raise InputError(f"{self.name}: not YAML that can be read") from None

    def at(self, tokens: tuple[str, ...]) -> str:
        """The name, with the line of a place where it can be told."""
        try:
            node = yaml.compose(_bounded(self.text), Loader=_Loader) if len(self.text) < _WORTH_A_LINE else None
        except (yaml.YAMLError, RecursionError):
            node = None
        for token in tokens:
            inner = _child(node, token)
            if inner is None:
                break
            node = inner
        return self.name if node is None else f"{self.name}:{node.start_mark.line + 1}"


_WORTH_A_LINE = 2_000_000
# The C parser descends by calls of its own, which end the process without an error some ten thousand levels down.
_MOST_LEVELS: Final = 200


def _bounded(text: str) -> str:
    """The text. Raises YAMLError if it is no YAML, or deeper than any description is."""
    level = 0
    for event in yaml.parse(text, Loader=_Loader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > _MOST_LEVELS:
            problem = f"more than {_MOST_LEVELS} levels deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]  # either
    return text


def _child(node: yaml.Node | None, token: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == token), None)
    if isinstance(node, yaml.SequenceNode) and token.isdecimal() and len(token) < 9 and int(token) < len(node.value):  # noqa: PLR2004  an index
        found: yaml.Node = node.value[int(token)]
        return found
    return None


class Library:
    """The files of one description, each read once."""

    def __init__(self, first: Document, files: Files) -> None:
        self._files = files
        self._documents = {"": first}

    def top(self) -> "Cursor":
        """The whole of the first document."""
        return Cursor(self, "", (), self._documents[""].root)

    def document(self, name: str) -> Document:
        """A document by its name beside the first one. Raises InputError."""
        if name not in self._documents:
            octets = self._files(name)
            try:
                self._documents[name] = Document(name, octets.decode("utf-8"))
            except UnicodeDecodeError:
                raise InputError(f"{name}: not UTF-8") from None
        return self._documents[name]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value in a document, `$ref`s followed.

    Args:
        library: of the documents.
        file: of the value; "" for the first document.
        tokens: the way to it from the top.
        value: what stands there.
    """

    library: Library
    file: str
    tokens: tuple[str, ...]
    value: object

    def get(self, key: str) -> "Cursor | None":
        """A member, if there is one. Raises InputError if a `$ref` in the way cannot be followed."""
        members = self._members()
        if key in members:
            return self._inner(key, members[key])
        # What YAML reads as a number may be a name: 200 of a response.
        other = next((name for name in members if str(name) == key), None)
        return None if other is None else self._inner(key, members[other])

    def way(self, *keys: str) -> "Cursor | None":
        """A member of a member."""
        here: Cursor | None = self
        for key in keys:
            here = None if here is None else here.get(key)
        return here

    def items(self) -> Iterator[tuple[str, "Cursor"]]:
        """Every member; those that begin with x- (extensions) are not among them."""
        for key, value in self._members().items():
            if not str(key).startswith("x-"):
                yield str(key), self._inner(str(key), value)

    def each(self) -> Iterator["Cursor"]:
        """Every element of a list."""
        if not isinstance(self.value, list):
            raise self.wanted("a list")
        for place, value in enumerate(self.value):
            yield self._inner(str(place), value)

    def text(self, key: str, default: str = "") -> str:
        """A member that is a string."""
        found = self.get(key)
        if found is None:
            return default
        if not isinstance(found.value, str):
            raise found.wanted("a string")
        return found.value

    def wanted(self, what: str) -> InputError:
        """The error that says what stands here, and what is wanted."""
        # Of what is nested, or repeats itself by aliases, only the beginning.
        shown = reprlib.repr(self.value)[:80]
        return InputError(f"{self.place()}: {'/'.join(self.tokens) or 'the document'} is {shown}: wanted {what}")

    def place(self) -> str:
        """The file, and the line where it can be told."""
        return self.library.document(self.file).at(self.tokens)

    def _members(self) -> Mapping[Hashable, object]:
        if not isinstance(self.value, dict):
            raise self.wanted("an object")
        return self.value

    def _inner(self, key: str, value: object) -> Self:
        here = type(self)(self.library, self.file, (*self.tokens, key), value)
        for _ in range(_MOST_HOPS):
            if not isinstance(here.value, dict) or not isinstance(here.value.get("$ref"), str):
                return here
            here = here.led(here.value["$ref"])
        raise InputError(f"{self.place()}: $ref leads to itself, or through more than {_MOST_HOPS} others")

    def led(self, ref: str) -> Self:
        """The place that the `$ref` which stands here leads to. Raises InputError if it leads to none, or elsewhere."""
        name, _, fragment = ref.partition("#")
        if _SCHEME.match(name):
            raise InputError(
                f'{self.place()}: $ref "{_without_query(ref)}": wanted a place in this document (#/...) or a file '
                "beside it; nothing is fetched"
            )
        file = unquote(name) if name else self.file
        pointer = unquote(fragment)
        if pointer and not pointer.startswith("/"):
            raise InputError(f'{self.place()}: $ref "{ref[:80]}": wanted a JSON pointer after the #')
        tokens = tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])
        value = self.library.document(file).root
        for token in tokens:
            value = self._step(value, token, ref)
        return type(self)(self.library, file, tokens, value)

    def _step(self, value: object, token: str, ref: str) -> object:
        if isinstance(value, dict):
            for key, inner in value.items():
                if str(key) == token:
                    return inner
        if isinstance(value, list) and token.isdecimal() and len(token) < 9 and int(token) < len(value):  # noqa: PLR2004  an index
            return value[int(token)]
        raise InputError(f'{self.place()}: $ref "{ref[:80]}": there is nothing at "{token[:40]}"')


def _without_query(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])[:80]
