"""Stage 4 of 6: named rules that leave files of distributions out of the image.

In: the field `prune`, the modules that the code uses and the names of the distributions. Out: the rules that are on,
and the parts that the image needs.

There are two kinds of rules. A *fixed* rule removes the same files in every service; it is applied inside the layer of
each distribution. The other kind depends on the service and must not create variants of a layer that services share:
the files that such a rule can leave out are a *part* of the distribution, and a part is a layer that the image has or
lacks.
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
    """The parsed field `prune` of a target: the rules that are on, and the distributions to leave out as a whole.

    Attributes:
        rules: Names of the rules that are on, sorted.
        distributions: Canonical names of the distributions to leave out as a whole, sorted.
    """

    rules: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pruned:
    """Size of the files of a distribution that a rule of `prune` left out of an image, as image.json lists it."""

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
    return f"{word!r}{f' (did you mean {close[0]!r}?)' if close else ''}"


def parse_pruning(words: Iterable[str]) -> Pruning:
    """Parse the words of a field `prune`, such as `default` or `!tests`, into rules and distributions to leave out.

    A word with `!` removes rules from those that the other words select, whatever the order of the words.

    Raises:
        InvalidValueError: If a word is unknown, or if all words that name rules remove rules.
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
            f"must hold {ALL!r}, {DEFAULT!r}, names of rules, '!' before a name, or '{_DISTRIBUTION}' before the name "
            f"of a distribution, but has {', '.join(unknown)}.",
            evidence=[f"the rules are {', '.join(sorted(RULES_BY_NAME))}"],
            fixes=[
                "correct the names, as in ['default', 'dashboard-ui'], or use [] to prune nothing"
            ],
        )
    if unwanted and not wanted:
        raise InvalidValueError(
            f"removes rules ({', '.join(repr(f'!{word}') for word in unwanted)}) but selects none.",
            fixes=[f"add {DEFAULT!r}", "use [] to prune nothing"],
        )
    rules = frozenset[str]().union(*map(_rules_of, wanted)) - frozenset().union(
        *map(_rules_of, unwanted)
    )
    return Pruning(
        tuple(sorted(rules)), tuple(sorted(canonicalize_name(name) for name in distributions))
    )


def rule_of_distribution(name: str) -> str:
    """Return the word of the field `prune` that leaves out a whole distribution, such as `distribution:pandas`."""
    return f"{_DISTRIBUTION}{name}"


def fixed_rules(rules: Iterable[str], distributions: Collection[str]) -> tuple[str, ...]:
    """Return the rules that remove the same files in every service and apply to a layer of `distributions`; sorted.

    A rule for another distribution is left out, so that it is not part of the layer's cache key.
    """
    by_parts = {part.rule for part in PARTS}
    return tuple(
        name
        for name in sorted(rules)
        if name not in by_parts and RULES_BY_NAME[name].distribution in (None, *distributions)
    )


def _who_leaves(name: str, names: Iterable[str], requires: Mapping[str, Collection[str]]) -> str:
    """Return the first distribution of `names`, sorted, that requires `name`, directly or through others."""
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
    """Map each distribution that `prune` removes from the image to the one in `prune` that causes its removal.

    The removed distributions are `names` and all distributions that nothing else requires. A distribution of the second
    kind is mapped to the first entry of `names`, sorted, that requires the distribution directly or through others.

    Args:
        names: Names of the distributions that `prune` leaves out as a whole.
        required_by: Name of a distribution -> names of the distributions, and reasons in first-party code, that require
            the distribution.
        required_by_after: The same for the image without `names`.
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
    """Return the parts of distributions that the image needs, or whose rule of `prune` is off; sorted by name.

    Args:
        rules: Names of the rules that are on.
        uses: Dotted names, below distributions with parts, that first-party code and other distributions use.
        distributions: Names of the distributions in the image.
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
    """Check that the image would contain each distribution in `prune`, and that first-party code needs none of them.

    Args:
        names: Names of the distributions to leave out.
        distributions: Names of all distributions that the image would contain otherwise.
        reasons: Name -> reason, for each distribution that first-party code requires.

    Raises:
        SlimRayImageError: If the image would not contain one of `names` anyway, or first-party code requires it.
    """
    missing = [name for name in names if name not in distributions]
    if missing:
        close = {n: difflib.get_close_matches(n, sorted(distributions), n=1) for n in missing}
        raise SlimRayImageError(
            f"`prune` of {image} leaves out distributions that the image would not contain anyway.",
            evidence=[
                f"{name}{f' (did you mean {found[0]}?)' if found else ''}"
                for name, found in close.items()
            ],
            fixes=["remove them from `prune`, or correct their names"],
        )
    required = [name for name in names if name in reasons]
    if required:
        raise SlimRayImageError(
            f"`prune` of {image} leaves out distributions that its own code needs.",
            evidence=[f"{name}: {reasons[name]}" for name in required],
            fixes=["remove them from `prune`", "remove the code that needs them"],
        )


def unite_pruned(
    rows: Iterable[Pruned],
    *,
    parts: Mapping[str, Saved],
    needed: Collection[Part],
    left_out: Iterable[Pruned],
) -> tuple[Pruned, ...]:
    """Return the sizes of all files that pruning left out, summed for each pair of rule and distribution; sorted.

    Args:
        rows: Savings of fixed rules, layer by layer.
        parts: Name -> size, for each part that the distributions have.
        needed: Parts that are in the image.
        left_out: Distributions that are left out as a whole.
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
