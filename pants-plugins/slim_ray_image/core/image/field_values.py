"""Checks of simple fields of a `slim_ray_image`, such as `ports`.

A field with a grammar has a module of its own, such as `import_paths`.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from slim_ray_image.core.closure.ray_extras import EXTRA_NAME
from slim_ray_image.core.errors import InvalidValueError
from slim_ray_image.core.image.oci import OWN_LABELS
from slim_ray_image.core.image_paths import has_control_character
from slim_ray_image.core.layers.plan import SMALLEST_LAYER_BUDGET
from slim_ray_image.core.platforms import parse_platform

INFER = "infer"
# Docker stores at most 127 layers of an image, the base's layers included.
LARGEST_LAYER_BUDGET = 100


def _quoted(values: Iterable[Any]) -> str:
    return ", ".join(map(repr, values))


def check_ray_extras(value: Sequence[str]) -> None:
    """Check that the field `ray_extras`, if it is not "infer", is a list of names of extras.

    Raises:
        InvalidValueError: If the value is a string other than "infer", or an item cannot be the name of an extra.
    """
    if isinstance(value, str):
        raise InvalidValueError(
            f"must be '{INFER}' or a list of extras, but was {value!r}.", fixes=[f"use [{value!r}]"]
        )
    wrong = sorted(extra for extra in value if not EXTRA_NAME.fullmatch(extra))
    if wrong:
        raise InvalidValueError(
            f"must contain names of extras, but has {_quoted(wrong)}.",
            fixes=["correct the names, for example to ['default', 'serve']"],
        )


def check_platforms(value: Sequence[str]) -> None:
    """Check that the field `platforms` names exactly one platform, and that images can be built for it.

    Raises:
        InvalidValueError: If the value is not exactly one platform that images can be built for.
    """
    if len(value) != 1:
        raise InvalidValueError(
            f"must name exactly one platform, but was {list(value)!r}.",
            fixes=["use ['linux/amd64']"],
        )
    parse_platform(value[0])


def check_env(value: Mapping[str, str]) -> None:
    """Check that no name of a variable in the field `env` is empty or contains an equals sign.

    Raises:
        InvalidValueError: If a name is empty or contains an equals sign.
    """
    wrong = sorted(name for name in value if not name or "=" in name)
    if wrong:
        raise InvalidValueError(
            f"must have names without '=' that are not empty, but has {_quoted(wrong)}.",
            fixes=["correct the names of the variables"],
        )


def check_ports(value: Sequence[int]) -> None:
    """Check that the field `ports` has only TCP ports: numbers from 1 to 65535.

    Raises:
        InvalidValueError: If a value is not a TCP port.
    """
    # In Python, `True` is an `int`.
    wrong = sorted(port for port in value if isinstance(port, bool) or not 0 < port < 65536)
    if wrong:
        raise InvalidValueError(
            f"must contain numbers from 1 to 65535, but has {', '.join(map(str, wrong))}.",
            fixes=["correct the port numbers"],
        )


def check_labels(value: Mapping[str, str]) -> None:
    """Check that no name in the field `labels` starts with the prefix of the plugin's own labels.

    Raises:
        InvalidValueError: If a name starts with the prefix of the labels that the plugin sets on its containers.
    """
    wrong = sorted(name for name in value if name.startswith(OWN_LABELS))
    if wrong:
        raise InvalidValueError(
            f"must not have names that start with {OWN_LABELS!r}, which the plugin sets on its containers, but has "
            f"{_quoted(wrong)}.",
            fixes=["start the names with a domain of your own, such as 'com.example.team'"],
        )


def check_user(value: str) -> None:
    """Check that the field `user` has the form `user` or `user:group`, each a name or a number.

    Raises:
        InvalidValueError: If the value is neither `user` nor `user:group`, each a name or a number.
    """
    parts = value.split(":")
    if len(parts) > 2 or not all(
        part and part.replace("-", "").replace("_", "").isalnum() for part in parts
    ):
        raise InvalidValueError(
            f"must be `user` or `user:group`, but was {value!r}.",
            fixes=[
                "use numbers, such as '1000:100', or names of users and groups in the base image"
            ],
        )


def check_workdir(value: str) -> None:
    """Check that the field `workdir` is an absolute path below / that can be on PYTHONPATH.

    Raises:
        InvalidValueError: If the value is not an absolute path below / that can be on PYTHONPATH.
    """
    parts = value.split("/")[1:]
    has_bad_part = any(part in ("", ".", "..") for part in parts)
    if not value.startswith("/") or has_bad_part or ":" in value or has_control_character(value):
        raise InvalidValueError(
            "must be an absolute path below /, without '.', '..', ':' or control characters, but was "
            f"{value!r}.",
            fixes=["use a path like '/app'"],
        )


def check_layer_budget(value: int) -> None:
    """Check that the field `layer_budget`, a number of layers, is within its limits.

    Raises:
        InvalidValueError: If the value is out of range.
    """
    if not SMALLEST_LAYER_BUDGET <= value <= LARGEST_LAYER_BUDGET:
        raise InvalidValueError(
            f"must be a number from {SMALLEST_LAYER_BUDGET} to {LARGEST_LAYER_BUDGET}, but was {value!r}.",
            fixes=["leave it out or use a number in that range"],
        )
