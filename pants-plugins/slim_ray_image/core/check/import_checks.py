"""`pants check`: the Python imports that must work in an image, and the problems that failed imports show.

In: the contents of an image, and the outcome of each import. Out: problems, which fail the check. An import that fails
because of the image's content is a problem. An import that asks for something outside the image, such as an environment
variable or a database, proves nothing either way.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Collection, Iterable, Mapping, Optional, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.core.check.import_outcomes import ImportJob, ImportOutcome
from slim_ray_image.core.check.layer_contents import ImageContents, LayerDistribution
from slim_ray_image.core.closure.ray_extras import RAY
from slim_ray_image.core.errors import Problem
from slim_ray_image.core.image_paths import SCRIPTS
from slim_ray_image.core.python.module_names import importable_module
from slim_ray_image.core.serve.served_application import ServedApplication


@dataclass(frozen=True)
class Import:
    """A Python import that must work in an image: of a first-party module, an application or a console script.

    Attributes:
        what: Description for people, such as "the module app.main".
        attribute: Name that the module must define.
        script: First-party file, relative to the working directory, for a module that the image runs as a program.
        distribution: For a console script, the distribution that has the script.
        is_by_path: Whether the image runs the script by its path, so that the script is no part of a package.
    """

    what: str
    module: str
    attribute: Optional[str] = None
    script: Optional[str] = None
    distribution: Optional[LayerDistribution] = None
    is_by_path: bool = False

    @property
    def job(self) -> ImportJob:
        return ImportJob(self.module, self.attribute, self.script, self.is_by_path)


@dataclass(frozen=True)
class Failure:
    """A Python import that failed when it was tried on the files of an image, with the error."""

    of: Import
    outcome: ImportOutcome

    @property
    def missing(self) -> Optional[str]:
        """Name of the missing module that made the import fail; None if the import failed for another reason."""
        return self.outcome.missing[-1] if self.outcome.missing else None

    @property
    def reason(self) -> str:
        outcome = self.outcome
        return f"{outcome.error}: {outcome.text}" if outcome.error else outcome.text


# --- Imports to do


def first_party_imports(
    paths: Iterable[str], entry: Optional[str], is_by_path: bool = False
) -> tuple[Import, ...]:
    """Return one import to check for each Python module among first-party files, sorted by module name.

    A file whose path is no module name is left out, and so is each `__main__` except the entry.

    Args:
        paths: Paths of first-party files, relative to the working directory.
        entry: The one of `paths` that the image runs as a script.
        is_by_path: Whether the image runs the entry by its path.
    """
    found = {}
    for path in paths:
        module = importable_module(path)
        if module and (module.split(".")[-1] != "__main__" or path == entry):
            is_entry = path == entry
            found[module] = Import(
                f"the module {module}",
                module,
                script=path if is_entry else None,
                is_by_path=is_entry and is_by_path,
            )
    return tuple(found[module] for module in sorted(found))


def application_imports(applications: Iterable[ServedApplication]) -> tuple[Import, ...]:
    """Return one import to check for each Ray Serve application. An application builder is imported, but not called."""
    found = []
    for application in applications:
        path = application.import_path
        module, _, attribute = path.rpartition(":" if ":" in path else ".")
        what = f"the application {application.name!r} ({path})"
        found.append(Import(what, module, attribute))
    return tuple(found)


def script_imports(contents: ImageContents) -> tuple[Import, ...]:
    """Return one import to check for each console script in the image: of the function that the script calls."""
    found = []
    for distribution in contents.distributions:
        for command, target in distribution.scripts:
            if contents.has_command(f"{SCRIPTS}/{command}"):
                module, _, attribute = target.partition(":")
                what = f"the console script `{command}` of {distribution} ({target})"
                found.append(Import(what, module, attribute, distribution=distribution))
    return tuple(found)


def left_out_modules(
    missing: Iterable[str], contents: ImageContents, site_packages: str
) -> frozenset[str]:
    """Return the missing submodules whose top-level package the image has; a namespace package does not count."""
    return frozenset(
        module
        for module in missing
        if "." in module
        and contents.files.find(f"{site_packages}/{module.split('.')[0]}/__init__.py")
    )


# --- Imports that failed


def _requirements(distribution: LayerDistribution) -> Iterable[Requirement]:
    for line in distribution.requires:
        try:
            yield Requirement(line)
        except InvalidRequirement:  # old distributions have such lines; installers tolerate them
            continue


def extras_that_bring(distribution: LayerDistribution, module: str) -> tuple[str, ...]:
    """Return a distribution's extras that require a module, by METADATA; none if it always requires the module."""
    wanted = canonicalize_name(module.split(".")[0])
    extras: set[str] = set()
    for requirement in _requirements(distribution):
        if canonicalize_name(requirement.name) == wanted:
            found = re.findall(r"""extra *== *["']([^"']+)""", str(requirement.marker or ""))
            if not found:
                return ()
            extras.update(found)
    return tuple(sorted(extras))


def _extra_in_text(distribution: LayerDistribution, text: str) -> tuple[str, ...]:
    """Return the extras of a distribution that an error's text names, such as "tune" in `pip install "ray[tune]"`."""
    named = re.findall(rf"\b{re.escape(distribution.name)}\[([\w.,-]+)\]", text.lower())
    own = {
        extra
        for requirement in _requirements(distribution)
        for extra in re.findall(r"""extra *== *["']([^"']+)""", str(requirement.marker or ""))
    }
    return tuple(sorted(own & {extra for names in named for extra in names.split(",")}))


def _optional_extras(failure: Failure) -> tuple[str, ...]:
    """Return the extras whose lack made a console script's import fail, by METADATA or else by the error's text."""
    distribution = failure.of.distribution
    if distribution is None or not failure.missing:
        return ()
    return extras_that_bring(distribution, failure.missing) or _extra_in_text(
        distribution, failure.outcome.text
    )


def _is_pruned(failure: Failure, pruned: Collection[str]) -> bool:
    """Return whether a rule of `prune` removed the module that a console script starts."""
    distribution, missing = failure.of.distribution, failure.missing
    if distribution is None or missing is None or distribution.name not in pruned:
        return False
    return f"{failure.of.module}.".startswith(f"{missing}.")


def _unproven(failure: Failure) -> Optional[str]:
    """Return one line that says why a failed import proves nothing about the image; None if the image is at fault."""
    if failure.missing:
        return None
    if failure.outcome.wanted:
        return f"{failure.of.what} could not be checked: its import needs {failure.outcome.wanted}"
    if not failure.outcome.is_of_content:
        reason = failure.reason.splitlines()[0]
        return f"{failure.of.what} could not be checked: its import raises {reason}"
    return None


@dataclass(frozen=True)
class Verdict:
    """Failed imports in three groups: the image's faults, imports that prove nothing, scripts that need not work.

    Attributes:
        faults: Failures that the image is at fault for.
        unproven: One line for each failure that proves nothing, with the reason.
        left_out: Console scripts that are not expected to work: pip installs a script even if it needs an extra that
            nothing requires, and a prune rule may have removed the module that a script starts.
    """

    faults: tuple[Failure, ...]
    unproven: tuple[str, ...]
    left_out: tuple[Failure, ...]


def judge(failures: Sequence[Failure], pruned: Collection[str] = ()) -> Verdict:
    """Sort failed imports into three groups: the image's faults, those that prove nothing, scripts that need not work.

    Args:
        pruned: Names of the distributions that prune rules removed something from.
    """
    left_out = tuple(
        failure for failure in failures if _optional_extras(failure) or _is_pruned(failure, pruned)
    )
    others = [failure for failure in failures if failure not in left_out]
    return Verdict(
        tuple(failure for failure in others if _unproven(failure) is None),
        tuple(note for note in map(_unproven, others) if note),
        left_out,
    )


def _statement(failure: Failure, sources: Mapping[str, str]) -> str:
    """Return file, line and source of the statement that failed; a first-party file has its path in the monorepo."""
    frames = failure.outcome.frames
    if not frames:
        return failure.of.what
    frame = frames[0]
    place = f"{sources.get(frame.path, frame.path)}:{frame.line}"
    return f"{place}: {frame.text}" if frame.text else place


def _evidence(failures: Sequence[Failure], sources: Mapping[str, str]) -> tuple[str, ...]:
    """Return each statement that failed once, as file, line and source, with the checked imports that reached it."""
    by_statement: dict[str, list[str]] = defaultdict(list)
    for failure in failures:
        by_statement[_statement(failure, sources)].append(failure.of.what)
    return tuple(
        statement if whats == [statement] else f"{statement} (reached by {_few(whats)})"
        for statement, whats in sorted(by_statement.items())
    )


def _few(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _owner_fixes(
    image: str, module: str, owners: Sequence[str], own: Collection[str]
) -> tuple[str, ...]:
    """Return the fixes for a module that the image lacks, by the number of targets that have the module.

    Args:
        owners: Addresses of the targets that have the module.
        own: Names of the top-level first-party modules.
    """
    if len(owners) > 1:
        named = " or ".join(map(repr, owners))
        return (
            f"add {named} to `dependencies` of {image}: Pants infers no dependency on a module of several targets",
        )
    if owners:
        (owner,) = owners
        return (
            f"add {owner!r} to `dependencies` of {image}, or, if it is excluded there, remove the exclusion, which "
            "starts with `!`",
        )
    if module.split(".")[0] in own:
        return (
            f"correct the import: the repository has no module {module}",
            "run `pants tailor ::` to create a target for the file",
        )
    return (
        f"add a requirement that provides the module {module}, and refresh the lockfile; if no code in the repository "
        f"imports it, also add the requirement to `dependencies` of {image}",
    )


def _missing_problem(
    image: str,
    module: str,
    failures: Sequence[Failure],
    sources: Mapping[str, str],
    owner_fixes: Sequence[str],
    distributions: Sequence[LayerDistribution],
    is_left_out: bool,
) -> Problem:
    if is_left_out:
        return Problem(
            f"The image {image} lacks the module {module}, although its package is installed.",
            _evidence(failures, sources),
            (
                "remove the entry of `exclude_files` or `prune` that leaves the module out",
                "lock a version of the distribution that has the module",
            ),
        )
    extras = [
        f"{distribution.name}[{extra}]"
        for distribution in distributions
        if distribution.name != RAY  # the plugin adds the extras of Ray that the code needs
        for extra in extras_that_bring(distribution, module)
    ]
    require = [f"require {' or '.join(extras)}, whose extra provides the module"] if extras else []
    return Problem(
        f"The image {image} lacks the module {module}, which an import in the image needs.",
        _evidence(failures, sources),
        (*owner_fixes, *require, "remove the import"),
    )


def _other_problem(image: str, failures: Sequence[Failure], sources: Mapping[str, str]) -> Problem:
    return Problem(
        f"An import fails in the image {image}: {failures[0].reason}.",
        _evidence(failures, sources),
        (
            "correct the code, or the choice of files for the image",
            "set `skip_check=True` on the image",
        ),
    )


def import_problems(
    image: str,
    failures: Iterable[Failure],
    *,
    workdir: str,
    sources: Mapping[str, str],
    owners: Mapping[str, Sequence[str]],
    distributions: Sequence[LayerDistribution],
    left_out: Collection[str],
) -> tuple[Problem, ...]:
    """Return one problem for each module that imports did not find, and one for each other reason of failed imports.

    Args:
        failures: Failures that the image is at fault for.
        workdir: The image's working directory, where first-party files are.
        sources: For each first-party file, path relative to `workdir` -> path in the repository.
        owners: Missing module -> addresses of the targets in the resolve that have the module.
        left_out: Missing modules whose outermost package is in the image.
    """
    in_image = {f"{workdir}/{path}": source for path, source in sources.items()}
    own = {path.split("/")[0].partition(".")[0] for path in sources}
    missing: dict[str, list[Failure]] = defaultdict(list)
    others: dict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        if failure.missing:
            missing[failure.missing].append(failure)
        else:
            others[failure.reason].append(failure)
    return (
        *(
            _missing_problem(
                image,
                module,
                found,
                in_image,
                _owner_fixes(image, module, owners.get(module, ()), own),
                distributions,
                module in left_out,
            )
            for module, found in sorted(missing.items())
        ),
        *(_other_problem(image, found, in_image) for _, found in sorted(others.items())),
    )


def outside_problems(image: str, outside: Sequence[str]) -> tuple[Problem, ...]:
    """Return one problem if the checked imports loaded shared libraries from outside the image; else none."""
    if not outside:
        return ()
    return (
        Problem(
            f"The imports of {image} loaded shared libraries of this machine, which the image lacks.",
            tuple(sorted(outside)),
            (
                "name a base image in `base_image` that has them",
                "lock versions of the distributions whose wheels bundle them",
            ),
        ),
    )
