"""Stage 1 of 6: check a Serve config by the rules of Ray 2.48.

This table repeats Ray's own schema, so that a mistake is reported with its line before anything is built. It accepts
and rejects the same values, including numbers given as text and text given as numbers:
https://docs.ray.io/en/releases-2.48.0/serve/api/doc/ray.serve.schema.ServeDeploySchema.html.
A key that Ray ignores is not an error here either, but is reported.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Union

from slim_ray_image.core.errors import InvalidValueError
from slim_ray_image.core.serve.import_paths import parse_application_path
from slim_ray_image.core.serve.yaml_lines import Located

DEFAULT_NAME = "default"
DEFAULT_ROUTE_PREFIX = "/"
_MOST_CHARACTERS = 60
# The names that Ray 2.48 accepts from https://docs.python.org/3/library/logging.html#logrecord-attributes.
_LOG_ATTRIBUTES = frozenset(
    """
    args asctime created exc_info exc_text filename funcName levelname levelno lineno message module msecs msg name
    pathname process processName relativeCreated stack_info taskName thread threadName
    """.split()
)
_LOG_LEVEL_NUMBERS = (0, 10, 20, 30, 40, 50)
_LOG_LEVELS = ("CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTSET", "WARN", "WARNING")
_FLAGS = ("0", "1", "f", "false", "n", "no", "off", "on", "t", "true", "y", "yes")


@dataclass(frozen=True, order=True)
class ConfigMistake:
    """A mistake, or a key that Ray ignores, in a Serve config. Mistakes sort in the order of the file.

    Attributes:
        line: Line of the file, from 1.
        path: Key path, such as "applications[0].import_path"; "" for the config itself.
        text: Predicate that completes a sentence about the key, such as "is missing".
    """

    line: int
    path: str
    text: str


@dataclass(frozen=True)
class _Value:
    """A rule for one value of a Serve config: its description for messages, and a test that Ray would accept it.

    Attributes:
        description: Noun phrase that completes a message "must be ...".
        accepts: Predicate that returns whether Ray accepts a value.
    """

    description: str
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class _ListOf:
    item: Union[_Value, _Table]


@dataclass(frozen=True)
class _Table:
    """A rule for a mapping in a Serve config: its known keys, with a rule for the value of each.

    Attributes:
        refuses_others: Whether Ray rejects unknown keys. If not, Ray ignores them.
        check: Function that yields further mistakes of the mapping, from the mapping and its key path.
    """

    fields: Mapping[str, _Field]
    refuses_others: bool = False
    check: Callable[[Located, str], Iterable[ConfigMistake]] = field(default=lambda table, path: ())


@dataclass(frozen=True)
class _Field:
    kind: Union[_Value, _ListOf, _Table]
    is_required: bool = False
    takes_null: bool = False


def _number(value: Any, kind: Callable[[Any], float]) -> Optional[float]:
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _numbers(description: str, accepts: Callable[[float], bool]) -> _Value:
    def accepts_value(value: Any) -> bool:
        number = _number(value, float)
        return number is not None and accepts(number)

    return _Value(description, accepts_value)


def _whole_numbers(description: str, accepts: Callable[[float], bool]) -> _Value:
    def accepts_value(value: Any) -> bool:
        number = _number(value, int)
        return number is not None and accepts(number)

    return _Value(description, accepts_value)


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _is_replica_count(value: Any) -> bool:
    return value == "auto" or (_number(value, int) or 0) > 0


def _is_queue_length(value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and (value == -1 or value >= 1)


def _is_log_level(value: Any) -> bool:
    number = _number(value, int)
    return value in _LOG_LEVELS if number is None else number in _LOG_LEVEL_NUMBERS


def _is_import_path(value: Any) -> bool:
    if not _is_text(value):
        return False
    try:
        parse_application_path(str(value))
    except InvalidValueError:
        return False
    return True


def _is_route_prefix(value: Any) -> bool:
    text = str(value)
    has_end = len(text) > 1 and text.endswith("/")
    return _is_text(value) and text.startswith("/") and not has_end and not set("{}") & set(text)


def _is_resources(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_text(name) and _number(amount.value, float) is not None
        for name, amount in value.items()
    )


def _one_of(*names: str) -> _Value:
    return _Value(f"one of {', '.join(names)}", lambda value: value in names)


_TEXT = _Value("text", _is_text)
_NAME = _Value("text that is not empty", lambda value: _is_text(value) and str(value) != "")
_FLAG = _Value("true or false", lambda value: str(value).lower() in _FLAGS)
_IMPORT_PATH = _Value("an import path `module.path:attribute`", _is_import_path)
_MAPPING = _Value("a mapping", lambda value: isinstance(value, dict))
_INTEGER = _whole_numbers("a whole number", lambda number: True)
_POSITIVE_INTEGER = _whole_numbers("a whole number above 0", lambda number: number > 0)
_WHOLE_NOT_NEGATIVE = _whole_numbers("a whole number of 0 or more", lambda number: number >= 0)
_FLOAT = _numbers("a number", lambda number: True)
_POSITIVE = _numbers("a number above 0", lambda number: number > 0)
_NOT_NEGATIVE = _numbers("a number of 0 or more", lambda number: number >= 0)
_PERCENTAGE = _numbers("a number from 0 to 100", lambda number: 0 <= number <= 100)

_LOGGING = _Table(
    {
        "encoding": _Field(_one_of("TEXT", "JSON")),
        "log_level": _Field(_Value(f"one of {', '.join(_LOG_LEVELS)}", _is_log_level)),
        "logs_dir": _Field(_TEXT, takes_null=True),
        "enable_access_log": _Field(_FLAG),
        "additional_log_standard_attrs": _Field(
            _ListOf(_Value("an attribute of Python's log records", _LOG_ATTRIBUTES.__contains__))
        ),
    },
    refuses_others=True,
)
_ACTOR = _Table(
    {
        "runtime_env": _Field(_MAPPING),
        "num_cpus": _Field(_NOT_NEGATIVE, takes_null=True),
        "num_gpus": _Field(_NOT_NEGATIVE, takes_null=True),
        "memory": _Field(_NOT_NEGATIVE, takes_null=True),
        "resources": _Field(_MAPPING),
        "accelerator_type": _Field(_TEXT, takes_null=True),
    }
)


# Defaults of `autoscaling_config`; with `num_replicas: auto`, Ray uses the second table.
_DEFAULT_COUNTS: Mapping[str, int] = {"min_replicas": 1, "max_replicas": 1}
_AUTOMATIC_COUNTS: Mapping[str, int] = {"min_replicas": 1, "max_replicas": 100}


def _check_counts(
    config: Located, path: str, defaults: Mapping[str, int]
) -> Iterator[ConfigMistake]:
    """Check that the numbers of replicas do not fall from minimum to initial (if set) to maximum."""
    keys = ("min_replicas", "initial_replicas", "max_replicas")
    found = {key: config.get(key) for key in keys if key in defaults or _is_set(config, key)}
    numbers = {
        key: defaults[key] if value is None else _number(value.value, int)
        for key, value in found.items()
    }

    def show_count(key: str) -> str:
        value = found[key]
        return f"by default {defaults[key]}" if value is None else show(value)

    for (low, below), (high, above) in zip(numbers.items(), list(numbers.items())[1:]):
        if below is None or above is None or below <= above:
            continue
        key, limit, relation = (low, high, "most") if found[low] else (high, low, "least")
        given = found[key]
        assert given is not None  # the defaults are in order
        text = f"must be at {relation} `{limit}`, {show_count(limit)}, but is {show_count(key)}"
        yield ConfigMistake(given.line, f"{path}.{key}", text)


_AUTOSCALING = _Table(
    {
        "min_replicas": _Field(_WHOLE_NOT_NEGATIVE),
        "initial_replicas": _Field(_WHOLE_NOT_NEGATIVE, takes_null=True),
        "max_replicas": _Field(_POSITIVE_INTEGER),
        "target_ongoing_requests": _Field(_POSITIVE),
        "metrics_interval_s": _Field(_POSITIVE),
        "look_back_period_s": _Field(_POSITIVE),
        "smoothing_factor": _Field(_POSITIVE),
        "upscale_smoothing_factor": _Field(_POSITIVE, takes_null=True),
        "downscale_smoothing_factor": _Field(_POSITIVE, takes_null=True),
        "upscaling_factor": _Field(_POSITIVE, takes_null=True),
        "downscaling_factor": _Field(_POSITIVE, takes_null=True),
        "downscale_delay_s": _Field(_NOT_NEGATIVE),
        "upscale_delay_s": _Field(_NOT_NEGATIVE),
    }
)


_ROUTER = _Table(
    {
        "request_router_class": _Field(_IMPORT_PATH),
        "request_router_kwargs": _Field(_MAPPING),
        "request_routing_stats_period_s": _Field(_POSITIVE),
        "request_routing_stats_timeout_s": _Field(_POSITIVE),
    }
)


def _is_set(table: Located, key: str) -> bool:
    found = table.get(key)
    return found is not None and found.value is not None


def _check_variables(table: Located, keys: tuple[str, ...], path: str) -> Iterator[ConfigMistake]:
    """Check that the variables of a `runtime_env` are text. In YAML, numbers and flags without quotes are not."""
    found, path = table.get(*keys, "env_vars"), ".".join((path, *keys, "env_vars"))
    if found is None or not found.value:
        return
    if not isinstance(found.value, dict):
        yield _must_be(found, path, "a mapping from names to text")
        return
    for name, value in found.value.items():
        if not isinstance(name, str):
            yield ConfigMistake(value.line, path, f"must have text for names, but has {show(name)}")
        if not isinstance(value.value, str):
            yield _must_be(value, f"{path}.{name}", "text, in quotes")


def _check_deployment(deployment: Located, path: str) -> Iterator[ConfigMistake]:
    """Check that a deployment has no options that exclude each other, and no values that Ray refuses on deploying."""
    yield from _check_variables(deployment, ("ray_actor_options", "runtime_env"), path)
    count = deployment.get("num_replicas")
    scaling = deployment.get("autoscaling_config")
    if scaling and scaling.value and isinstance(scaling.value, dict):
        is_automatic = count is not None and count.value == "auto"
        defaults = _AUTOMATIC_COUNTS if is_automatic else _DEFAULT_COUNTS
        yield from _check_counts(scaling, f"{path}.autoscaling_config", defaults)
    if count and count.value not in (None, "auto") and _is_set(deployment, "autoscaling_config"):
        text = "must be left out or 'auto' beside `autoscaling_config`"
        yield ConfigMistake(count.line, f"{path}.num_replicas", text)
    if (
        _is_set(deployment, "max_replicas_per_node")
        and "placement_group_bundles" in deployment.value
    ):
        text = "must be left out beside `placement_group_bundles`"
        line = deployment["max_replicas_per_node"].line
        yield ConfigMistake(line, f"{path}.max_replicas_per_node", text)


_DEPLOYMENT = _Table(
    {
        "name": _Field(_TEXT, is_required=True),
        "num_replicas": _Field(
            _Value("a whole number above 0 or 'auto'", _is_replica_count), takes_null=True
        ),
        "max_ongoing_requests": _Field(_POSITIVE_INTEGER),
        "max_queued_requests": _Field(_Value("-1 or a whole number above 0", _is_queue_length)),
        "user_config": _Field(_MAPPING, takes_null=True),
        "autoscaling_config": _Field(_AUTOSCALING, takes_null=True),
        "graceful_shutdown_wait_loop_s": _Field(_NOT_NEGATIVE),
        "graceful_shutdown_timeout_s": _Field(_NOT_NEGATIVE),
        "health_check_period_s": _Field(_POSITIVE),
        "health_check_timeout_s": _Field(_POSITIVE),
        "ray_actor_options": _Field(_ACTOR),
        "placement_group_bundles": _Field(
            _ListOf(_Value("a mapping from resources to numbers", _is_resources))
        ),
        "placement_group_strategy": _Field(_TEXT),
        "max_replicas_per_node": _Field(_INTEGER),
        "logging_config": _Field(_LOGGING),
        "request_router_config": _Field(_ROUTER),
    },
    check=_check_deployment,
)


def _check_application(application: Located, path: str) -> Iterator[ConfigMistake]:
    for key in ("host", "port"):
        if key in application.value:
            text = f"must be left out; `http_options.{key}` applies to all applications"
            yield ConfigMistake(application[key].line, f"{path}.{key}", text)
    yield from _check_variables(application, ("runtime_env",), path)


_APPLICATION = _Table(
    {
        "name": _Field(_NAME),
        "route_prefix": _Field(
            _Value(
                "a path that starts with '/', without '/' at its end and '{', '}'", _is_route_prefix
            ),
            takes_null=True,
        ),
        "import_path": _Field(_IMPORT_PATH, is_required=True),
        "runtime_env": _Field(_MAPPING),
        "host": _Field(_TEXT),
        "port": _Field(_INTEGER),
        "deployments": _Field(_ListOf(_DEPLOYMENT)),
        "args": _Field(_MAPPING),
        "logging_config": _Field(_LOGGING, takes_null=True),
    },
    check=_check_application,
)


def application_name(application: Located) -> str:
    name = application.get("name")
    return DEFAULT_NAME if name is None else str(name.value)


def route_prefix(application: Located) -> Optional[str]:
    """Return the HTTP route prefix of a Serve application, by default "/"; None if it has no route."""
    prefix = application.get("route_prefix")
    if prefix is None:
        return DEFAULT_ROUTE_PREFIX
    return None if prefix.value is None else str(prefix.value)


def _check_unique(config: Located, path: str) -> Iterator[ConfigMistake]:
    """Check that Serve applications have unique names and route prefixes, defaults included; report each duplicate."""
    applications = config.get("applications")
    if applications is None or not isinstance(applications.value, tuple):
        return
    rows = [(n, a) for n, a in enumerate(applications.value) if isinstance(a.value, dict)]
    for key, value_of in (("name", application_name), ("route_prefix", route_prefix)):
        counts = Counter(value_of(application) for _, application in rows)
        for number, application in rows:
            value, found = value_of(application), application.get(key)
            if value is not None and counts[value] > 1:
                default = "" if found else " (the default)"
                yield ConfigMistake(
                    (found or application).line,
                    f"applications[{number}].{key}",
                    f"must be unique, but {counts[value]} applications have {value!r}{default}",
                )


_CONFIG = _Table(
    {
        "proxy_location": _Field(_one_of("Disabled", "HeadOnly", "EveryNode")),
        "http_options": _Field(
            _Table(
                {
                    "host": _Field(_TEXT),
                    "port": _Field(_INTEGER),
                    "root_path": _Field(_TEXT),
                    "request_timeout_s": _Field(_FLOAT, takes_null=True),
                    "keep_alive_timeout_s": _Field(_INTEGER),
                }
            )
        ),
        "grpc_options": _Field(
            _Table(
                {
                    "port": _Field(_INTEGER),
                    "grpc_servicer_functions": _Field(_ListOf(_IMPORT_PATH)),
                    "request_timeout_s": _Field(_FLOAT, takes_null=True),
                }
            )
        ),
        "logging_config": _Field(_LOGGING, takes_null=True),
        "applications": _Field(_ListOf(_APPLICATION), is_required=True),
        "target_capacity": _Field(_PERCENTAGE, takes_null=True),
    },
    check=_check_unique,
)


def show(value: Any) -> str:
    """Return the text of a value for a message: one line, cut after 60 characters. A `Located` counts as its value."""
    if isinstance(value, Located):
        value = value.head(_MOST_CHARACTERS + 1)  # each value takes at least one character
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except TypeError:  # a date, for example
        text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def _must_be(found: Located, path: str, description: str) -> ConfigMistake:
    return ConfigMistake(found.line, path, f"must be {description}, but is {show(found)}")


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


class _Check:
    """A collector of the mistakes in a Serve config, and of the keys that Ray would ignore."""

    def __init__(self) -> None:
        self.problems: list[ConfigMistake] = []
        self.ignored: list[ConfigMistake] = []

    def value(self, found: Located, kind: Union[_Value, _ListOf, _Table], path: str) -> None:
        if isinstance(kind, _Value):
            if not kind.accepts(found.value):
                self.problems.append(_must_be(found, path, kind.description))
        elif isinstance(kind, _ListOf):
            if not isinstance(found.value, tuple):
                self.problems.append(_must_be(found, path, "a list"))
                return
            for number, child in enumerate(found.value):
                self.value(child, kind.item, f"{path}[{number}]")
        elif isinstance(found.value, dict):
            self._table(found, kind, path)
        else:
            self.problems.append(_must_be(found, path, "a mapping"))

    def _table(self, found: Located, table: _Table, path: str) -> None:
        for key, field_ in table.fields.items():
            child = found.get(key)
            if child is None:
                if field_.is_required:
                    self.problems.append(ConfigMistake(found.line, _join(path, key), "is missing"))
            elif child.value is not None or not field_.takes_null:
                self.value(child, field_.kind, _join(path, key))
        for key in found.value.keys() - table.fields.keys():
            others = self.problems if table.refuses_others else self.ignored
            text = "is not a key of Ray Serve"
            others.append(ConfigMistake(found[key].line, _join(path, key), text))
        self.problems += table.check(found, path)


def check_config(config: Located) -> tuple[list[ConfigMistake], list[ConfigMistake]]:
    """Return the mistakes in a Serve config, and the keys that Ray would ignore; both in the order of the file."""
    check = _Check()
    check.value(config, _CONFIG, "")
    return sorted(check.problems), sorted(check.ignored)
