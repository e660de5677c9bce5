"""Stage 4 of 6: what of the distributions does not go into the image, by rules with names.

In: the field `prune`, what the code uses, the names of the distributions. Out: the rules that are
on, and the parts that are needed.
Two kinds of rules. A *fixed* one has one answer for every service; it is applied inside the layer of each distribution.
The answer of the other kind depends on the service, and must not make variants of a layer that services share: what it
is about is a *part* of its distribution, with a layer of its own, which is there or not.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Collection, Iterable, Mapping

from packaging.utils import canonicalize_name

from slim_ray_image.core.errors import InvalidValueError, SlimRayImageError
from slim_ray_image.core.layers.distributions_layer import Saved
from slim_ray_image.core.layers.prune_rules import PARTS, RULES, RULES_BY_NAME, Part, is_below

DEFAULT = "default"
ALL = "all"
_DISTRIBUTION = "distribution:"


@dataclass(frozen=True)
class Pruning:
    """What a target prunes.

    Attributes:
        rules: Names of rules, sorted.
        distributions: Canonical names of those that are left out as a whole, sorted.
    """

    rules: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pruned:
    """What is not in an image because of a rule; a row of image.json."""

    rule: str
    distribution: str
    saved: Saved


def _rules_of(word: str) -> frozenset[str]:
    if word == ALL:
        return frozenset(RULES_BY_NAME)
    if word == DEFAULT:
        return frozenset(rule.name for rule in RULES if rule.is_default)
    return frozenset({word}) & RULES_BY_NAME.keys()


def _unknown(word: str) -> str:
    known = [*RULES_BY_NAME, ALL, DEFAULT]
    close = difflib.get_close_matches(word.lstrip("!"), known, n=1)
    return f"{word!r}{f', which may be {close[0]!r}' if close else ''}"


def parse_pruning(words: Iterable[str]) -> Pruning:
    """Return what the words of a field `prune` say: those with `!` take away from the others, in whatever order.

    Raises:
        InvalidValueError: If a word is not known, or if words only take away.
    """
    words = tuple(words)
    distributions = {word[len(_DISTRIBUTION) :] for word in words if word.startswith(_DISTRIBUTION)}
    rest = [word for word in words if not word.startswith(_DISTRIBUTION)]
    wanted = [word for word in rest if not word.startswith("!")]
    unwanted = [word[1:] for word in rest if word.startswith("!")]
    unknown = sorted(_unknown(word) for word in rest if not _rules_of(word.lstrip("!")))
    unknown += [repr(_DISTRIBUTION) for name in distributions if not name]
    if unknown:
        raise InvalidValueError(
            f"must hold {ALL!r}, {DEFAULT!r}, names of rules, '!' and a name, or '{_DISTRIBUTION}' and the name of a "
            f"distribution, but has {', '.join(unknown)}.",
            evidence=[f"the rules are {', '.join(sorted(RULES_BY_NAME))}"],
            fixes=["correct the names, as ['default', 'dashboard-ui'], or use [] to prune nothing"],
        )
    if unwanted and not wanted:
        raise InvalidValueError(
            f"only takes rules away, by {', '.join(repr(f'!{word}') for word in unwanted)}, from none.",
            fixes=[f"add {DEFAULT!r} to it", "use [] to prune nothing"],
        )
    rules = frozenset[str]().union(*map(_rules_of, wanted)) - frozenset().union(
        *map(_rules_of, unwanted)
    )
    return Pruning(
        tuple(sorted(rules)), tuple(sorted(canonicalize_name(name) for name in distributions))
    )


def rule_of_distribution(name: str) -> str:
    """Return how the field `prune` spells that a distribution is left out."""
    return f"{_DISTRIBUTION}{name}"


def fixed_rules(rules: Iterable[str], distributions: Collection[str]) -> tuple[str, ...]:
    """Return those of `rules` that the layer of `distributions` is asked to apply; sorted.

    A rule that says nothing of them is not among these, so that it is not in the cache key of their layer.
    """
    by_parts = {part.rule for part in PARTS}
    return tuple(
        name
        for name in sorted(rules)
        if name not in by_parts and RULES_BY_NAME[name].distribution in (None, *distributions)
    )


def _who_leaves(name: str, names: Iterable[str], requires: Mapping[str, Collection[str]]) -> str:
    """Return the first of `names` that a distribution is required by, through others too."""
    for first in sorted(names):
        pending, seen = [first], set()
        while pending:
            current = pending.pop()
            if current == name:
                return first
            if current not in seen:
                seen.add(current)
                pending += requires.get(current, ())
    raise AssertionError(name)


def left_out_with(
    names: Collection[str],
    required_by: Mapping[str, Collection[str]],
    required_by_after: Mapping[str, Collection[str]],
) -> dict[str, str]:
    """Return distribution -> that of `names` for which it goes too, since nothing else requires it; those included.

    Args:
        names: Of distributions that are left out as a whole.
        required_by: Name -> names of what requires it, and reasons of first-party code.
        required_by_after: The same of the image without `names`.
    """
    requires: dict[str, set[str]] = {}
    for name, by in required_by.items():
        for requirer in by:
            requires.setdefault(requirer, set()).add(name)
    gone = {n for n, by in required_by_after.items() if required_by[n] and not by}
    return {name: _who_leaves(name, names, requires) for name in {*names, *gone}}


def _is_used(part: Part, uses: Collection[str], distributions: Collection[str]) -> bool:
    if part.replaced_by:
        return part.replaced_by not in distributions
    below = tuple(module.replace(".", "/") for module in part.modules)
    return any(is_below(use.replace(".", "/"), below) for use in uses) or any(
        name in distributions for name in part.with_distributions
    )


def needed_parts(
    rules: Collection[str], uses: Collection[str], distributions: Collection[str]
) -> tuple[Part, ...]:
    """Return the parts that go into the image, those of rules that are off among them; sorted by name.

    Args:
        rules: Names of those that are on.
        uses: Dotted names of what first-party code and other distributions use of distributions with parts.
        distributions: Names of those that are in the image.
    """
    parts = {part.name: part for part in PARTS if part.distribution in distributions}
    pending = [
        part
        for part in parts.values()
        if part.rule not in rules or _is_used(part, uses, distributions)
    ]
    needed: dict[str, Part] = {}
    while pending:
        part = pending.pop()
        if part.name not in needed:
            needed[part.name] = part
            pending += [parts[name] for name in part.needs]
    return tuple(needed[name] for name in sorted(needed))


def check_left_out(
    image: str, names: Iterable[str], distributions: Collection[str], reasons: Mapping[str, str]
) -> None:
    """Check the distributions that are left out as a whole.

    Args:
        names: Theirs.
        distributions: Names of all that the image would hold.
        reasons: Name -> why, for those that first-party code requires.

    Raises:
        SlimRayImageError: If one is not there to be left out, or first-party code requires it.
    """
    missing = [name for name in names if name not in distributions]
    if missing:
        close = {n: difflib.get_close_matches(n, sorted(distributions), n=1) for n in missing}
        raise SlimRayImageError(
            f"`prune` of {image} leaves out distributions that the image would not hold anyway.",
            evidence=[
                f"{name}{f'; {found[0]} is one that it would hold' if found else ''}"
                for name, found in close.items()
            ],
            fixes=["remove them from `prune`, or correct their names"],
        )
    required = [name for name in names if name in reasons]
    if required:
        raise SlimRayImageError(
            f"`prune` of {image} leaves out distributions that its own code needs.",
            evidence=[f"{name}: {reasons[name]}" for name in required],
            fixes=["remove them from `prune`", "remove what needs them"],
        )


def unite_pruned(
    rows: Iterable[Pruned],
    *,
    parts: Mapping[str, Saved],
    needed: Collection[Part],
    left_out: Iterable[Pruned],
) -> tuple[Pruned, ...]:
    """Return what is not in the image, a row for each rule and distribution, sorted.

    Args:
        rows: What fixed rules took, layer by layer.
        parts: Name -> what is in it, for those that the distributions have.
        needed: Those that are in the image.
        left_out: What goes as a whole.
    """
    names = {part.name for part in needed}
    totals: dict[tuple[str, str], Saved] = {}
    for row in (
        *rows,
        *(
            Pruned(part.rule, part.distribution, parts[part.name])
            for part in PARTS
            if part.name in parts and part.name not in names
        ),
        *left_out,
    ):
        key = (row.rule, row.distribution)
        totals[key] = totals.get(key, Saved()) + row.saved
    return tuple(Pruned(*key, saved) for key, saved in sorted(totals.items()))
