"""Tests of core.layers.pruning, prune_rules and exclude_files."""

from __future__ import annotations

import itertools

import pytest
from conftest import Golden, error_text

from slim_ray_image.core.layers.distributions_layer import Saved
from slim_ray_image.core.layers.exclude_files import (
    absolute_pattern,
    check_excluded,
    matching_pattern,
    parse_exclude_files,
    patterns_for,
)
from slim_ray_image.core.layers.prune_help import HELP
from slim_ray_image.core.layers.prune_rules import (
    DEBUG_INFORMATION,
    DEBUG_SYMBOLS,
    PARTS,
    RULES,
    RULES_BY_NAME,
    TESTS,
    part_at,
)
from slim_ray_image.core.layers.pruning import (
    Pruned,
    Pruning,
    check_left_out,
    fixed_rules,
    left_out_with,
    needed_parts,
    parse_pruning,
    unite_pruned,
)

NAMES = {rule.name for rule in RULES}
DEFAULTS = {rule.name for rule in RULES if rule.is_default}
SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"


# --- The field


@pytest.mark.parametrize(
    ("words", "rules"),
    [
        ([], set()),
        (["default"], DEFAULTS),
        (["all"], NAMES),
        (["tests"], {"tests"}),
        (["default", "dashboard-ui"], DEFAULTS | {"dashboard-ui"}),
        (["!tests", "default"], DEFAULTS - {"tests"}),
        (["all", "!default"], NAMES - DEFAULTS),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, list) else "",
)
def test_words_name_rules_and_take_them_away(words: list[str], rules: set[str]) -> None:
    """Groups and names add up, and a word with an exclamation mark removes rules, whatever the order of the words."""
    assert parse_pruning(words) == Pruning(tuple(sorted(rules)))


def test_opt_in_rules_are_not_on_by_default() -> None:
    """`default` keeps the dashboard's pages and debug symbols, which people use."""
    assert {*NAMES} - DEFAULTS == {"dashboard-ui", "debug-symbols"}


def test_distributions_are_canonical_and_apart_from_the_rules() -> None:
    """`distribution:` leaves a distribution out, whatever the spelling of its name, and `all` leaves out none."""
    assert parse_pruning(["distribution:Py_Spy", "distribution:virtualenv"]) == Pruning(
        (), ("py-spy", "virtualenv")
    )
    assert parse_pruning(["all"]).distributions == ()


@pytest.mark.parametrize(
    ("words", "golden_name"),
    [
        (["default", "test", "!javas", "distribution:"], "prune-unknown"),
        (["!tests"], "prune-takes-from-none"),
    ],
    ids=["unknown", "from none"],
)
def test_words_that_mean_nothing_are_refused(
    words: list[str], golden_name: str, golden: Golden
) -> None:
    """Unknown words are refused with suggestions, and words that only remove rules are refused."""
    golden.check(f"errors/layers/{golden_name}.txt", error_text(lambda: parse_pruning(words)))


# --- Rules and parts


def test_each_rule_is_by_parts_or_says_what_it_takes() -> None:
    """A rule selects parts, or names of files, or is one of the rules that read content; never two of these."""
    by_content = {TESTS, DEBUG_INFORMATION, DEBUG_SYMBOLS, "virtualenv-wheels"}
    by_parts = {part.rule for part in PARTS}
    for rule in RULES:
        kinds = [
            rule.name in by_parts,
            rule.name in by_content,
            bool(rule.folders or rule.suffixes),
        ]
        assert kinds.count(True) == 1, rule.name


def test_parts_do_not_overlap_and_need_parts_that_exist() -> None:
    """No two parts have a path in common, and each part names parts and a rule that exist."""
    folders = [folder for part in PARTS for folder in part.folders]
    for one, other in itertools.permutations(folders, 2):
        assert not f"{one}/".startswith(f"{other}/")
    assert {name for part in PARTS for name in part.needs} <= {part.name for part in PARTS}
    assert {part.rule for part in PARTS} <= NAMES


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("ray/data/__init__.py", "ray-data-train"),
        ("ray/database.py", None),
        ("ray/serve/llm/__init__.py", "ray-llm"),
        ("ray/serve/api.py", None),
    ],
)
def test_part_holds_whole_folders(path: str, part: str | None) -> None:
    """A path is in a part if it is below one of the part's folders, not if only the start of a name matches."""
    found = part_at(path, "ray")
    assert (found.name if found else None) == part
    assert part_at(path, "other") is None


@pytest.mark.parametrize(
    ("uses", "distributions", "needed"),
    [
        ([], ["aiohttp"], []),
        (["ray.serve", "ray.database", "ray"], ["aiohttp"], []),
        ([], [], ["ray-agent-aiohttp"]),
        (["ray.data"], ["aiohttp"], ["ray-data-train", "ray-integrations"]),
        (["ray.tune.Tuner"], ["aiohttp"], ["ray-data-train", "ray-integrations"]),
        (["ray.rllib"], ["aiohttp"], ["ray-data-train", "ray-integrations", "ray-rllib"]),
        (["ray.data.llm"], ["aiohttp"], ["ray-data-train", "ray-integrations", "ray-llm"]),
        (["ray.util.joblib"], ["aiohttp"], ["ray-integrations"]),
        (["ray.cross_language"], ["aiohttp"], ["ray-java"]),
        ([], ["aiohttp", "pyarrow"], ["ray-data-train", "ray-integrations"]),
        ([], ["aiohttp", "boto3"], ["ray-cloud-providers"]),
    ],
    ids=str,
)
def test_parts_are_needed_by_what_is_used(
    uses: list[str], distributions: list[str], needed: list[str]
) -> None:
    """A part is needed if code uses it, if its replacement is missing, or if another needed part imports it."""
    parts = needed_parts(DEFAULTS, uses, {"ray", *distributions})
    assert [part.name for part in parts] == needed


def test_parts_of_a_rule_that_is_off_are_needed() -> None:
    """If no rule is on, an image has every part of its distributions, and no part of others."""
    assert [p.name for p in needed_parts([], [], {"ray", "aiohttp"})] == sorted(
        part.name for part in PARTS
    )
    assert needed_parts([], [], {"aiohttp"}) == ()
    names = [p.name for p in needed_parts(DEFAULTS - {"java"}, [], {"ray", "aiohttp"})]
    assert names == ["ray-java"]


def test_layer_is_asked_for_the_rules_that_say_something_of_it() -> None:
    """A layer's cache key contains no rule by parts and no rule for another distribution."""
    asked = fixed_rules(NAMES, {"numpy"})
    assert "tests" in asked and "debug-symbols" in asked
    assert not {"java", "ray-libraries", "dashboard-ui", "virtualenv-wheels"} & set(asked)
    assert "dashboard-ui" in fixed_rules(NAMES, {"ray"})
    assert "dashboard-ui" not in fixed_rules(DEFAULTS, {"ray"})


# --- Distributions that are left out


def test_left_out_distribution_takes_what_only_it_requires() -> None:
    """A distribution that nothing else requires is removed too, at every depth; one that the image requires stays."""
    before = {
        "ray": ("import of ray at app.py:1",),
        "virtualenv": ("ray",),
        "distlib": ("virtualenv",),
        "deep": ("distlib",),
        "filelock": ("virtualenv", "ray"),
        "stray": (),
    }
    after = {"ray": before["ray"], "distlib": (), "deep": (), "filelock": ("ray",), "stray": ()}
    assert left_out_with({"virtualenv"}, before, after) == {
        "virtualenv": "virtualenv",
        "distlib": "virtualenv",
        "deep": "virtualenv",
    }


def test_distribution_that_is_not_there_cannot_be_left_out(golden: Golden) -> None:
    """A name of a distribution that the image would not contain is an error, with a suggestion."""
    golden.check(
        "errors/layers/prune-distribution-not-there.txt",
        error_text(
            lambda: check_left_out("src/app:image", ["pyspy", "zope"], ["py-spy", "ray"], {})
        ),
    )


def test_distribution_that_first_party_code_requires_cannot_be_left_out(golden: Golden) -> None:
    """The error names the import that needs the distribution."""
    reasons = {"pandas": "import of pandas at src/app.py:3"}
    golden.check(
        "errors/layers/prune-distribution-needed.txt",
        error_text(lambda: check_left_out("src/app:image", ["pandas"], ["pandas", "ray"], reasons)),
    )


# --- exclude_files


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("numpy/tests", "numpy/tests/a/b.py", True),
        ("numpy/tests", "numpy/tests_of.py", False),
        ("numpy/*/tests", "numpy/core/tests/a.py", True),
        ("numpy/*/tests", "numpy/tests/a.py", False),
        ("numpy/**/tests", "numpy/tests/a.py", True),
        ("numpy/**/tests", "numpy/a/b/tests/a.py", True),
        ("numpy/*.py", "numpy/a.py", True),
        ("numpy/*.py", "numpy/a/b.py", False),
        ("numpy/a?.*y", "numpy/ab.cy", True),
        ("numpy?a.py", "numpy/a.py", False),
        ("numpy/a.py", "numpy/aXpy", False),
        (f"{SITE_PACKAGES}/numpy", "numpy/a.py", True),
        ("/usr/local/bin/wget", "numpy/a.py", False),
    ],
)
def test_patterns_match_paths_and_what_is_below(pattern: str, path: str, matches: bool) -> None:
    """`*` matches within one name, `**` matches any folders, and a folder matches every path below it."""
    absolute = absolute_pattern(pattern, SITE_PACKAGES)
    found = matching_pattern(f"{SITE_PACKAGES}/{path}", [absolute])
    assert found == (absolute if matches else None)


def test_layer_is_asked_for_the_patterns_that_may_match() -> None:
    """A layer's cache key contains only the patterns that may match one of its paths."""
    patterns = [f"{SITE_PACKAGES}/numpy/tests", f"{SITE_PACKAGES}/**/x", "/usr/local/bin/*"]
    assert patterns_for(patterns, [f"{SITE_PACKAGES}/numpy"]) == tuple(patterns[:2])
    assert patterns_for(patterns, [f"{SITE_PACKAGES}/pandas"]) == (patterns[1],)
    assert patterns_for(patterns, ["/usr/local/bin/ray"]) == (patterns[2],)


@pytest.mark.parametrize("pattern", ["", "/", "*", "/**", "a/../b", "a//b"])
def test_patterns_that_are_no_paths_are_refused(pattern: str) -> None:
    """A pattern of wildcards only, with `..`, or with an empty name is refused."""
    text = error_text(lambda: parse_exclude_files(["numpy/tests", pattern]))
    assert text.startswith("must hold paths") and f"but has {pattern!r}." in text


def test_pattern_that_matches_nothing_is_an_error(golden: Golden) -> None:
    """A pattern must match a path of at least one layer."""
    check_excluded("src/app:image", ["a"], ["a"])
    text = error_text(lambda: check_excluded("src/app:image", ["b/*", "a", "c"], ["a"]))
    golden.check("errors/layers/exclude-files-that-are-not-there.txt", text)


# --- Savings


def test_pruned_rows_are_by_rule_and_distribution() -> None:
    """Rows of layers add up, parts that are left out count, and rows are sorted."""
    needed = [part for part in PARTS if part.name == "ray-llm"]
    rows = unite_pruned(
        [
            Pruned("tests", "b", Saved(1, 1)),
            Pruned("tests", "ray", Saved(2, 1)),
            Pruned("tests", "ray", Saved(3, 1)),
        ],
        parts={"ray-llm": Saved(9, 9), "ray-rllib": Saved(10, 2), "ray-data-train": Saved(5, 1)},
        needed=needed,
        left_out=[Pruned("distribution:py-spy", "py-spy", Saved(8, 2))],
    )
    assert rows == (
        Pruned("distribution:py-spy", "py-spy", Saved(8, 2)),
        Pruned("ray-libraries", "ray", Saved(15, 3)),
        Pruned("tests", "b", Saved(1, 1)),
        Pruned("tests", "ray", Saved(5, 2)),
    )


def test_every_rule_has_its_help() -> None:
    """Help is apart from the rules, since the rules are a part of the cache keys of layers."""
    assert list(HELP) == list(RULES_BY_NAME)
    assert "needed_by" not in vars(RULES[0])
