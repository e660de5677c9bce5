"""Import a plugin against the Python sources of a Pants without its engine, and print its target types and rules.

Usage: python check_plugin.py PANTS_SOURCE PLUGIN_SOURCE PACKAGE

Pants' engine is one extension module, and the sources have its interface as a stub file. This program makes a module
from the stub file, which is enough to import Pants and so to run the checks of `@rule`: every name can be imported,
every parameter and result is a class, and every call by name has a form that the engine can follow.
It does not solve the rule graph and runs no rule.

Out, as JSON: the types of the package's targets, and for each rule its types, the rules that it awaits and the problem
of each call.
Needs Pants' own requirements, and the Python of this Pants or a slightly older one.
"""

from __future__ import annotations

import ast
import enum
import importlib
import json
import sys
import types
import typing
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional

ENGINE = "pants.engine.internals.native_engine"


class FrozenDict(dict):
    """The engine's FrozenDict, with the methods that an import needs."""

    def __class_getitem__(cls, _: Any) -> Any:
        return cls

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    @classmethod
    def deep_freeze(cls, value: Mapping[Any, Any]) -> FrozenDict:
        return cls(value)

    frozen = deep_freeze


class FrozenOrderedSet(tuple):
    """The engine's FrozenOrderedSet, with the methods that an import needs."""

    def __new__(cls, values: Any = ()) -> FrozenOrderedSet:
        return super().__new__(cls, dict.fromkeys(values or ()))

    def __class_getitem__(cls, _: Any) -> Any:
        return cls


class LockedMap(dict):
    """The engine's map for memoization, without a lock."""

    def __class_getitem__(cls, _: Any) -> Any:
        return cls

    def get_or_insert(self, key: Any, compute: Callable[[], Any]) -> Any:
        if key not in self:
            self[key] = compute()
        return self[key]


class RuleCallTrampoline:
    """The result of `@rule`: a wrapper that knows its rule and stands for the decorated function."""

    def __init__(self, rule_id: str, output_type: type, wrapped: Callable, rule: Any) -> None:
        self.rule_id = rule_id
        self.output_type = output_type
        self.__wrapped__ = wrapped
        self.rule = rule

    def __class_getitem__(cls, _: Any) -> Any:
        return cls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("no rule is run here")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["__wrapped__"], name)


# Names that the stub file only declares, but that Pants uses while it is imported.
OWN: Mapping[str, Any] = {
    "FrozenDict": FrozenDict,
    "FrozenOrderedSet": FrozenOrderedSet,
    "LockedMap": LockedMap,
    "RuleCallTrampoline": RuleCallTrampoline,
    "py_bin_name": lambda: "pants",
    "default_cache_path": lambda: "",
}


def _accept_anything(self: Any, *args: Any, **kwargs: Any) -> None:
    self.__dict__["arguments"] = (args, kwargs)


def _make_method(node: Any) -> Any:
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if "property" in decorators:
        return property(lambda self: None)
    if "staticmethod" in decorators:
        return staticmethod(lambda *args, **kwargs: None)
    if "classmethod" in decorators:
        return classmethod(lambda cls, *args, **kwargs: None)
    return lambda self, *args, **kwargs: None


def _make_class(node: ast.ClassDef, known: Mapping[str, Any]) -> type:
    """Return a class with the methods of a declared class; the methods do nothing."""
    names = [ast.unparse(base).partition("[")[0] for base in node.bases]
    if "Enum" in names:
        return enum.Enum(  # type: ignore[return-value]
            node.name,
            [ast.unparse(n.targets[0]) for n in node.body if isinstance(n, ast.Assign)],
            module=ENGINE,
        )
    bases = [known[name] for name in names if isinstance(known.get(name), type)]
    if any(name.endswith(("Error", "Exception")) and name not in known for name in names):
        bases.append(Exception)
    members: dict[str, Any] = {
        "__module__": ENGINE,
        "__init__": _accept_anything,
        "__class_getitem__": classmethod(lambda cls, _: cls),
    }
    for member in node.body:
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            members[member.target.id] = None
        if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
            is_special = member.name.startswith("__")
            if not is_special or member.name in ("__iter__", "__call__", "__await__"):
                members[member.name] = _make_method(member)
    return type(node.name, tuple(bases), members)


def make_engine(stub: str) -> types.ModuleType:
    """Return a module with every name that the stub file declares."""
    module = types.ModuleType(ENGINE)
    names = module.__dict__
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = OWN.get(node.name) or _make_class(node, names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names[node.name] = OWN.get(node.name) or (lambda *args, **kwargs: None)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            declared = names.get(ast.unparse(node.annotation))
            names[node.target.id] = declared() if isinstance(declared, type) else frozenset()
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = Any
    return module


def _shim_annotationlib() -> None:
    """Add the module `annotationlib`, from which Pants imports three names, to a Python before 3.14."""
    if sys.version_info < (3, 14):
        module: Any = types.ModuleType("annotationlib")
        formats = enum.Enum("Format", ["VALUE", "FORWARDREF", "STRING"])  # type: ignore[misc]
        module.Format = formats
        module.ForwardRef = typing.ForwardRef
        module.call_annotate_function = lambda function, format: {}
        sys.modules["annotationlib"] = module


def _name(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _find_rule(rule_id: str) -> Optional[Any]:
    """Return the rule called `rule_id`, if its module has it; the rule's name can differ from its function's."""
    module = importlib.import_module(rule_id.rpartition(".")[0])
    for value in vars(module).values():
        rule = getattr(value, "rule", None)
        if getattr(rule, "canonical_name", None) == rule_id:
            return rule
    return None


def _loaded_rules() -> Iterator[Any]:
    """Yield every rule of all modules that have been imported."""
    for module in list(sys.modules.values()):
        for value in list(vars(module).values()):
            if isinstance(value, RuleCallTrampoline):
                yield value.rule


def _problem_of(awaitable: Any, awaited: Optional[Any]) -> Optional[str]:
    """Return the problem of a call by name, if one is visible without the rule graph."""
    if awaited is None:
        return "there is no such rule"
    parameters = list(awaited.parameters.values())
    if awaitable.explicit_args_arity > len(parameters):
        return f"it has {len(parameters)} parameters"
    for given in awaitable.input_types:
        makes_one = any(
            rule.output_type in parameters and given in rule.parameters.values()
            for rule in _loaded_rules()
        )
        if given not in parameters and not makes_one:
            return f"nothing makes a parameter of it from {_name(given)}"
    return None


def _describe_awaits(rule: Any) -> Iterator[dict[str, Any]]:
    for awaitable in rule.awaitables:
        awaited = _find_rule(awaitable.rule_id)
        yield {
            "rule": awaitable.rule_id,
            "output": _name(awaitable.output_type),
            "problem": _problem_of(awaitable, awaited),
        }


def describe_plugin(package: str) -> dict[str, Any]:
    """Load the backend as Pants does, and return its target types and rules."""
    register = importlib.import_module(f"{package}.register")
    rules = {}
    for entry in register.rules():
        rule = getattr(entry, "rule", entry)
        if getattr(rule, "canonical_name", "").startswith(f"{package}."):
            rules[rule.canonical_name] = {
                "output": _name(rule.output_type),
                "parameters": [_name(parameter) for parameter in rule.parameters.values()],
                "cacheable": rule.cacheable,
                "awaits": list(_describe_awaits(rule)),
            }
    return {"target_types": [target.alias for target in register.target_types()], "rules": rules}


def main(pants_source: str, plugin_source: str, package: str) -> None:
    """Print the description of the plugin as JSON."""
    sys.path[:0] = [pants_source, plugin_source]
    stub = Path(pants_source, *ENGINE.split(".")).with_suffix(".pyi").read_text()
    sys.modules[ENGINE] = make_engine(stub)
    _shim_annotationlib()
    json.dump(describe_plugin(package), sys.stdout, sort_keys=True, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
