"""Stage 4 of 6: what distributions must not do to each other or to the base, in one layer or across layers.

In: the distributions of the packed PEX and the base's programs. Out: nothing, or an error. Two kinds: a path of two
distributions whose content differs, so that the order of layers would decide; a command that hides one of the base's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Mapping, Sequence

from slim_ray_image.core.errors import SlimRayImageError, count_of
from slim_ray_image.core.image_paths import SCRIPTS
from slim_ray_image.core.layers.exclude_files import matching_pattern
from slim_ray_image.core.wheels.distributions import Distribution

# Of the virtual environment itself.
_INTERPRETER = re.compile(r"python(\d+(\.\d+)?)?")


def _named(distribution: Distribution) -> str:
    return f"{distribution.name} {distribution.version}"


def check_paths(
    image: str, distributions: Sequence[Distribution], exclude_files: Sequence[str] = ()
) -> None:
    """Raise if two distributions have one path with different content.

    Args:
        exclude_files: Absolute patterns of paths that do not go into the image.

    Raises:
        SlimRayImageError: With each such path and who has it.
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
                "require a version of one that does not have the path, then refresh the lockfile",
                "list the paths in `exclude_files`, if nothing needs them at run time",
            ],
        )


def check_scripts(
    image: str, base: str, distributions: Sequence[Distribution], programs: Mapping[str, str]
) -> None:
    """Raise if a command of a distribution, which PATH finds first, hides one of the base or the interpreter.

    Args:
        base: The base's reference.
        programs: Command -> its path in the base, for those that are not beside the base's interpreter. Those that are,
            as `pip`, are there to be replaced.

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
            f"{count_of(len(hidden), 'command')} that the image {image} would get from its distributions "
            f"{'hides' if len(hidden) == 1 else 'hide'} another.",
            evidence=sorted(hidden),
            fixes=[
                "remove the import that needs the distribution",
                "require a version that does not have the command, then refresh the lockfile",
                "use a base image that does not have the program",
            ],
        )
