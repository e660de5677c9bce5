"""How rules and the programs that they start say the same: dataclasses on both sides, one form of JSON between them.

A field is a `str`, `int`, `bool`, `float`, a dataclass, an `Optional`, a `tuple` or a `Mapping` from `str` to these.
Both sides run without libraries on the Python that is there, so this is the standard library's `dataclasses` alone.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
from typing import Any, Mapping, Type, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(value: Any) -> str:
    """Return a dataclass as JSON of one spelling: it can be part of a cache key."""
    return json.dumps(dataclasses.asdict(value), sort_keys=True)


def from_json(kind: Type[T], text: Union[str, bytes]) -> T:
    """Return the dataclass that `to_json` made this text of.

    Raises:
        ValueError: If a key is unknown or missing, or a value is of another type: the two sides disagree.
    """
    found: T = _read(kind, json.loads(text), kind.__name__)
    return found


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if origin is Union:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _read(inner, value, where)
    if origin is tuple:
        return _read_tuple(arguments, _checked(list, value, where), where)
    if origin is collections.abc.Mapping:
        rows = _checked(dict, value, where)
        return {key: _read(arguments[1], row, f"{where}[{key!r}]") for key, row in rows.items()}
    return _checked(kind, value, where)


def _read_tuple(arguments: tuple, rows: list, where: str) -> tuple:
    if arguments[1:] == (...,):
        return tuple(_read(arguments[0], row, f"{where}[]") for row in rows)
    if len(arguments) != len(rows):
        raise ValueError(f"{where} has {len(rows)} values, not {len(arguments)}.")
    return tuple(_read(inner, row, f"{where}[]") for inner, row in zip(arguments, rows))


# Each evaluates the text of its annotations; there are thousands of rows of one kind.
_types_of = functools.lru_cache(maxsize=None)(get_type_hints)


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    row: Mapping[str, Any] = _checked(dict, value, where)
    names = {field.name for field in dataclasses.fields(kind)}
    if names != row.keys():
        wrong = sorted(names.symmetric_difference(row))
        raise ValueError(f"{where} has other keys than it should: {', '.join(wrong)}.")
    types = _types_of(kind)
    return kind(**{name: _read(types[name], row[name], f"{where}.{name}") for name in row})


def _checked(kind: type, value: Any, where: str) -> Any:
    # `True` is an `int` to Python.
    if type(value) is not kind:
        raise ValueError(f"{where} is {value!r}, which is no {kind.__name__}.")
    return value
