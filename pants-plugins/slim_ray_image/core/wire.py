"""Messages between Pants rules and the programs that they start: dataclasses on both sides, JSON in between.

A field is a `str`, `int`, `bool`, `float`, a dataclass, an `Optional`, a `tuple` or a `Mapping` from `str` to these.
Both sides run without libraries on the Python that is there, so this module needs nothing but the standard library.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
from typing import (
    Any,
    Callable,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")
_Reader = Callable[[Any], Any]


def to_json(value: Any) -> str:
    """Return a dataclass as JSON, the same text for equal values, so that it can be part of a cache key."""
    return json.dumps(dataclasses.asdict(value), sort_keys=True)


def from_json(kind: Type[T], text: Union[str, bytes]) -> T:
    """Return the dataclass of type `kind` that `to_json` wrote as `text`.

    Raises:
        ValueError: If a key is unknown or missing, or a value has another type: the two sides disagree.
    """
    value = json.loads(text)
    try:
        found: T = _reader_of(kind)(value)
    except _Mismatch as error:
        raise ValueError(f"{kind.__name__}{error.place} {error.problem}.") from None
    return found


class _Mismatch(Exception):
    """A JSON value whose type its field does not allow. The place is completed on the way up: reading pays nothing."""

    def __init__(self, problem: str) -> None:
        self.problem, self.place = problem, ""

    def below(self, place: str) -> _Mismatch:
        self.place = f"{place}{self.place}"
        return self


def _make_reader(kind: Any) -> _Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    if origin is Union:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _optional_reader(_reader_of(inner))
    if origin is tuple and arguments[1:] == (...,):
        return _list_reader(_reader_of(arguments[0]))
    if origin is tuple:
        return _tuple_reader([_reader_of(argument) for argument in arguments])
    if origin is collections.abc.Mapping:
        return _mapping_reader(_reader_of(arguments[1]))
    return functools.partial(_checked, kind)


# A type is looked into once: a message can have tens of thousands of rows of one type.
_reader_of: Callable[[Any], _Reader] = functools.cache(_make_reader)


def _checked(kind: type, value: Any) -> Any:
    # `True` is an `int` to Python.
    if type(value) is not kind:
        raise _Mismatch(f"is {value!r}, which is no {kind.__name__}")
    return value


def _optional_reader(inner: _Reader) -> _Reader:
    return lambda value: None if value is None else inner(value)


def _list_reader(inner: _Reader) -> _Reader:
    def read(value: Any) -> tuple[Any, ...]:
        _checked(list, value)
        try:
            return tuple(map(inner, value))
        except _Mismatch as error:
            raise error.below("[]") from None

    return read


def _tuple_reader(inners: list[_Reader]) -> _Reader:
    def read(value: Any) -> tuple[Any, ...]:
        _checked(list, value)
        if len(inners) != len(value):
            raise _Mismatch(f"has {len(value)} values, not {len(inners)}")
        try:
            return tuple(inner(row) for inner, row in zip(inners, value))
        except _Mismatch as error:
            raise error.below("[]") from None

    return read


def _mapping_reader(inner: _Reader) -> _Reader:
    def read(value: Any) -> dict[str, Any]:
        found = {}
        for key, row in _checked(dict, value).items():
            try:
                found[key] = inner(row)
            except _Mismatch as error:
                raise error.below(f"[{key!r}]") from None
        return found

    return read


def _dataclass_reader(kind: Any) -> _Reader:
    types = get_type_hints(kind)
    readers = {field.name: _reader_of(types[field.name]) for field in dataclasses.fields(kind)}

    def read(value: Any) -> Any:
        if _checked(dict, value).keys() != readers.keys():
            wrong = sorted(readers.keys() ^ value.keys())
            raise _Mismatch(f"has other keys than it should: {', '.join(wrong)}")
        found = {}
        for name, inner in readers.items():
            try:
                found[name] = inner(value[name])
            except _Mismatch as error:
                raise error.below(f".{name}") from None
        return kind(**found)

    return read
