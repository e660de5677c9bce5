"""Generate docs/image.schema.json, the JSON schema of image.json, from the dataclasses that write the file.

Specification: https://json-schema.org/draft/2020-12/schema.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from typing import Any, Mapping, Union, get_args, get_origin, get_type_hints

from slim_ray_image.core.image.image_description import SCHEMA_VERSION, ImageDescription

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SIMPLE = {str: "string", int: "integer", bool: "boolean"}


def _attributes(kind: type) -> Mapping[str, str]:
    """Map each field to its description in the docstring's `Attributes`."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    rows = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in rows}


def _schema_of(kind: Any) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _object(kind)
    if origin is Union:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return {"anyOf": [_schema_of(inner), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _schema_of(arguments[0])}
    return {"type": _SIMPLE[kind]}


def _object(kind: Any) -> dict[str, Any]:
    types, attributes = get_type_hints(kind), _attributes(kind)
    properties = {}
    for field in dataclasses.fields(kind):
        described = {"description": attributes[field.name]} if field.name in attributes else {}
        properties[field.name] = {**described, **_schema_of(types[field.name])}
    return {
        "description": (kind.__doc__ or "").splitlines()[0],
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
    }


def image_schema() -> str:
    """Return the schema as JSON. It allows further keys, since later versions of image.json may add keys."""
    schema = _object(ImageDescription)
    schema["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return json.dumps({"$schema": _DIALECT, "title": "image.json", **schema}, indent=2)
