"""Serve configs that Ray 2.48 accepts or rejects, at once or at deployment: a case for each rule of its schema.

tests/core checks the plugin's table of that schema by them. tests/servers gives them to Ray itself, so that the table
stays equal to Ray's schema.
"""

from __future__ import annotations

import textwrap
from typing import Mapping

_APPLICATION = "  import_path: a.b:c\n"


def _top(text: str) -> str:
    """Return a config with one application, and with more keys beside it."""
    return f"applications:\n- name: a\n{_APPLICATION}{textwrap.dedent(text).lstrip()}"


def _application(text: str, import_path: str = _APPLICATION) -> str:
    return (
        f"applications:\n-{import_path[1:]}{textwrap.indent(textwrap.dedent(text).lstrip(), '  ')}"
    )


def _deployment(text: str) -> str:
    return _application(f"deployments:\n- name: d\n{textwrap.indent(text, '  ')}")


def _two(first: str, second: str) -> str:
    return f"applications:\n- {{import_path: 'a:b', {first}}}\n- {{import_path: 'a:c', {second}}}\n"


ACCEPTED: Mapping[str, str] = {
    "import path alone": _application(""),
    "dotted import path": _application("", "  import_path: a.b.c\n"),
    "name that is a number": _application("name: 7"),
    "no route": _application("route_prefix: null"),
    "nested route": _application("route_prefix: /a/b"),
    "two without a route": _two("name: x, route_prefix: null", "name: y, route_prefix: null"),
    "arguments": _application("args: {a: 1, b: [c]}"),
    "variables": _application("runtime_env: {env_vars: {A: b}}"),
    "no variables": _application("runtime_env: {env_vars: null}"),
    "variables of a deployment": _deployment(
        "ray_actor_options: {runtime_env: {env_vars: {A: '1'}}}"
    ),
    "unknown keys": _top("unknown: 1\nhttp_options: {unknown: 2}"),
    "unknown key of an application": _application("unknown: 1"),
    "options": _top(
        """
        proxy_location: HeadOnly
        http_options: {host: 0.0.0.0, port: "8001", root_path: /x, request_timeout_s: null}
        grpc_options: {port: 9001, grpc_servicer_functions: [a.b.add], request_timeout_s: 1.5}
        logging_config: {encoding: JSON, log_level: 10, logs_dir: null, enable_access_log: "no"}
        target_capacity: 50
        """
    ),
    "nulls that are allowed": _top("logging_config: null\ntarget_capacity: null"),
    "log attributes": _top("logging_config: {additional_log_standard_attrs: [name, thread]}"),
    "deployment": _deployment(
        "num_replicas: 2\nmax_ongoing_requests: 5\nmax_queued_requests: -1\nuser_config: {a: 1}\n"
        "health_check_period_s: 1\ngraceful_shutdown_timeout_s: 0\nmax_replicas_per_node: 3\n"
        "ray_actor_options: {num_cpus: 0.5, num_gpus: null, resources: {a: 1}, accelerator_type: A10}\n"
        "logging_config: {log_level: DEBUG}\nrequest_router_config: {request_router_class: a.b}\n"
    ),
    "router": _deployment(
        "request_router_config: {request_router_kwargs: {a: 1}, request_routing_stats_period_s: 5,\n"
        "  request_routing_stats_timeout_s: 0.5}"
    ),
    "replicas as text": _deployment("num_replicas: '3'"),
    "automatic replicas": _deployment("num_replicas: auto\nautoscaling_config: {max_replicas: 3}"),
    "null replicas": _deployment("num_replicas: null\nautoscaling_config: {max_replicas: 3}"),
    "autoscaling": _deployment(
        "autoscaling_config: {min_replicas: 0, initial_replicas: 2, max_replicas: 3, upscale_delay_s: 0,\n"
        "  target_ongoing_requests: 1.5, upscaling_factor: null}"
    ),
    "autoscaling by default": _deployment("autoscaling_config: {}"),
    "autoscaling down to none": _deployment("autoscaling_config: {min_replicas: 0}"),
    "automatic replicas by default": _deployment("num_replicas: auto\nautoscaling_config: {}"),
    "automatic replicas from more": _deployment(
        "num_replicas: auto\nautoscaling_config: {min_replicas: 2, initial_replicas: 50}"
    ),
    "placement group": _deployment(
        "placement_group_bundles: [{CPU: 1, GPU: 0.5}]\nplacement_group_strategy: PACK"
    ),
    "anchors": "applications:\n- &a {name: x, route_prefix: /x, import_path: 'a:b'}\n"
    "- {<<: *a, name: y, route_prefix: /y}\n",
    "flag as a number": _top("logging_config: {enable_access_log: 1}"),
    "fraction of a port": _top("http_options: {port: 8000.0}"),
    "list of no applications": "applications: []\n",
}
REFUSED: Mapping[str, str] = {
    "no applications": "http_options: {port: 8000}\n",
    "null applications": "applications: null\n",
    "applications that are a mapping": "applications: {a: 1}\n",
    "application that is text": "applications: [a.b]\n",
    "one application alone": "import_path: a.b:c\nname: a\n",
    "no import path": "applications: [{name: a}]\n",
    "null import path": "applications: [{import_path: null}]\n",
    "import path without an attribute": _application("", "  import_path: app\n"),
    "import path that ends with a colon": _application("", "  import_path: 'app:'\n"),
    "import path with two colons": _application("", "  import_path: 'a:b:c'\n"),
    "empty name": _application("name: ''"),
    "null name": _application("name: null"),
    "one name twice": _two("name: x, route_prefix: /x", "name: x, route_prefix: /y"),
    "default name twice": _two("route_prefix: /x", "route_prefix: /y"),
    "one route twice": _two("name: x, route_prefix: /x", "name: y, route_prefix: /x"),
    "default route twice": _two("name: x", "name: y"),
    "default route and the same": _two("name: x, route_prefix: /", "name: y"),
    "route without a slash": _application("route_prefix: a"),
    "route with a slash at its end": _application("route_prefix: /a/"),
    "route with a wildcard": _application("route_prefix: '/{a}'"),
    "host of an application": _application("host: 0.0.0.0"),
    "port of an application": _application("port: 8000"),
    "arguments that are a list": _application("args: [1]"),
    "null arguments": _application("args: null"),
    "null runtime_env": _application("runtime_env: null"),
    "variable that is a number": _application("runtime_env: {env_vars: {A: 1}}"),
    "variable that is nothing": _application("runtime_env: {env_vars: {A: null}}"),
    "variable that is a flag": _application("runtime_env: {env_vars: {A: yes}}"),
    "variable of a number": _application("runtime_env: {env_vars: {1: a}}"),
    "variables that are text": _application("runtime_env: {env_vars: A}"),
    "variable of a deployment that is a number": _deployment(
        "ray_actor_options: {runtime_env: {env_vars: {A: 1}}}"
    ),
    "deployments that are a mapping": _application("deployments: {name: d}"),
    "deployment without a name": _application("deployments: [{num_replicas: 1}]"),
    "no replicas": _deployment("num_replicas: 0"),
    "replicas in words": _deployment("num_replicas: two"),
    "replicas beside autoscaling": _deployment("num_replicas: 2\nautoscaling_config: {}"),
    "autoscaling of nothing": _deployment("autoscaling_config: {max_replicas: 0}"),
    "autoscaling down to more": _deployment(
        "autoscaling_config: {min_replicas: 3, max_replicas: 2}"
    ),
    "autoscaling from more": _deployment(
        "autoscaling_config: {initial_replicas: 3, max_replicas: 2}"
    ),
    "autoscaling from less": _deployment(
        "autoscaling_config: {min_replicas: 3, initial_replicas: 2, max_replicas: 4}"
    ),
    "autoscaling down to more than by default": _deployment(
        "autoscaling_config: {min_replicas: 2}"
    ),
    "autoscaling from more than by default": _deployment(
        "autoscaling_config: {initial_replicas: 2}"
    ),
    "autoscaling from less than by default": _deployment(
        "autoscaling_config: {initial_replicas: 0, max_replicas: 4}"
    ),
    "automatic replicas from too many": _deployment(
        "num_replicas: auto\nautoscaling_config: {initial_replicas: 101}"
    ),
    "automatic replicas from none": _deployment(
        "num_replicas: auto\nautoscaling_config: {initial_replicas: 0}"
    ),
    "null autoscaling at most": _deployment("autoscaling_config: {max_replicas: null}"),
    "router's arguments that are a list": _deployment(
        "request_router_config: {request_router_kwargs: [1]}"
    ),
    "router's period of no time": _deployment(
        "request_router_config: {request_routing_stats_period_s: 0}"
    ),
    "null router": _deployment("request_router_config: null"),
    "autoscaling in words": _deployment("autoscaling_config: {target_ongoing_requests: few}"),
    "limit beside a placement group": _deployment(
        "max_replicas_per_node: 2\nplacement_group_bundles: [{CPU: 1}]"
    ),
    "no ongoing requests": _deployment("max_ongoing_requests: 0"),
    "null ongoing requests": _deployment("max_ongoing_requests: null"),
    "queue of nothing": _deployment("max_queued_requests: 0"),
    "queue as text": _deployment("max_queued_requests: '5'"),
    "negative CPUs": _deployment("ray_actor_options: {num_cpus: -1}"),
    "CPUs in words": _deployment("ray_actor_options: {num_cpus: many}"),
    "null actor options": _deployment("ray_actor_options: null"),
    "health check of no time": _deployment("health_check_period_s: 0"),
    "negative time": _deployment("graceful_shutdown_timeout_s: -1"),
    "bundles that are a mapping": _deployment("placement_group_bundles: {CPU: 1}"),
    "bundle in words": _deployment("placement_group_bundles: [{CPU: one}]"),
    "user config that is a list": _deployment("user_config: [1]"),
    "unknown key of logging": _top("logging_config: {level: INFO}"),
    "unknown encoding": _top("logging_config: {encoding: XML}"),
    "unknown log level": _top("logging_config: {log_level: LOUD}"),
    "log level of no name": _top("logging_config: {log_level: 15}"),
    "unknown log attribute": _top("logging_config: {additional_log_standard_attrs: [color]}"),
    "flag in words": _top("logging_config: {enable_access_log: maybe}"),
    "unknown proxy location": _top("proxy_location: Everywhere"),
    "null proxy location": _top("proxy_location: null"),
    "null options": _top("http_options: null"),
    "options that are text": _top("http_options: all"),
    "port in words": _top("http_options: {port: http}"),
    "null port": _top("http_options: {port: null}"),
    "servicers that are text": _top("grpc_options: {grpc_servicer_functions: a.b}"),
    "timeout in words": _top("grpc_options: {request_timeout_s: long}"),
    "capacity above all": _top("target_capacity: 101"),
    "negative capacity": _top("target_capacity: -1"),
    "text": "applications\n",
    "list": "- applications\n",
}
