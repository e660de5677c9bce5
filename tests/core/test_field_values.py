"""Tests of core.image.field_values."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from conftest import error_text

from slim_ray_image.core.image.field_values import (
    LARGEST_LAYER_BUDGET,
    check_env,
    check_labels,
    check_layer_budget,
    check_platforms,
    check_ports,
    check_ray_extras,
    check_user,
    check_workdir,
)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (check_ray_extras, ("serve", "default")),
        (check_ray_extras, ()),
        (check_platforms, ("linux/amd64",)),
        (check_env, {"LOG_LEVEL": "info=1"}),
        (check_ports, (1, 65535)),
        (check_labels, {"com.example.slim-ray-image.": "x"}),
        (check_user, "1000:100"),
        (check_user, "nobody"),
        (check_workdir, "/opt/app"),
        (check_layer_budget, LARGEST_LAYER_BUDGET),
    ],
)
def test_value_that_keeps_the_rule_passes(check: Callable[[Any], None], value: Any) -> None:
    """Values at the limits of a rule are accepted."""
    check(value)


@pytest.mark.parametrize(
    ("check", "value", "rule"),
    [
        (check_ray_extras, "serve", "must be 'infer' or a list of extras, but was 'serve'."),
        (check_ray_extras, ("a b",), "must contain names of extras, but has 'a b'."),
        (check_platforms, (), "must name exactly one platform, but was []."),
        (check_platforms, ("linux/s390x",), "must be one of 'linux/amd64', but was 'linux/s390x'."),
        (check_env, {"": "x", "a=b": "y"}, "without '=' that are not empty, but has '', 'a=b'."),
        (
            check_ports,
            (0, 65536, True),
            "must contain numbers from 1 to 65535, but has 0, True, 65536.",
        ),
        (check_labels, {"slim-ray-image.x": "y"}, "but has 'slim-ray-image.x'."),
        (check_user, "a:b:c", "must be `user` or `user:group`, but was 'a:b:c'."),
        (check_user, "", "must be `user` or `user:group`, but was ''."),
        (check_workdir, "app", "but was 'app'."),
        (check_workdir, "/", "but was '/'."),
        (check_workdir, "/a:b", "but was '/a:b'."),
        (check_workdir, "/a\nb", "but was '/a\\nb'."),
        (check_layer_budget, 3, "must be a number from 4 to 100, but was 3."),
    ],
)
def test_value_that_breaks_the_rule_is_told(
    check: Callable[[Any], None], value: Any, rule: str
) -> None:
    """The error has the rule, the value and a fix; the caller adds the field and the target."""
    text = error_text(lambda: check(value))
    assert rule in text
    assert "\n\nTo fix, " in text
