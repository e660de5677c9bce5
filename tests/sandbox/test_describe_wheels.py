"""Tests of sandbox.wheels.describe_wheels: the facts of a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import MARKER_ENVIRONMENT, error_text, hash_of, make_wheel, piece_of

from slim_ray_image.core.wheels.distributions import distributions_of
from slim_ray_image.core.wheels.wheels import DescribeRequest, DescribeResult, Need, WheelFacts
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.wheels.describe_wheels import main

WHEELS = Path("wheels")
SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"


def describe(*wheels: Path) -> tuple[WheelFacts, ...]:
    rows = tuple((wheel.name, piece_of(wheel).sha256) for wheel in wheels)
    main(DescribeRequest(rows, SITE_PACKAGES, MARKER_ENVIRONMENT))
    return from_json(DescribeResult, Path("described.json").read_bytes()).wheels


def test_facts_describe_a_distribution(sandbox: Path) -> None:
    """Facts have the canonical name, the version, the requirements in METADATA, and the installed size."""
    wheel = make_wheel(
        WHEELS,
        "Foo.Bar",
        "1.0",
        files={"foo.py": "12345", "Foo.Bar-1.0.data/scripts/foo": "123"},
        requires=["b[y]>=1", "c; extra == 'x'", "d; sys_platform == 'win32'"],
        extras=["x"],
    )
    metadata = (
        b"Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0\n"
        b"Requires-Dist: b[y]>=1\nRequires-Dist: c; extra == 'x'\n"
        b"Requires-Dist: d; sys_platform == 'win32'\nProvides-Extra: x\n"
    )
    wheel_file = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    assert describe(wheel) == (
        WheelFacts(
            file=wheel.name,
            name="foo-bar",
            version="1.0",
            unpacked_bytes=8 + len(metadata) + len(wheel_file),
            file_count=4,
            needs=(
                Need("b", ("y",), True, False, ("x",)),
                Need("c", (), False, True, ("x",)),
            ),
            requires_python="",
            modules=("foo",),
            scripts=("foo",),
            part_bytes={},
            roots=(
                "/opt/venv/bin/foo",
                f"{SITE_PACKAGES}/Foo.Bar-1.0.dist-info",
                f"{SITE_PACKAGES}/foo.py",
            ),
            uses=(),
            files=(
                ("/opt/venv/bin/foo", hash_of(b"123")),
                (f"{SITE_PACKAGES}/Foo.Bar-1.0.dist-info/METADATA", hash_of(metadata)),
                (f"{SITE_PACKAGES}/Foo.Bar-1.0.dist-info/WHEEL", hash_of(wheel_file)),
                (f"{SITE_PACKAGES}/foo.py", hash_of(b"12345")),
            ),
        ),
    )


def test_facts_have_the_pythons_that_a_distribution_is_for(sandbox: Path) -> None:
    """Facts have Requires-Python as METADATA spells it."""
    # The line break adds a Requires-Python line to METADATA.
    wheel = make_wheel(WHEELS, "foo", requires=["bar\nRequires-Python: >=3.9,<4"])
    (facts,) = describe(wheel)
    assert [need.name for need in facts.needs] == ["bar"]
    assert facts.requires_python == ">=3.9,<4"


def test_facts_are_in_the_order_of_the_request(sandbox: Path) -> None:
    """Facts are in the order of the request, with the names of the wheels' files."""
    wheels = [make_wheel(WHEELS, name) for name in ("foo", "bar", "baz")]
    assert [facts.file for facts in describe(*wheels)] == [wheel.name for wheel in wheels]


def test_facts_have_the_parts_of_a_distribution(sandbox: Path) -> None:
    """Each part has the total size of its files, and the distribution's size includes its parts."""
    files = {
        "ray/a.py": "1",
        "ray/jars/a.jar": "123",
        "ray/data/a.py": "12",
        "ray/air/b.py": "1",
    }
    with_parts = describe(make_wheel(WHEELS, "ray", files=files))[0]
    assert with_parts.part_bytes == {"ray-data-train": 3, "ray-java": 3}
    without = describe(make_wheel(WHEELS, "ray"))[0]
    assert with_parts.unpacked_bytes == without.unpacked_bytes + 7


def test_facts_have_what_a_distribution_uses_of_those_with_parts(sandbox: Path) -> None:
    """Facts have the names that modules import or spell from distributions with parts, except the wheel's own."""
    source = "import ray.tune\nfrom ray import data\n"
    foo = make_wheel(WHEELS, "foo", files={"foo.py": source, "foo.txt": "ray.rllib"})
    ray = make_wheel(WHEELS, "ray", files={"ray/a.py": source})
    assert [facts.uses for facts in describe(foo, ray)] == [("ray.data", "ray.tune"), ()]


@pytest.mark.parametrize("folder", ["foo/_vendor/", "foo-1.0.data/data/"])
def test_facts_are_of_the_distribution_s_own_metadata(sandbox: Path, folder: str) -> None:
    """The METADATA of a vendored distribution is ignored."""
    metadata = "Name: bar\nVersion: 2.0\nRequires-Dist: baz\n"
    vendored = {f"{folder}bar-2.0.dist-info/METADATA": metadata}
    (facts,) = describe(make_wheel(WHEELS, "foo", files=vendored))
    assert (facts.name, facts.version, facts.needs) == ("foo", "1.0", ())


def test_commands_are_those_of_files_and_of_entry_points(sandbox: Path) -> None:
    """A command is a file of `bin`, or an entry point for which an installer writes a script."""
    wheel = make_wheel(
        WHEELS,
        "foo",
        files={
            "foo-1.0.data/scripts/foo.sh": "",
            "foo-1.0.data/data/bin/foo-data": "",
            "foo-1.0.data/data/etc/bar": "",
        },
        entry_points="[console_scripts]\nfoo = foo:main\n[other]\nbaz = foo:main\n",
    )
    assert describe(wheel)[0].scripts == ("foo", "foo-data", "foo.sh")


def test_roots_have_the_links_of_commands(sandbox: Path) -> None:
    """Roots include the link to `ray` in a login shell's PATH, so that a pattern can match it."""
    wheel = make_wheel(WHEELS, "ray", entry_points="[console_scripts]\nray = ray:main\n")
    assert describe(wheel)[0].roots == (
        "/opt/venv/bin/ray",
        f"{SITE_PACKAGES}/ray-1.0.dist-info",
        "/usr/local/bin/ray",
    )


SHARED = f"{SITE_PACKAGES}/tests.py"


def test_shared_files_are_those_of_several_distributions(sandbox: Path) -> None:
    """Equal contents have equal hashes, whatever folder of a wheel a file is in and whatever hash RECORD has."""
    wheels = [
        make_wheel(WHEELS, "foo", files={"tests.py": "a", "foo.py": ""}),
        make_wheel(WHEELS, "bar", files={"bar-1.0.data/purelib/tests.py": "a"}),
        make_wheel(WHEELS, "baz", files={"tests.py": "b"}, recorded={"tests.py": None}),
        make_wheel(
            WHEELS, "qux", files={"tests.py": "a"}, recorded={"tests.py": hash_of(b"a", "sha512")}
        ),
        make_wheel(WHEELS, "alone", files={"__pycache__/tests.cpython-310.pyc": "c"}),
    ]
    found = {d.name: d.shared_files for d in distributions_of(describe(*wheels))}
    a, b = ((SHARED, hash_of(content)) for content in (b"a", b"b"))
    assert found == {"foo": (a,), "bar": (a,), "baz": (b,), "qux": (a,), "alone": ()}


def test_record_has_a_row_for_each_file(sandbox: Path) -> None:
    """A file name with U+2028 is one line of RECORD, and the file has the hash of that line."""
    name = "a\u2028b.txt"
    hashes = {"foo": "sha256=of-foo", "bar": "sha256=of-bar"}
    wheels = [
        make_wheel(WHEELS, distribution, files={name: "both"}, recorded={name: hash_})
        for distribution, hash_ in hashes.items()
    ]
    found = {d.name: dict(d.shared_files) for d in distributions_of(describe(*wheels))}
    assert {
        distribution: files[f"{SITE_PACKAGES}/{name}"] for distribution, files in found.items()
    } == hashes


def test_wheel_that_is_not_the_fetched_one_is_an_error(sandbox: Path) -> None:
    """A wheel with another hash than the fetched one is rejected."""
    wheel = make_wheel(WHEELS, "foo")
    request = DescribeRequest(((wheel.name, "0" * 64),), SITE_PACKAGES, MARKER_ENVIRONMENT)
    assert error_text(lambda: main(request)).startswith(
        f"The wheel {wheel.name} has changed since it was fetched"
    )
