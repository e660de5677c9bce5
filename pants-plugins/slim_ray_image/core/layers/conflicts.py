"""Stage 4 of 6: check that no distribution's file clashes with another's, or hides a program of the base image.

In: the distributions of the image and the base's programs. Out: nothing, or an error. There are two kinds of conflict:
- Two distributions have different content at one path, so that the order of layers would choose the content.
- A command of a distribution hides a program of the base.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Mapping, Sequence

from slim_ray_image.core.errors import SlimRayImageError, count_of
from slim_ray_image.core.image_paths import SCRIPTS
from slim_ray_image.core.layers.exclude_files import matching_pattern
from slim_ray_image.core.wheels.distributions import Distribution

# Commands that the virtual environment itself provides.
_INTERPRETER = re.compile(r"python(\d+(\.\d+)?)?")


def _named(distribution: Distribution) -> str:
    return f"{distribution.name} {distribution.version}"


def check_contents(
    image: str, distributions: Sequence[Distribution], exclude_files: Sequence[str] = ()
) -> None:
    """Check that no two distributions have files with different content at the same path of the image.

    Args:
        exclude_files: Absolute patterns of paths that are left out of the image.

    Raises:
        SlimRayImageError: With each such path and the distributions that have it.
    """
    contents: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for distribution in distributions:
        for path, content in distribution.shared_files:
            if matching_pattern(path, exclude_files):
                continue
            contents[path][content].append(_named(distribution))
    clashes = [
        f"{path}: from {', '.join(sorted(name for names in by.values() for name in names))}"
        for path, by in sorted(contents.items())
        if len(by) > 1
    ]
    if clashes:
        raise SlimRayImageError(
            f"{count_of(len(clashes), 'file')} of the image {image} would be written twice, with different content.",
            evidence=clashes,
            fixes=[
                "remove the import that needs one of the distributions",
                "require a version of one of them that does not have the path, then refresh the lockfile",
                "list the paths in `exclude_files`, if nothing needs them at run time",
            ],
        )


def check_scripts(
    image: str, base: str, distributions: Sequence[Distribution], programs: Mapping[str, str]
) -> None:
    """Check that no distribution's command, which PATH finds first, hides a program of the base image or `python`.

    Args:
        base: The base's reference.
        programs: Command -> its path in the base, for programs outside the directory of the base's interpreter.
            Programs in that directory, such as `pip`, may be replaced.

    Raises:
        SlimRayImageError: With each such command.
    """
    hidden = []
    for distribution in distributions:
        for script in distribution.scripts:
            if _INTERPRETER.fullmatch(script):
                what = f"{SCRIPTS}/{script}, the image's interpreter"
            elif script in programs:
                what = f"{programs[script]} of {base}"
            else:
                continue
            hidden.append(f"`{script}` of {_named(distribution)} hides {what}")
    if hidden:
        raise SlimRayImageError(
            f"{count_of(len(hidden), 'command')} from distributions of the image {image} would hide "
            f"{'another program' if len(hidden) == 1 else 'other programs'} of the same name.",
            evidence=sorted(hidden),
            fixes=[
                "remove the import that needs the distribution",
                "require a version that does not have the command, then refresh the lockfile",
                "use a base image that does not have the program",
            ],
        )
