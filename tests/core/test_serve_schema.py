"""Tests of core.serve.serve_schema; tests/servers/test_serve_config.py asks Ray about the same configs."""

from __future__ import annotations

import pytest
from serve_configs import ACCEPTED, REFUSED

from slim_ray_image.core.serve.serve_schema import ConfigMistake, check_config, show
from slim_ray_image.core.serve.yaml_lines import Place, read_documents


def problems_of(text: str) -> tuple[list[ConfigMistake], list[ConfigMistake]]:
    (config,) = read_documents(text, Place("serve.yaml"))
    return check_config(config)


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_what_ray_takes_is_accepted(text: str) -> None:
    """Numbers given as text, nulls where Ray allows them, and unknown keys that Ray ignores are accepted."""
    assert problems_of(text)[0] == []


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_ray_refuses_is_a_problem(text: str) -> None:
    """A config that Ray rejects has problems, each with a line of the file."""
    problems, _ = problems_of(text)
    assert problems
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in problems)


def test_problem_has_line_key_and_value() -> None:
    """A problem names the line, the key path with list indexes, and the value."""
    text = "applications:\n- import_path: a:b\n  deployments:\n  - name: d\n    num_replicas: two\n"
    assert problems_of(text)[0] == [
        ConfigMistake(
            5,
            "applications[0].deployments[0].num_replicas",
            "must be a whole number above 0 or 'auto', but is 'two'",
        )
    ]


@pytest.mark.parametrize(
    ("counts", "key", "text"),
    [
        (
            "{min_replicas: 3, max_replicas: 2}",
            "min_replicas",
            "must be at most `max_replicas`, 2, but is 3",
        ),
        (
            "{min_replicas: 2}",
            "min_replicas",
            "must be at most `max_replicas`, by default 1, but is 2",
        ),
        (
            "{initial_replicas: 0}",
            "initial_replicas",
            "must be at least `min_replicas`, by default 1, but is 0",
        ),
    ],
)
def test_order_of_replica_counts_has_ray_s_defaults(counts: str, key: str, text: str) -> None:
    """A wrong order of replica counts is reported at a key in the file; the message names a default limit as such."""
    config = f"applications:\n- import_path: a:b\n  deployments:\n  - {{name: d, autoscaling_config: {counts}}}\n"
    path = f"applications[0].deployments[0].autoscaling_config.{key}"
    assert problems_of(config)[0] == [ConfigMistake(4, path, text)]


def test_problems_are_in_the_order_of_the_file() -> None:
    """All problems are returned, in the order of the file and not of Ray's schema."""
    text = (
        "target_capacity: -1\napplications:\n- name: ''\n  import_path: x\nproxy_location: None\n"
    )
    assert [problem.line for problem in problems_of(text)[0]] == [1, 3, 4, 5]


def test_every_application_of_one_name_is_told() -> None:
    """Each application with a duplicate name has a problem; a missing name counts as Ray's default."""
    text = "applications:\n- import_path: a:b\n- import_path: a:c\n  route_prefix: /c\n  name: default\n"
    assert problems_of(text)[0] == [
        ConfigMistake(
            2,
            "applications[0].name",
            "must be unique, but 2 applications have 'default' (the default)",
        ),
        ConfigMistake(
            5, "applications[1].name", "must be unique, but 2 applications have 'default'"
        ),
    ]


def test_keys_that_ray_ignores_are_no_problems() -> None:
    """Keys that Ray ignores are returned apart from the problems."""
    text = "applications:\n- import_path: a:b\n  deployments:\n  - {name: d, num_replica: 2}\n"
    assert problems_of(text) == (
        [],
        [
            ConfigMistake(
                4, "applications[0].deployments[0].num_replica", "is not a key of Ray Serve"
            )
        ],
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (None, "null"),
        (True, "true"),
        ({"a": [1, "ä"]}, '{"a": [1, "ä"]}'),
        ("x" * 100, "'" + "x" * 59 + "..."),
    ],
    ids=["text", "null", "flag", "mapping", "long"],
)
def test_value_is_shown_on_one_line(value: object, text: str) -> None:
    """A value is shown as JSON on one line, cut to the length that a message allows."""
    assert show(value) == text
