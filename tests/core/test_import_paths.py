"""Tests of core.serve.import_paths."""

from __future__ import annotations

from typing import Optional

import pytest
from conftest import error_text
from needs import needs

from slim_ray_image.core.python.definitions import defined_names, unbound_definition
from slim_ray_image.core.python.module_names import importable_module
from slim_ray_image.core.serve.import_paths import (
    EntryPoint,
    ImportPath,
    parse_entry_point,
    parse_import_path,
)


@pytest.mark.parametrize(
    ("text", "module", "attribute"),
    [
        pytest.param("services.echo.app:app", "services.echo.app", "app", id="dotted module"),
        pytest.param("app:app", "app", "app", id="top-level module"),
        pytest.param("_a1.b_2:_c", "_a1.b_2", "_c", id="underscores and digits"),
        pytest.param("größe:app", "größe", "app", id="not ASCII"),
    ],
)
def test_import_path_is_module_and_attribute(text: str, module: str, attribute: str) -> None:
    """`module:attribute` is parsed as Ray Serve parses it, and `str` returns the same text."""
    path = parse_import_path(text)
    assert path == ImportPath(module, attribute)
    assert str(path) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("services.echo.app", id="no attribute"),
        pytest.param("services.echo.app:", id="empty attribute"),
        pytest.param(":app", id="empty module"),
        pytest.param("services..app:app", id="empty part"),
        pytest.param(".app:app", id="relative module"),
        pytest.param("services/echo/app.py:app", id="file"),
        pytest.param("app:app.bind", id="dotted attribute"),
        pytest.param("app:app:app", id="two colons"),
        pytest.param("app:build()", id="call"),
        pytest.param("app: app", id="space"),
        pytest.param("import.app:app", id="keyword in the module"),
        pytest.param("app:class", id="keyword as the attribute"),
        pytest.param("1app:app", id="digit first"),
    ],
)
def test_import_path_of_another_form_is_an_error(text: str) -> None:
    """A text that Ray Serve could not import is an error with a correct example."""
    assert error_text(lambda: parse_import_path(text)) == (
        f"must be an import path `module.path:attribute`, but was {text!r}.\n"
        "\n"
        "To fix, name the module and the variable of the bound application, such as 'services.echo.app:app'."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("jobs.train", EntryPoint("jobs.train", None, ()), id="module"),
        pytest.param("driver", EntryPoint("driver", None, ()), id="top-level module"),
        pytest.param("driver.py", EntryPoint(None, "driver.py", ()), id="file"),
        pytest.param("sub/driver.py", EntryPoint(None, "sub/driver.py", ()), id="file below"),
        pytest.param(
            "driver.py --name 'two words' \"$HOME\" *",
            EntryPoint(None, "driver.py", ("--name", "two words", "$HOME", "*")),
            id="arguments as a shell splits them, without expanding them",
        ),
        pytest.param(
            "  jobs.train\n --x=1  ", EntryPoint("jobs.train", None, ("--x=1",)), id="white space"
        ),
    ],
)
def test_entry_point_is_module_or_file_with_arguments(text: str, expected: EntryPoint) -> None:
    """The first word is a module, or a file if it ends in .py; the other words are arguments."""
    assert parse_entry_point(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("  ", id="white space"),
        pytest.param("/opt/driver.py", id="absolute file"),
        pytest.param("../driver.py", id="file outside"),
        pytest.param("sub/../../driver.py", id="file outside, after a folder"),
        pytest.param("jobs/train", id="folder"),
        pytest.param("jobs.train:main", id="import path"),
        pytest.param("./run.sh", id="script"),
        pytest.param("--rounds 3", id="arguments alone"),
        pytest.param("jobs.class", id="keyword"),
    ],
)
def test_entry_point_of_another_form_is_an_error(text: str) -> None:
    """A first word that is neither a module nor a file beside the BUILD file is an error with an example."""
    assert error_text(lambda: parse_entry_point(text)) == (
        f"must be a module or a `.py` file, optionally followed by arguments, but was {text!r}.\n"
        "\n"
        "To fix, name a module or a file beside the BUILD file, then its arguments, such as 'driver.py --rounds 3'."
    )


def test_entry_point_with_an_open_quote_is_an_error() -> None:
    """An entry point that a shell could not split is an error with the reason."""
    assert error_text(lambda: parse_entry_point("driver.py 'a")) == (
        """must be a module or a `.py` file, optionally followed by arguments, but was "driver.py 'a" (No closing quotation).\n"""
        "\n"
        "To fix, name a module or a file beside the BUILD file, then its arguments, such as 'driver.py --rounds 3'."
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("", set(), id="nothing"),
        pytest.param("app = 1", {"app"}, id="assignment"),
        pytest.param("a = b = 1", {"a", "b"}, id="chain"),
        pytest.param("a, (b, *c), [d] = x", {"a", "b", "c", "d"}, id="tuple targets"),
        pytest.param("x.app = y[app] = 1", set(), id="attribute and item are no names"),
        pytest.param("app: int = 1", {"app"}, id="annotated"),
        pytest.param("app: int", set(), id="annotated without a value"),
        pytest.param("app += 1", {"app"}, id="augmented"),
        pytest.param("(app := 1)", {"app"}, id="walrus"),
        pytest.param("print([(last := x) for x in y])", {"last"}, id="walrus in a comprehension"),
        pytest.param("a = [x for x in y]", {"a"}, id="comprehension has a scope of its own"),
        pytest.param("a = {k: v for k, v in y}", {"a"}, id="dict comprehension"),
        pytest.param("a = lambda x: (y := x)", {"a"}, id="lambda has a scope of its own"),
        pytest.param("def app(x, y=1):\n    z = 1", {"app"}, id="function"),
        pytest.param("async def app():\n    z = 1", {"app"}, id="async function"),
        pytest.param("class App:\n    z = 1\n    def f(self): pass", {"App"}, id="class"),
        pytest.param("@serve.deployment(name='x')\nclass App: pass", {"App"}, id="decorated class"),
        pytest.param("@decorate\ndef app(): pass", {"app"}, id="decorated function"),
        pytest.param("import a, b.c, d.e as f", {"a", "b", "f"}, id="import"),
        pytest.param("from a.b import c, d as e", {"c", "e"}, id="from import"),
        pytest.param("from . import c", {"c"}, id="relative import"),
        pytest.param("if x:\n    a = 1\nelif y:\n    b = 1\nelse:\n    c = 1", set("abc"), id="if"),
        pytest.param("if x:\n    def f():\n        a = 1", {"f"}, id="function in a block"),
        pytest.param("for i, j in x:\n    a = 1\nelse:\n    b = 1", set("ijab"), id="for"),
        pytest.param("while x:\n    a = 1\nelse:\n    b = 1", set("ab"), id="while"),
        pytest.param("with x as a, y as (b, c):\n    d = 1", set("abcd"), id="with"),
        pytest.param(
            "try:\n    import a\nexcept ImportError as e:\n    a = b = None\nelse:\n    c = 1\nfinally:\n    d = 1",
            set("abcd"),
            id="try, but for the exception, which is unbound after its block",
        ),
        pytest.param("def f():\n    global app\n    app = 1\nf()", {"f", "app"}, id="global"),
        pytest.param("if x:\n    if y:\n        a = 1", {"a"}, id="nested blocks"),
    ],
)
def test_defined_names_are_those_bound_at_module_level(source: str, expected: set[str]) -> None:
    """Every statement that binds a name in the module counts; names of inner scopes do not."""
    assert defined_names(source) == expected


@needs("newer-python")  # Python 3.9 has no `match`
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("1", {"body"}, id="value"),
        pytest.param("app", {"app", "body"}, id="capture"),
        pytest.param("int() as app", {"app", "body"}, id="as"),
        pytest.param("[a, *rest]", {"a", "rest", "body"}, id="sequence"),
        pytest.param("{'k': v, **rest}", {"v", "rest", "body"}, id="mapping"),
        pytest.param("Point(x=a) | Line(a)", {"a", "body"}, id="class"),
        pytest.param("_", {"body"}, id="wildcard"),
    ],
)
def test_defined_names_of_match(pattern: str, expected: set[str]) -> None:
    """A `match` binds the names that its patterns capture and that its blocks bind."""
    assert defined_names(f"match x:\n    case {pattern}:\n        body = 1") == expected


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("from services.echo import *", id="star import"),
        pytest.param("try:\n    from a import *\nexcept ImportError:\n    pass", id="in a block"),
        pytest.param("def __getattr__(name):\n    return 1", id="module __getattr__"),
        pytest.param("from lazy import __getattr__", id="imported __getattr__"),
        pytest.param("globals()['app'] = 1", id="globals"),
        pytest.param("def f():\n    globals().update(app=1)", id="globals in a function"),
    ],
)
def test_defined_names_are_unknown_where_any_name_can_be_bound(source: str) -> None:
    """If a source can bind any name, its names are unknown."""
    assert defined_names(source) is None


def test_defined_names_ignore_a_getattr_of_a_class() -> None:
    """The `__getattr__` of a class does not make the module's names unknown."""
    source = "class App:\n    def __getattr__(self, name):\n        return 1"
    assert defined_names(source) == {"App"}


def test_defined_names_of_a_long_expression() -> None:
    """A long expression, and so a deep one, does not hide the module's names."""
    assert defined_names("app = " + " + ".join(["1"] * 3000)) == {"app"}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(b"\xef\xbb\xbfapp = 1", id="byte order mark"),
        pytest.param(b"# coding: latin-1\napp = '\xe9'", id="declared encoding"),
    ],
)
def test_defined_names_of_bytes(source: bytes) -> None:
    """Bytes are decoded in the same way as by Python."""
    assert defined_names(source) == {"app"}


def test_defined_names_of_an_invalid_source() -> None:
    """An invalid source raises SyntaxError."""
    with pytest.raises(SyntaxError):
        defined_names("def")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("class Greeter: ...", 1),
        ("from ray import serve\n@serve.deployment\nclass Greeter: ...", 3),
        ("from ray import serve\n@serve.deployment(num_replicas=2)\nclass Greeter: ...", 3),
        ("import ray.serve\n@ray.serve.deployment\ndef Greeter(): ...", 3),
        ("from ray.serve import deployment\n@deployment\nclass Greeter: ...", 3),
        ("from ray import serve\n@serve.deployment\n@serve.ingress(api)\nclass Greeter: ...", 4),
        ("Greeter = Deployment.bind()", None),
        ("def Greeter(args): ...", None),
        ("from greet import Greeter", None),
        ("@bound\nclass Greeter: ...", None),
        ("class Greeter: ...\nGreeter = serve.deployment(Greeter).bind()", None),
        ("class Greeter: ...\nif x:\n    Greeter = Greeter.bind()", None),
        ("class Greeter: ...\ndef f():\n    global Greeter\n    Greeter = 1", None),
        ("class Greeter: ...\nfrom greet import *", None),
        ("if x:\n    class Greeter: ...", None),
    ],
)
def test_class_or_deployment_is_not_bound(source: str, line: Optional[int]) -> None:
    """Only a class or a deployment is unbound: a function may be a builder, and a name bound again an application."""
    assert unbound_definition(source, "Greeter") == line


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("driver.py", "driver"),
        ("jobs/train.py", "jobs.train"),
        ("jobs/__init__.py", "jobs"),
        ("jobs/__main__.py", "jobs.__main__"),
        ("__init__.py", None),
        ("jobs/my-tool.py", None),
        ("jobs/a.b.py", None),
        ("my.jobs/__init__.py", None),
        ("class/x.py", None),
        ("jobs/words.txt", None),
    ],
)
def test_module_of_a_file(path: str, module: Optional[str]) -> None:
    """A file below a source root has the module name of its import, if it can be imported."""
    assert importable_module(path) == module


def test_names_of_a_deep_module_are_found_or_not_known() -> None:
    """For a module that this Python cannot parse, the names are unknown rather than missing."""
    source = f"app = {' + '.join(['a'] * 3000)}\n{'x = ' + '-' * 30_000 + '1'}\n"
    assert defined_names(source) is None
    assert unbound_definition(source, "app") is None
    assert defined_names(f"app = {' + '.join(['a'] * 2000)}\n") == {"app"}
