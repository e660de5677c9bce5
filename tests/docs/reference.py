"""Generate docs/reference.md, with every field of the targets and every option, from their help texts and defaults."""

from __future__ import annotations

from typing import Any, Iterator, Type

from pants.engine.target import Field
from pants.help.help_info_extracter import TargetFieldHelpInfo
from pants.option.option_types import OptionsInfo, collect_options_info

from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SlimRayImagesTarget, SlimRayImageTarget

_INTRODUCTION = """\
# Reference

The output of `pants help slim_ray_image slim_ray_images` and `pants help-advanced slim-ray`, on one page. This page is
generated from the same help texts; CONTRIBUTING.md describes how."""


def _text(help_text: Any) -> str:
    """Return a help text with `pants` as the command: Pants' own texts contain the name that this machine uses."""
    return (
        str(help_text() if callable(help_text) else help_text).strip().replace("./pants", "pants")
    )


def _entry(name: str, type_name: str, default: Any, help_text: Any) -> str:
    value = list(default) if isinstance(default, tuple) else default
    facts = f"`{type_name}`" if default is None else f"`{type_name}`, default `{value!r}`"
    return f"### `{name}`\n\n{facts}\n\n{_text(help_text)}"


def _field(field: Type[Field]) -> str:
    """Return the entry of a field, with its type as BUILD files write it: for example, a list for an iterable."""
    type_name = TargetFieldHelpInfo.create(field, provider="").type_hint
    for theirs, ours in (
        (" | None", ""),
        ("Iterable[", "list["),
        ("Dict[", "dict["),
        ("Union[str, slim_ray_image.core.check.smoke_test.SmokeRequest]", "str | smoke_request"),
    ):
        type_name = type_name.replace(theirs, ours)
    return _entry(field.alias, type_name, field.default, field.help)


def _is_ours(field: Type[Field]) -> bool:
    return field.__module__.startswith("slim_ray_image.")


def _type_of(option: OptionsInfo) -> str:
    """Return the type of an option's value; for a list, with the type of its members."""
    kind = option.flag_options.get("type", str)
    member = option.flag_options.get("member_type")
    return f"{kind.__name__}[{member.__name__}]" if kind is list and member else kind.__name__


def _option(option: OptionsInfo) -> str:
    name = option.flag_names[0].lstrip("-").replace("-", "_")
    scope = SlimRayImageSubsystem.options_scope
    return _entry(
        f"[{scope}].{name}",
        _type_of(option),
        option.flag_options["default"],
        option.flag_options["help"],
    )


def _sections() -> Iterator[str]:
    fields = SlimRayImageTarget.core_fields
    yield _INTRODUCTION
    yield f"## The target `{SlimRayImageTarget.alias}`\n\n{_text(SlimRayImageTarget.help)}"
    yield from (_field(field) for field in fields if _is_ours(field))
    yield "## Its fields that other targets of Pants have too"
    yield from (_field(field) for field in fields if not _is_ours(field))
    yield f"## The target generator `{SlimRayImagesTarget.alias}`\n\n{_text(SlimRayImagesTarget.help)}"
    yield "It takes the fields of `slim_ray_image` but `serve_app`, `serve_application` and `entry_point`, and:"
    yield from (_field(field) for field in SlimRayImagesTarget.core_fields if _is_ours(field))
    yield f"## Options of `[{SlimRayImageSubsystem.options_scope}]`"
    yield from map(_option, collect_options_info(SlimRayImageSubsystem))


def reference() -> str:
    """Return the text of docs/reference.md."""
    return "\n\n".join(_sections())
