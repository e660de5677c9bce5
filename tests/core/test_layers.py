"""Tests of core.layers.plan and core.wheels.distributions."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, Collection

import pytest
from conftest import make_distribution

from slim_ray_image.core.layers.kinds import KIND_DISTRIBUTION, KIND_DISTRIBUTIONS, KIND_PART
from slim_ray_image.core.layers.plan import (
    LARGE_DISTRIBUTION_BYTES,
    LARGE_FILE_BYTES,
    SMALLEST_LAYER_BUDGET,
    FilePlan,
    Piece,
    plan_files,
    plan_layers,
    slices_of,
)
from slim_ray_image.core.layers.prune_rules import PARTS, Part
from slim_ray_image.core.wheels.distributions import Distribution, distributions_of
from slim_ray_image.core.wheels.wheels import Need, WheelFacts

LARGE = LARGE_DISTRIBUTION_BYTES


def plan(budget: int, **sizes: int) -> list[tuple[str, list[str]]]:
    """Return (name of the layer, its pieces) for each layer planned for distributions of these sizes."""
    distributions = [make_distribution(name, unpacked_bytes=size) for name, size in sizes.items()]
    return [
        (layer.name, [piece.name for piece in layer.pieces])
        for layer in plan_layers(distributions, budget)
    ]


def test_large_distributions_have_their_own_layer_largest_first() -> None:
    """A distribution as large as the threshold has its own layer; the rest share the last layer, sorted by name."""
    assert plan(9, small=1, big=LARGE, under=LARGE - 1, biggest=LARGE + 1) == [
        ("biggest", ["biggest"]),
        ("big", ["big"]),
        ("distributions", ["small", "under"]),
    ]


def test_kinds_say_which_layer_is_shared() -> None:
    """A layer of one large distribution and the layer of the rest have different kinds."""
    layers = plan_layers([make_distribution("a", unpacked_bytes=LARGE), make_distribution("b")], 9)
    assert [layer.kind for layer in layers] == [KIND_DISTRIBUTION, KIND_DISTRIBUTIONS]


def test_ray_has_its_own_layer_whatever_its_size() -> None:
    """Ray has its own layer even if it is small, and the layer is in its place by size."""
    assert plan(9, a=LARGE, ray=1, b=1) == [
        ("a", ["a"]),
        ("ray", ["ray"]),
        ("distributions", ["b"]),
    ]


def test_equal_sizes_are_ordered_by_name() -> None:
    """Distributions of equal size are sorted by name, so that a plan does not depend on the order of the input."""
    assert [name for name, _ in plan(9, b=LARGE, c=LARGE, a=LARGE)] == [
        "a",
        "b",
        "c",
        "distributions",
    ]
    assert plan(5, b=LARGE, c=LARGE, a=LARGE)[:2] == [("a", ["a"]), ("b", ["b"])]


def test_budget_cuts_the_smallest_first_and_never_ray() -> None:
    """Over budget, the smallest of the large distributions join the rest; Ray keeps its layer."""
    sizes = {"a": LARGE + 3, "b": LARGE + 2, "c": LARGE + 1, "ray": 1}
    assert plan(6, **sizes) == [
        ("a", ["a"]),
        ("b", ["b"]),
        ("ray", ["ray"]),
        ("distributions", ["c"]),
    ]
    assert plan(SMALLEST_LAYER_BUDGET, **sizes) == [
        ("ray", ["ray"]),
        ("distributions", ["a", "b", "c"]),
    ]


def parts(*names: str) -> list[Part]:
    return [part for part in PARTS if part.name in names]


def test_needed_parts_have_layers_of_their_own_by_size() -> None:
    """A part has its own layer even if it is small; its distribution has a layer without any part."""
    ray = make_distribution(
        "ray",
        unpacked_bytes=LARGE,
        part_bytes={"ray-java": LARGE - 3, "ray-llm": 1, "ray-rllib": 2},
    )
    layers = plan_layers([ray, make_distribution("a")], 9, parts=parts("ray-java", "ray-llm"))
    assert [(layer.name, layer.kind) for layer in layers] == [
        ("ray-java", KIND_PART),
        ("ray-llm", KIND_PART),
        ("ray", KIND_DISTRIBUTION),
        ("distributions", KIND_DISTRIBUTIONS),
    ]
    assert [(p.distribution.name, p.part) for p in layers[0].pieces] == [("ray", "ray-java")]


def test_small_budget_puts_the_smallest_parts_among_the_rest() -> None:
    """Over budget, a part joins the layer of the small distributions, as a distribution does."""
    ray = make_distribution("ray", unpacked_bytes=LARGE, part_bytes={"ray-java": 9, "ray-llm": 1})
    both = parts("ray-java", "ray-llm")
    names = [
        [piece.name for piece in layer.pieces]
        for layer in plan_layers([ray, make_distribution("a")], 5, parts=both)
    ]
    assert names == [["ray"], ["ray-java"], ["a", "ray-llm"]]


def test_part_that_a_version_does_not_have_has_no_layer() -> None:
    """A plan for an older Ray, which has no ray.llm, has no empty layer for that part."""
    ray = make_distribution("ray", part_bytes={"ray-java": 1})
    layers = plan_layers([ray], 9, parts=parts("ray-java", "ray-llm"))
    assert [layer.name for layer in layers] == ["ray-java", "ray", "distributions"]


@pytest.mark.parametrize("budget", range(SMALLEST_LAYER_BUDGET, 12))
def test_layers_with_those_of_runtime_and_sources_keep_to_the_budget(budget: int) -> None:
    """An image adds at most `layer_budget` layers, and every distribution is in exactly one."""
    sizes = {f"d{number}": LARGE + number for number in range(9)}
    layers = plan(budget, ray=1, **sizes)
    assert len(layers) + 2 == min(budget, 13)
    assert sorted(name for _, names in layers for name in names) == sorted(["ray", *sizes])


@pytest.mark.parametrize("budget", range(SMALLEST_LAYER_BUDGET + 1, 12))
def test_layer_of_large_files_is_of_the_budget(budget: int) -> None:
    """A layer of large files leaves one layer less for large distributions."""
    sizes = {f"d{number}": LARGE + number for number in range(9)}
    distributions = [make_distribution(name, unpacked_bytes=size) for name, size in sizes.items()]
    layers = plan_layers(distributions, budget, has_large_files=True)
    assert len(layers) + 3 == budget


def test_large_files_that_are_no_sources_are_apart() -> None:
    """Only size and name decide whether a file is in the layer of large files; a Python source never is."""
    sizes = {
        "model/weights.bin": LARGE_FILE_BYTES,
        "model/small.bin": LARGE_FILE_BYTES - 1,
        "model/table.py": LARGE_FILE_BYTES,
        "model/table.pyi": LARGE_FILE_BYTES,
        "a.bin": LARGE_FILE_BYTES + 1,
    }
    assert plan_files(sizes, 16) == FilePlan(
        large=("a.bin", "model/weights.bin"),
        others=("model/small.bin", "model/table.py", "model/table.pyi"),
    )


def test_smallest_budget_has_no_room_for_large_files() -> None:
    """With the smallest budget, Ray has its own layer, and large files are in the layer of the sources."""
    sizes = {"weights.bin": LARGE_FILE_BYTES, "a.py": 1}
    assert plan_files(sizes, SMALLEST_LAYER_BUDGET) == FilePlan((), ("a.py", "weights.bin"))
    assert plan_files(sizes, SMALLEST_LAYER_BUDGET + 1) == FilePlan(("weights.bin",), ("a.py",))


def test_no_distributions_still_make_the_layer_of_the_environment() -> None:
    """The layer of the rest always exists, since it contains the virtual environment."""
    assert plan(9) == [("distributions", [])]
    assert plan(9, ray=1) == [("ray", ["ray"]), ("distributions", [])]


def test_plan_does_not_depend_on_the_order_of_the_input() -> None:
    """Shuffled distributions are planned into the same layers."""
    distributions = [
        make_distribution(f"d{number}", unpacked_bytes=LARGE * (number % 3)) for number in range(20)
    ]
    expected = plan_layers(distributions, 7)
    for seed in range(5):
        shuffled = random.Random(seed).sample(distributions, len(distributions))
        assert plan_layers(shuffled, 7) == expected


NEED = Need("x", (), without_extras=True, is_of_extras=False, with_extras=("y",))


def facts_of(name: str, **changes: Any) -> WheelFacts:
    """Return the facts of a wheel, with `changes`."""
    values: dict[str, Any] = {
        "file": f"{name}-2-py3-none-any.whl",
        "name": name,
        "version": "2",
        "unpacked_bytes": 5,
        "file_count": 4,
        "needs": (NEED,),
        "requires_python": ">=3",
        "modules": ("z",),
        "scripts": ("z",),
        "part_bytes": {"q": 2, "p": 1},
        "roots": ("/r",),
        "uses": ("ray.data",),
        "files": ((f"/venv/{name}.py", "sha256=own"),),
    }
    return WheelFacts(**{**values, **changes})


def test_distributions_of_wheels_are_sorted_by_name() -> None:
    """Facts of wheels become distributions, sorted by name, whatever the order of the facts."""
    assert distributions_of([facts_of("b"), facts_of("a")]) == tuple(
        Distribution(
            file=f"{name}-2-py3-none-any.whl",
            name=name,
            version="2",
            unpacked_bytes=5,
            file_count=4,
            needs=(NEED,),
            modules=("z",),
            scripts=("z",),
            shared_files=(),
            part_bytes=(("p", 1), ("q", 2)),
            roots=("/r",),
            uses=("ray.data",),
        )
        for name in "ab"
    )


def test_shared_files_are_those_of_several_wheels() -> None:
    """`shared_files` has only the paths that several wheels of the image have, with each wheel's own hash."""
    shared, own = "/venv/tests/__init__.py", "/venv/own.py"
    first = facts_of("foo", files=((own, "sha256=x"), (shared, "sha256=a")))
    same = facts_of("bar", files=((shared, "sha256=a"),))
    other = facts_of("baz", files=((shared, "sha256=b"),))
    alone = facts_of("alone", files=(("/venv/alone.py", "sha256=a"),))
    found = {each.name: each.shared_files for each in distributions_of([first, same, other, alone])}
    assert found == {
        "foo": ((shared, "sha256=a"),),
        "bar": ((shared, "sha256=a"),),
        "baz": ((shared, "sha256=b"),),
        "alone": (),
    }


def test_no_wheels_are_no_distributions() -> None:
    """Without wheels there are no distributions."""
    assert distributions_of([]) == ()


def pieces_of(*names: str, shared: Collection[str] = ()) -> list[Piece]:
    """Return pieces of distributions; those named in `shared` have a path in common."""
    path = (("/venv/tests.py", "sha256=a"),)
    return [
        Piece(dataclasses.replace(make_distribution(n), shared_files=path if n in shared else ()))
        for n in names
    ]


NAMES = [f"small-{number}" for number in range(60)]


def test_piece_more_changes_one_slice() -> None:
    """Two services that differ in one small distribution share all slices but one."""
    before = set(slices_of(pieces_of(*NAMES)))
    after = set(slices_of(pieces_of(*NAMES, "one-more")))
    assert len(before) == len(after) > 4
    assert len(before - after) == len(after - before) == 1


def test_every_piece_is_in_one_slice() -> None:
    """Each piece is in exactly one slice, and no slice is empty."""
    pieces = pieces_of(*NAMES, shared=NAMES[:3])
    found = slices_of(pieces)
    assert all(found)
    assert sorted(p.name for some in found for p in some) == sorted(p.name for p in pieces)


def test_pieces_with_paths_in_common_are_in_one_slice() -> None:
    """Pieces that share a path are in one slice, which decides which piece provides the path."""
    found = slices_of(pieces_of(*NAMES, shared=NAMES[:9]))
    assert [piece.name for piece in found[-1]] == NAMES[:9]


def test_slices_are_the_same_in_every_process() -> None:
    """Slices depend on the letters of names, not on Python's `hash`, which differs from process to process."""
    found = [[piece.name for piece in some] for some in slices_of(pieces_of(*"abchip"))]
    assert found == [["h", "p"], ["a", "i"], ["b"], ["c"]]
    assert slices_of([]) == ()
