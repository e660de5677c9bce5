"""Tests of sandbox.layers.prune_files through write_distribution_layer: the content of a layer when rules are on."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import pytest
from conftest import Content, Layer, make_wheel, piece_of
from elf import live_sections, make_elf

from slim_ray_image.core.layers.distributions_layer import (
    DistributionLayerResult,
    PieceRequest,
    PiecesRequest,
)
from slim_ray_image.core.layers.layer_blob import BLOB, RESULT, LayerBase
from slim_ray_image.core.layers.prune_rules import RULES
from slim_ray_image.core.layers.pruning import fixed_rules
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.layers.prune_files import find_file_names
from slim_ray_image.sandbox.layers.write_distribution_layer import main

SITE_PACKAGES = "opt/venv/lib/python3.10/site-packages"
WHEELS = Path("wheels")
EVERY_RULE = [rule.name for rule in RULES]


class Written:
    """A written layer of distributions, and its facts."""

    def __init__(
        self,
        *pieces: PieceRequest,
        rules: Sequence[str] = EVERY_RULE,
        exclude_files: Sequence[str] = (),
        bytecode: bool = False,
    ) -> None:
        main(
            PiecesRequest(
                pieces=pieces,
                prune=tuple(fixed_rules(rules, {piece.name for piece in pieces})),
                exclude_files=tuple(exclude_files),
                bytecode=bytecode,
                commands=(),
                base=LayerBase("/usr/local/bin/python3.10", "3.10.13", ("/",)),
            )
        )
        self.facts = from_json(DistributionLayerResult, Path(RESULT).read_bytes()).facts
        self.blob = Path(BLOB).read_bytes()
        self.layer = Layer(self.blob)

    @property
    def files(self) -> list[str]:
        """Paths relative to site-packages, sorted, without the distributions' metadata."""
        found = (name[len(SITE_PACKAGES) + 1 :] for name in self.layer.contents)
        return sorted(name for name in found if ".dist-info" not in name)

    @property
    def pruned(self) -> dict[str, tuple[int, int]]:
        """Rule -> bytes and files."""
        return {row.name: (row.saved.bytes, row.saved.files) for row in self.facts.pruned}


def write(files: Mapping[str, Content], name: str = "foo", **arguments: Any) -> Written:
    """Write the layer of a distribution with these files."""
    return Written(piece_of(make_wheel(WHEELS, name, files=files)), **arguments)


# --- Rules by name


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        ("source-maps", ["foo/main.js.map", "foo/main.css.map"]),
        ("headers", ["foo/a.h", "foo/a.pxd", "foo/a.pyx", "foo/include/b.hpp", "foo/a.pyx.tp"]),
        ("type-stubs", ["foo/a.pyi"]),
        ("static-libraries", ["foo/lib/libfoo.a"]),
        ("windows-programs", ["foo/t64.exe"]),
    ],
)
def test_rule_takes_files_by_their_names(sandbox: Path, rule: str, gone: list[str]) -> None:
    """Each rule removes and counts the files that it describes, and no others."""
    stays = ["foo/a.py", "foo/data.map", "foo/main.js", "foo/mapping.json", "foo/py.typed"]
    written = write({path: "12" for path in (*gone, *stays)}, rules=[rule])
    assert written.files == stays
    assert written.pruned == {rule: (2 * len(gone), len(gone))}


def test_folders_that_a_rule_empties_are_not_there(sandbox: Path) -> None:
    """A folder of headers leaves no directory that Python could import as a package."""
    written = write({"foo/__init__.py": "", "foo/include/a.h": "1"})
    assert f"{SITE_PACKAGES}/foo/include" not in written.layer.names


def test_without_rules_everything_is_there(sandbox: Path) -> None:
    """Without rules, no file is removed."""
    files = ["foo/a.h", "foo/a.pyi", "foo/tests/test_a.py"]
    written = write({path: "1" for path in files}, rules=[])
    assert (written.files, written.pruned) == (files, {})


def test_header_that_a_module_names_stays(sandbox: Path) -> None:
    """A header that a module names stays: cffi, for example, reads its own header to generate code."""
    source = "open(os.path.join(here, '_cffi_include.h'))"
    written = write({"foo/a.py": source, "foo/_cffi_include.h": "1", "foo/include.h": "1"})
    assert written.files == ["foo/_cffi_include.h", "foo/a.py"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (b"read('a.h') or 'b.cpp'", [b"a.h", b"b.cpp"]),
        (b"'c/a.h'", [b"a.h"]),
        (b"a.h+b-c.h", [b"a.h+b-c.h"]),
        (b"a.h-text", [b"a.h"]),
        (b"a.h.txt, a.hello, b.h_, .h, x", []),
        (b"a.h" * 2 + b" a.h.h", [b"a.ha.h", b"a.h.h"]),
        (b"x" * 1_000_000 + b".h" * 2, [b"x" * 1_000_000 + b".h.h"]),
    ],
)
def test_names_of_headers_are_found(source: bytes, found: list[bytes]) -> None:
    """A name ends with one of the suffixes, and contains all characters of names before it."""
    assert list(find_file_names(source, (b".h", b".cpp"))) == found


@pytest.mark.parametrize("name", ["cupy_cuda12x", "triton", "numba"])
def test_distributions_that_compile_on_their_own_keep_their_headers(
    sandbox: Path, name: str
) -> None:
    """Distributions that compile at run time, without the system's compiler, keep the headers they need."""
    assert write({"a.h": "1"}, name).files == ["a.h"]


def test_stubs_that_are_read_at_run_time_stay(sandbox: Path) -> None:
    """A package that reads its stub at run time to load its names keeps the stub."""
    source = "import lazy_loader\n__getattr__, *_ = lazy_loader.attach_stub(__name__, __file__)"
    files = {"foo/__init__.py": source, "foo/__init__.pyi": "from .a import b", "foo/a.py": ""}
    assert "foo/__init__.pyi" in write(files).files


def test_metadata_and_licences_stay(sandbox: Path) -> None:
    """No file of a dist-info folder is removed, whatever its name."""
    licence = "foo-1.0.dist-info/licenses/tests/test_licence.py"
    written = write({licence: "1", "foo-1.0.dist-info/sboms/a.h": "1"})
    assert f"{SITE_PACKAGES}/{licence}" in written.layer.contents
    assert written.pruned == {}


# --- Tests


def test_tests_go_but_for_what_other_modules_import(sandbox: Path) -> None:
    """The test module that `numpy.testing` imports stays, with the `__init__.py` of its package."""
    written = write(
        {
            "numpy/__init__.py": "",
            "numpy/_core/__init__.py": "",
            "numpy/_core/tests/__init__.py": "",
            "numpy/_core/tests/_natype.py": "pd_NA = 1",
            "numpy/_core/tests/test_a.py": "",
            "numpy/_core/tests/data/a.csv": "1",
            "numpy/lib/__init__.py": "",
            "numpy/lib/tests/__init__.py": "",
            "numpy/lib/tests/test_b.py": "",
            "numpy/testing/__init__.py": "from numpy._core.tests._natype import pd_NA",
        },
        "numpy",
        bytecode=True,
    )
    sources = [name for name in written.files if name.endswith(".py")]
    assert sources == [
        "numpy/__init__.py",
        "numpy/_core/__init__.py",
        "numpy/_core/tests/__init__.py",
        "numpy/_core/tests/_natype.py",
        "numpy/lib/__init__.py",
        "numpy/testing/__init__.py",
    ]
    assert f"{SITE_PACKAGES}/numpy/lib/tests" not in written.layer.names
    assert not [name for name in written.layer.names if "test_" in name]
    assert written.pruned["tests"][1] == 4


# --- RECORD


def test_pruned_distribution_is_whole_for_importlib_metadata(sandbox: Path, tmp_path: Path) -> None:
    """Every file that RECORD lists exists with the recorded size, and the metadata can be read."""
    written = write(
        {
            "foo/__init__.py": "",
            "foo/a.h": "1",
            "foo/tests/test_a.py": "",
            "foo/lib.so": make_elf(),
        }
    )
    for name, content in written.layer.contents.items():
        path = tmp_path / "image" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (found,) = importlib.metadata.distributions(path=[str(tmp_path / "image" / SITE_PACKAGES)])
    assert (found.metadata["Name"], found.version) == ("foo", "1.0")
    files = found.files or []
    assert sorted(map(str, files)) == [
        "foo-1.0.dist-info/METADATA",
        "foo-1.0.dist-info/RECORD",
        "foo-1.0.dist-info/WHEEL",
        "foo/__init__.py",
        "foo/lib.so",
    ]
    for file in files:
        size = len(Path(str(file.locate())).read_bytes())
        assert file.size in (None, size)


# --- Symbols


def test_symbols_go_from_programs_and_shared_objects(sandbox: Path) -> None:
    """ELF files are found by content, not by name, and stripped even if a repair tool changed them after linking."""
    elf, changed = make_elf(), make_elf(behind=b"strings", section_bytes=5000)
    files: dict[str, Content] = {
        "foo/a.so": elf,
        "foo/bin/program": elf,
        "foo.libs/libz.so.1": changed,
        "foo/b.so": "text",
    }
    written = write(files, rules=["debug-information", "debug-symbols"])
    contents = {name: written.layer.contents[f"{SITE_PACKAGES}/{name}"] for name in files}
    assert contents["foo/a.so"] == contents["foo/bin/program"]
    for name in ("foo/a.so", "foo.libs/libz.so.1"):
        assert live_sections(contents[name]).isdisjoint({".symtab", ".strtab", ".debug_info"})
    saved = 2 * (len(elf) - len(contents["foo/a.so"]))
    saved += len(changed) - len(contents["foo.libs/libz.so.1"])
    assert {files for _, files in written.pruned.values()} == {3}
    assert sum(size for size, _ in written.pruned.values()) == saved


# --- virtualenv

TABLE = (
    "BUNDLE_SUPPORT: dict = {'3.9': {'pip': 'pip-1.whl'}, '3.10': {'pip': 'pip-2.whl'}, "
    "'3.11': {'pip': 'pip-3.whl'}}\n"
)


@pytest.mark.parametrize(
    ("table", "wheels"),
    [
        (TABLE, ["pip-2.whl"]),
        (TABLE.replace("'3.10'", "'3.12'"), ["pip-1.whl", "pip-2.whl", "pip-3.whl"]),
        ("BUNDLE_SUPPORT = load()\n", ["pip-1.whl", "pip-2.whl", "pip-3.whl"]),
    ],
    ids=["this Python", "others", "not spelled out"],
)
def test_wheels_for_other_pythons_go(sandbox: Path, table: str, wheels: list[str]) -> None:
    """Wheels are removed by virtualenv's own table; if it lacks the image's Python, every wheel stays."""
    folder = "virtualenv/seed/wheels/embed"
    files = {f"{folder}/pip-{number}.whl": "1" for number in (1, 2, 3)}
    written = write({**files, f"{folder}/__init__.py": table}, "virtualenv")
    assert [Path(name).name for name in written.files if name.endswith(".whl")] == wheels


# --- The dashboard

DASHBOARD = {
    "ray/dashboard/head.py": "1",
    "ray/dashboard/client/build/index.html": "12",
    "ray/dashboard/client/build/static/js/main.js": "123",
}


@pytest.mark.parametrize(
    ("rules", "has_pages"), [(["dashboard-ui"], False), (["tests"], True)], ids=["on", "off"]
)
def test_pages_of_the_dashboard_leave_an_empty_folder(
    sandbox: Path, rules: list[str], has_pages: bool
) -> None:
    """The folder `build/static` stays, since the dashboard requires it at its start, even if it is empty."""
    written = write(DASHBOARD, "ray", rules=rules)
    assert written.layer.members[f"{SITE_PACKAGES}/ray/dashboard/client/build/static"].isdir()
    assert ("ray/dashboard/client/build/index.html" in written.files) == has_pages
    assert written.pruned == ({} if has_pages else {"dashboard-ui": (5, 2)})


# --- Parts

RAY = {
    "ray/__init__.py": "",
    "ray/jars/ray_dist.jar": "123",
    "ray/data/__init__.py": "",
    "ray/data/a.pyi": "1",
    "ray/train/__init__.py": "12",
}


def ray(part: str = "", rules: Optional[Sequence[str]] = None) -> Written:
    wheel = make_wheel(
        WHEELS,
        "ray",
        files=RAY,
        entry_points="[console_scripts]\nray = ray.scripts:main\n",
    )
    return Written(piece_of(wheel, part), rules=EVERY_RULE if rules is None else rules)


def test_distribution_is_without_its_parts_whatever_rules_are_on(sandbox: Path) -> None:
    """The layer of Ray itself has no part and reports the size of each, so that all services share the layer."""
    written = ray()
    assert "opt/venv/bin/ray" in written.layer.names
    assert not [name for name in written.files if name.startswith(("ray/jars", "ray/data"))]
    parts = {row.name: (row.saved.bytes, row.saved.files) for row in written.facts.parts}
    assert parts == {"ray-java": (3, 1), "ray-data-train": (3, 3)}
    assert ray(rules=["java", "ray-libraries"]).blob == ray(rules=[]).blob


def test_part_is_what_the_distribution_is_without(sandbox: Path) -> None:
    """The layer of a part has the part's files, without metadata and commands; fixed rules apply to it, too."""
    written = ray("ray-data-train")
    assert sorted(written.layer.contents) == [
        f"{SITE_PACKAGES}/ray/data/__init__.py",
        f"{SITE_PACKAGES}/ray/train/__init__.py",
    ]
    assert written.pruned == {"type-stubs": (1, 1)}
    assert written.facts.parts == ()


def test_distribution_and_its_part_may_be_in_one_layer(sandbox: Path) -> None:
    """A distribution and its part can share a layer, as with a small budget; no path is there twice."""
    wheel = make_wheel(WHEELS, "ray", files=RAY)
    both = Written(piece_of(wheel), piece_of(wheel, "ray-java"))
    assert both.files == ["ray/__init__.py", "ray/jars/ray_dist.jar"]
    assert len(both.layer.names) == len(set(both.layer.names))


def test_record_of_a_distribution_lists_nothing_of_its_parts(sandbox: Path) -> None:
    """RECORD lists no file of a part, so no recorded file is missing in an image without the part."""
    record = ray().layer.contents[f"{SITE_PACKAGES}/ray-1.0.dist-info/RECORD"].decode()
    assert "ray/__init__.py" in record
    assert "ray/jars" not in record and "ray/data" not in record


# --- exclude_files


def test_excluded_files_go_and_are_counted(sandbox: Path) -> None:
    """Excluded modules have no bytecode, excluded links are omitted; patterns that excluded a file are reported."""
    wheel = make_wheel(
        WHEELS,
        "ray",
        files={"ray/a.py": "", "ray/b.py": "12"},
        entry_points="[console_scripts]\nray = ray.a:main\nserve = ray.a:main\n",
    )
    patterns = [f"/{SITE_PACKAGES}/ray/b*", "/usr/local/bin/serve", "/opt/venv/bin/nothing"]
    written = Written(piece_of(wheel), exclude_files=patterns, bytecode=True)
    assert not [name for name in written.layer.names if "/b." in name]
    assert "usr/local/bin/ray" in written.layer.names
    assert "usr/local/bin/serve" not in written.layer.names
    assert written.facts.matched == tuple(sorted(patterns[:2]))
    assert written.pruned == {"exclude_files": (2, 1)}


def test_two_contents_of_a_path_that_is_excluded_are_no_error(sandbox: Path) -> None:
    """A path with different content in two distributions can be excluded."""
    pieces = [
        piece_of(make_wheel(WHEELS, name, files={"examples/a.py": name, f"{name}.py": ""}))
        for name in ("bar", "foo")
    ]
    assert Written(*pieces, exclude_files=[f"/{SITE_PACKAGES}/examples"]).files == [
        "bar.py",
        "foo.py",
    ]


def test_unpacked_bytes_are_those_of_what_is_there(sandbox: Path) -> None:
    """The unpacked bytes count the files that stay, without bytecode."""
    written = write({"foo/a.py": "12", "foo/a.h": "1234"}, bytecode=True)
    (size,) = written.facts.unpacked_bytes_of.values()
    pycs = [c for name, c in written.layer.contents.items() if name.endswith(".pyc")]
    contents = written.layer.contents.values()
    assert pycs and size == sum(map(len, contents)) - sum(map(len, pycs))
