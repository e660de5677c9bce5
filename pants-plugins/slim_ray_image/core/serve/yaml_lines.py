"""Stage 1 of 6: read YAML with the line of every value, so that messages can name the line of a mistake.

In: text. Out: its documents, as PyYAML's safe loader reads them (https://pyyaml.org/wiki/PyYAMLDocumentation). PyYAML
is one of Pants' own requirements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Sequence

import yaml

from slim_ray_image.core.errors import SlimRayImageError

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_COLLECTIONS: Mapping[type, str] = {
    yaml.SequenceNode: f"{_TAG}seq",
    yaml.MappingNode: f"{_TAG}map",
}
# Tags of collections. For a scalar with such a tag, PyYAML would return an empty collection.
_NO_SCALARS = frozenset(f"{_TAG}{name}" for name in ("map", "omap", "pairs", "seq", "set"))
_LONG_SCALARS = frozenset(f"{_TAG}{name}" for name in ("binary", "str"))
# More than Kubernetes itself stores for an object.
_MOST_BYTES = 1_000_000
# The most values that aliases may add to the values written out: each alias repeats the values of its anchor.
_MOST_REPEATED = 100_000
# PyYAML needs seconds for this number of values.
_MOST_VALUES = 50_000
# The most characters of a number or a date. Ray could not use a longer one.
_MOST_DIGITS = 1000


@dataclass(frozen=True)
class Located:
    """A value of a YAML document, with the line of the file on which it starts.

    Attributes:
        value: A scalar, a tuple of `Located`, or a dict from keys to `Located`.
        line: Line of the file on which the value starts, from 1.
        text_line: Line of the file on which the text of a literal block (`|`) starts; None for other values. The lines
            of such a text are the lines of the file.
    """

    value: Any
    line: int
    text_line: Optional[int] = None

    def __getitem__(self, key: Any) -> Located:
        found: Located = self.value[key]
        return found

    def get(self, *keys: str) -> Optional[Located]:
        """Return the value at nested keys of a YAML mapping, or None if one of them is missing."""
        found: Optional[Located] = self
        for key in keys:
            if found is None or not isinstance(found.value, dict):
                return None
            found = found.value.get(key)
        return found

    @property
    def plain(self) -> Any:
        """The value as PyYAML itself loads it, without the lines: a list, a dict or a scalar."""
        if isinstance(self.value, dict):
            return {key: child.plain for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain for child in self.value]
        return self.value

    def head(self, count: int) -> Any:
        """Return the first `count` values of a YAML value. The cost is bounded even if aliases repeat many values."""
        return _Head(count).of(self)


class _Head:
    """A copier of the first values in a YAML document, with the lists and mappings around them."""

    def __init__(self, count: int) -> None:
        self._left = count

    def of(self, found: Located) -> Any:
        self._left -= 1
        if isinstance(found.value, dict):
            return {key: self.of(child) for key, child in found.value.items() if self._left > 0}
        if isinstance(found.value, tuple):
            return [self.of(child) for child in found.value if self._left > 0]
        return found.value


@dataclass(frozen=True)
class Place:
    """The place of a YAML text in a file, from which the lines in messages are counted.

    Attributes:
        file: Path of the file, for messages.
        first_line: Line of the file on which the text starts.
        is_verbatim: Whether the text's lines are lines of the file. If not, all of the text counts as `first_line`.
    """

    file: str
    first_line: int = 1
    is_verbatim: bool = True

    def line(self, mark: Optional[yaml.Mark]) -> int:
        return self.first_line + (mark.line if mark and self.is_verbatim else 0)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with a limit on the number of values, since it could take minutes otherwise."""

    values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise _TooManyValues
        return super().compose_node(parent, index)


class _TooManyValues(Exception):
    """The error that a YAML text has more values than the limit."""


class _Reader:
    """A reader of one YAML document. It reads the node of an anchor once, however many aliases name the anchor."""

    def __init__(self, loader: yaml.SafeLoader, place: Place) -> None:
        self._loader = loader
        self._place = place
        self._read: dict[int, Located] = {}
        self._open: set[int] = set()
        self._checked: set[int] = set()
        self._counts: dict[int, int] = {}

    def read_document(self, root: yaml.Node) -> Located:
        count = self._count(root)
        if count - len(self._counts) > _MOST_REPEATED:
            raise SlimRayImageError(
                f"The aliases in {self._place.file} stand for too many values: {count} if all were written out, but "
                f"aliases may add at most {_MOST_REPEATED}.",
                fixes=[
                    "use fewer aliases, above all inside of values that have an anchor themselves"
                ],
            )
        # Keys are checked before a merge adds the keys of one mapping to another.
        self._check_keys(root)
        return self.read(root)

    def _count(self, node: yaml.Node) -> int:
        """Return the number of values in a YAML node, with aliases and merges written out; visit each node once."""
        if id(node) not in self._counts:
            if id(node) in self._open:
                raise yaml.MarkedYAMLError(
                    None, None, "a value contains itself by an alias", node.start_mark
                )
            self._open.add(id(node))
            self._counts[id(node)] = 1 + sum(map(self._count, _children(node)))
            self._open.remove(id(node))
        return self._counts[id(node)]

    def read(self, node: yaml.Node) -> Located:
        if id(node) not in self._read:
            if id(node) in self._open:
                raise yaml.MarkedYAMLError(
                    None, None, "a value contains itself by an alias", node.start_mark
                )
            self._open.add(id(node))
            self._read[id(node)] = self._located(node)
        return self._read[id(node)]

    def _located(self, node: yaml.Node) -> Located:
        line = self._place.line(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            is_exact = node.style == "|" and self._place.is_verbatim
            return Located(self._scalar(node), line, line + 1 if is_exact else None)
        if node.tag != _COLLECTIONS[type(node)]:
            problem = f"the tag {node.tag!r} is not supported"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            return Located(tuple(self.read(child) for child in node.value), line)
        assert isinstance(node, yaml.MappingNode)
        return Located(dict(self._pairs(node)), line)

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag not in _LONG_SCALARS and len(node.value) > _MOST_DIGITS:
            problem = f"a value of {len(node.value)} characters has to be text, in quotes"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)
        try:
            if node.tag not in _NO_SCALARS:
                return self._loader.construct_object(node)
        except ValueError as error:  # for example, the month of a date is 13
            raise yaml.MarkedYAMLError(None, None, str(error), node.start_mark) from error
        except (AttributeError, IndexError, KeyError):  # the tag does not fit the value
            pass
        problem = f"{node.value!r} is not a valid {node.tag.replace(_TAG, '!!')}"
        raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)

    def _check_keys(self, node: yaml.Node) -> None:
        """Reject keys that are not scalars, and keys that one mapping has twice, in this node and all below it."""
        if isinstance(node, yaml.ScalarNode) or id(node) in self._checked:
            return
        self._checked.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._check_mapping(node)
        for child in node.value:
            self._check_keys(child[1] if isinstance(node, yaml.MappingNode) else child)

    def _check_mapping(self, node: yaml.MappingNode) -> None:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                problem = "a key is not a scalar"
                raise yaml.MarkedYAMLError(None, None, problem, key_node.start_mark)
            if key_node.tag == _MERGE:
                continue
            key = self._scalar(key_node)
            if key in lines:
                problem = f"the key {key!r} is already set at line {lines[key]}"
                raise yaml.MarkedYAMLError(None, None, problem, key_node.start_mark)
            lines[key] = self._place.line(key_node.start_mark)

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[Any, Located]]:
        """Yield a YAML mapping's (key, value) pairs: first pairs merged by `<<`, then its own, which override those."""
        self._loader.flatten_mapping(node)
        for key_node, value_node in node.value:
            yield self._scalar(key_node), self.read(value_node)


def _children(node: yaml.Node) -> Sequence[yaml.Node]:
    if isinstance(node, yaml.ScalarNode):
        return ()
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    children: Sequence[yaml.Node] = node.value
    return children


def _too_large(place: Place, most: str) -> SlimRayImageError:
    return SlimRayImageError(
        f"{place.file} is too large for a Serve config or a Kubernetes manifest: it has more than {most}.",
        fixes=["keep data in another file, which the code reads"],
    )


def _problem(error: Exception, text: str, place: Place) -> str:
    if isinstance(error, RecursionError):
        return f"{place.file}: lists or mappings are nested too deeply"
    if isinstance(error, yaml.reader.ReaderError):
        line = place.first_line + (text[: error.position].count("\n") if place.is_verbatim else 0)
        return f"{place.file}:{line}: the character {error.character!r} is not allowed"
    assert isinstance(error, yaml.MarkedYAMLError)
    line = place.line(error.problem_mark or error.context_mark)
    return f"{place.file}:{line}: {error.problem or error.context}"


def read_documents(text: str, place: Place) -> tuple[Located, ...]:
    """Return the YAML documents in `text`, without empty ones.

    Raises:
        SlimRayImageError: If `text` is not valid YAML, contains more than plain data, or is too large, as written or
            with its aliases written out.
    """
    if len(text.encode(errors="surrogatepass")) > _MOST_BYTES:
        raise _too_large(place, f"{_MOST_BYTES} bytes")
    documents = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            documents.append(_Reader(loader, place).read_document(node))
    except _TooManyValues as error:
        raise _too_large(place, f"{_MOST_VALUES} values") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SlimRayImageError(
            f"{place.file} is not valid YAML.",
            evidence=[_problem(error, text, place)],
            fixes=[f"correct {place.file}; render a template, such as one of Helm's, first"],
        ) from error
    return tuple(document for document in documents if document.value is not None)


def write_document(value: Mapping[str, Any]) -> str:
    """Return `value` as the text of a YAML document, with keys in the order of `value`."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text
