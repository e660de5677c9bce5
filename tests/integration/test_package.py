"""Tests of the output of `pants package` for two example services, which other code than the plugin's reads."""

from __future__ import annotations

import email
import os
import posixpath
import re
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence
from uuid import uuid4

import pytest
from harness.image_layout import ImageLayout, Layer, path_of, validate_layout
from harness.repository import PackagedImage, Repository
from harness.targets import write_driver
from needs import needs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = needs("base")

SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"
# Imports of the services, with the extras of 3rdparty/python/requirements.txt.
ECHO_IMPORTS = ("ray[serve]",)
RANKER_IMPORTS = ("ray[serve]", "numpy", "pandas", "scikit-learn", "starlette")
# Distributions in the lock for other code of the monorepo.
NOT_IMPORTED = {"jupyter", "matplotlib", "mysql-connector-python", "redis", "seaborn", "sqlalchemy"}
MARKERS = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_version": "3.10",
    "sys_platform": "linux",
}


@pytest.fixture(params=["echo", "ranker"])
def image(request: Any) -> PackagedImage:
    """The image of each of the two packaged services."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def base_image(base_layout: Path) -> ImageLayout:
    return ImageLayout(base_layout)


def own_layers(image: PackagedImage) -> tuple[Layer, ...]:
    return image.layout.layers[-len(image.own_rows) :]


# --- The layout


def test_package_writes_a_layout_and_a_description(image: PackagedImage) -> None:
    """The target's folder in dist/ holds the OCI image layout and image.json, and nothing else."""
    assert sorted(os.listdir(image.folder)) == ["image.json", "oci"]
    assert sorted(os.listdir(image.folder / "oci")) == ["blobs", "index.json", "oci-layout"]


def test_layout_is_valid(image: PackagedImage) -> None:
    """Each descriptor's size and digest match its blob, and each diff_id matches the unpacked tar."""
    assert validate_layout(image.folder / "oci") == []


def test_description_names_what_the_layout_holds(image: PackagedImage) -> None:
    """Digests, media types and sizes in image.json agree with the layout."""
    description, layout = image.description, image.layout
    assert description["schema_version"] == 1
    assert description["target"] == image.target
    assert description["manifest_digest"] == layout.manifest_descriptor["digest"]
    assert description["config_digest"] == layout.manifest["config"]["digest"]
    assert [
        Layer(row["media_type"], row["digest"], row["compressed_bytes"], row["diff_id"])
        for row in description["layers"]
    ] == list(layout.layers)


def test_output_names_the_image(image: PackagedImage) -> None:
    """The last lines of the run name the folder and the digest."""
    folder = image.target.replace("/", ".").replace(":", "/")
    assert f"Wrote dist/{folder}\n" in image.run.output
    assert f"Image {image.description['manifest_digest']} for linux/amd64" in image.run.output


# --- The image config


def test_config_says_how_a_service_runs(echo: PackagedImage, base_image: ImageLayout) -> None:
    """User, working directory, port and command fit a Ray service; the base's environment is kept."""
    config, base = echo.layout.config["config"], base_image.config["config"]
    assert config["User"] == "1000:100"
    assert config["WorkingDir"] == "/app"
    assert config["ExposedPorts"] == {"8000/tcp": {}}
    assert config["Cmd"] == ["serve", "run", "services.echo.app:app"]
    assert "Entrypoint" not in config
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    base_environment = dict(entry.split("=", 1) for entry in base["Env"])
    assert environment == {
        **base_environment,
        "PATH": f"/opt/venv/bin:{base_environment['PATH']}",
        "PYTHONPATH": "/app",
        "HOME": "/home/ray",
        "RAY_SERVE_DEFAULT_HTTP_HOST": "0.0.0.0",
    }


def test_config_holds_no_time_of_the_build(image: PackagedImage) -> None:
    """The image, and each of our layers, were created at the start of the epoch."""
    ours = image.layout.config["history"][-len(image.own_rows) :]
    assert image.layout.config["created"] == "1970-01-01T00:00:00Z"
    assert {entry["created"] for entry in ours} == {"1970-01-01T00:00:00Z"}


# --- The layers


def test_base_layers_are_first_and_untouched(image: PackagedImage, base_image: ImageLayout) -> None:
    """The lowest layers are the base's, by digest, diff_id and history, and the layout has their blobs."""
    count = len(base_image.layers)
    assert image.layout.layers[:count] == base_image.layers
    assert [row["kind"] for row in image.description["layers"]].count("base") == count
    history = base_image.config["history"]
    assert image.layout.config["history"][: len(history)] == history
    for layer in base_image.layers:
        assert image.layout.blob(layer.digest) == base_image.blob(layer.digest)


def test_layers_leave_the_base_directories_alone(
    image: PackagedImage, base_image: ImageLayout
) -> None:
    """None of our layers has an entry for a directory or a symlink of the base, such as /bin."""
    taken = {
        path_of(entry)
        for layer in base_image.layers
        for entry in base_image.entries(layer)
        if entry.isdir() or entry.issym()
    }
    assert "/bin" in taken
    for layer in own_layers(image):
        assert taken.isdisjoint(image.layout.paths(layer))


def test_no_layer_writes_over_another_of_ours(image: PackagedImage) -> None:
    """Each file is in only one of our layers, so no file is stored twice and the order of layers does not matter."""
    seen: set[str] = set()
    for layer in own_layers(image):
        files = {path_of(e) for e in image.layout.entries(layer) if not e.isdir()}
        assert seen.isdisjoint(files)
        seen |= files


def test_each_entry_comes_after_its_directory(
    image: PackagedImage, base_image: ImageLayout
) -> None:
    """A layer can be unpacked alone on the base: each entry's folder comes earlier in the layer, or is in the base."""
    below = {"/"} | {
        path_of(entry)
        for layer in base_image.layers
        for entry in base_image.entries(layer)
        if entry.isdir() or entry.issym()
    }
    for layer in own_layers(image):
        known = set(below)
        for entry in image.layout.entries(layer):
            assert posixpath.dirname(path_of(entry)) in known, path_of(entry)
            if entry.isdir():
                known.add(path_of(entry))


def test_entries_hold_nothing_of_the_machine(image: PackagedImage) -> None:
    """Times, owners and modes are the same on all machines: the epoch, numbers without names, 0644 and 0755."""
    entries = [entry for layer in own_layers(image) for entry in image.layout.entries(layer)]
    assert {entry.mtime for entry in entries} == {0}
    assert {(entry.uname, entry.gname) for entry in entries} == {("", "")}
    assert {oct(entry.mode) for entry in entries if not entry.issym()} == {"0o644", "0o755"}
    owned = {path_of(entry) for entry in entries if (entry.uid, entry.gid) != (0, 0)}
    assert owned == {"/app", "/home/ray"}


def test_large_distributions_are_shared(echo: PackagedImage, ranker: PackagedImage) -> None:
    """Each distribution with a layer of its own in both services has the same layer digest in both."""

    def single(image: PackagedImage) -> dict[str, str]:
        return {
            row["name"]: row["digest"] for row in image.own_rows if row["kind"] == "distribution"
        }

    ours, theirs = single(echo), single(ranker)
    both = set(ours) & set(theirs)
    assert both == set(ours)
    assert {"ray", "grpcio"} <= both
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}


def test_edit_of_a_source_changes_one_layer(repository: Repository, echo: PackagedImage) -> None:
    """After an edit of one line in a service, one layer differs and one is written."""
    for name in ("BUILD", "__init__.py", "app.py"):
        content = repository.read(f"src/services/echo/{name}").replace(
            "services.echo", "services.edited"
        )
        repository.write(f"src/services/edited/{name}", content)
    greeting = f"Greetings {uuid4().hex} from"  # No earlier run has packaged this content.
    before = repository.package("src/services/edited:image")
    layers_before = before.layout.layers
    app = repository.read("src/services/edited/app.py")
    repository.write("src/services/edited/app.py", app.replace("Hello from", greeting))
    after = repository.package("src/services/edited:image")
    assert layers_before[:-1] == after.layout.layers[:-1] == echo.layout.layers[:-1]
    assert layers_before[-1] != after.layout.layers[-1]
    assert [name for name in after.run.started if name.startswith("Write the layer")] == [
        "Write the layer of 7 first-party files of src/services/edited:image"
    ]


# --- Requirements


@cache
def installed_metadata(image: PackagedImage) -> dict[str, Message]:
    """Return the METADATA of each distribution in the image's layers."""
    found = [
        email.message_from_bytes(content)
        for path, content in image.layout.read(".dist-info/METADATA").items()
        # Ray has copies of some distributions in folders of its own.
        if posixpath.dirname(posixpath.dirname(path)) == SITE_PACKAGES
    ]
    return {canonicalize_name(metadata["Name"]): metadata for metadata in found}


def required_distributions(metadata: Message, extras: Iterable[str]) -> Iterator[Requirement]:
    """Yield the requirements of a distribution on the image's platform, with these extras."""
    for line in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(line)
        markers = ({**MARKERS, "extra": extra} for extra in ("", *extras))
        if requirement.marker is None or any(map(requirement.marker.evaluate, markers)):
            yield requirement


def reachable(metadata: Mapping[str, Message], imports: Sequence[str]) -> set[str]:
    """Return the names of all distributions that the imports need, also those without metadata in the image."""
    queue, done = [Requirement(text) for text in imports], set()
    while queue:
        requirement = queue.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        if name in metadata:
            queue += required_distributions(metadata[name], extras)
    return {name for name, _ in done}


def locked_versions(repository: Repository) -> dict[str, set[str]]:
    lines = repository.read("3rdparty/python/ray.lock").splitlines()
    locked: dict[str, set[str]] = {}
    for match in filter(None, (re.match(r"([\w.-]+)==([^\s;]+)", line) for line in lines)):
        locked.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return locked


@pytest.mark.parametrize(
    ("service", "imports"), [("echo", ECHO_IMPORTS), ("ranker", RANKER_IMPORTS)]
)
def test_image_holds_what_its_imports_need_and_no_more(
    service: str, imports: Sequence[str], request: pytest.FixtureRequest
) -> None:
    """The image has exactly the distributions that are reachable from the imports by the METADATA in the image."""
    image: PackagedImage = request.getfixturevalue(service)
    metadata = installed_metadata(image)
    assert set(metadata) == reachable(metadata, imports)
    assert image.distributions == set(metadata)


def test_image_lacks_what_the_service_does_not_import(
    echo: PackagedImage, ranker: PackagedImage
) -> None:
    """Requirements of other code of the monorepo are in neither image, and requirements of ranker are not in echo's."""
    assert NOT_IMPORTED.isdisjoint(echo.distributions | ranker.distributions)
    assert {"numpy", "pandas", "scipy", "scikit-learn"}.isdisjoint(echo.distributions)
    assert {"numpy", "pandas", "scipy", "scikit-learn"} <= ranker.distributions


def test_versions_are_locked(image: PackagedImage, repository: Repository) -> None:
    """Each distribution has the version of the lockfile, in image.json and in its METADATA."""
    locked, metadata = locked_versions(repository), installed_metadata(image)
    for row in image.description["requirements"]:
        assert row["version"] in locked[row["name"]]
        assert row["version"] == metadata[row["name"]]["Version"]


def test_each_requirement_has_a_true_reason(image: PackagedImage, repository: Repository) -> None:
    """Each reason is a line that imports the distribution, or another distribution whose METADATA requires it."""
    metadata = installed_metadata(image)
    for row in image.description["requirements"]:
        assert row["required_by"], row["name"]
        for reason in row["required_by"]:
            at_import = re.fullmatch(r"import of ([\w.]+) at (.+):(\d+)", reason)
            if at_import:
                line = repository.read(at_import[2]).splitlines()[int(at_import[3]) - 1]
                assert re.search(rf"\bimport\b|\b{at_import[1]}\b", line), (reason, line)
            else:
                name, _, version = reason.partition("==")
                assert metadata[name]["Version"] == version
                named = metadata[name].get_all("Requires-Dist") or []
                assert row["name"] in {canonicalize_name(Requirement(n).name) for n in named}


# --- First-party files


def test_files_are_those_the_service_needs(echo: PackagedImage, repository: Repository) -> None:
    """The working directory has the service, and the library that it imports with its resource, and nothing else."""
    paths = {path for layer in own_layers(echo) for path in echo.layout.paths(layer)}
    expected = {
        "libs/__init__.py",
        "libs/text/__init__.py",
        "libs/text/stopwords.txt",
        "libs/text/words.py",
        "services/__init__.py",
        "services/echo/__init__.py",
        "services/echo/app.py",
    }
    in_image = {p for p in paths if p.startswith("/app/") and re.search(r"\.(py|txt)$", p)}
    assert in_image == {f"/app/{path}" for path in expected}
    assert {row["path"] for row in echo.description["files"]} == expected
    for path in expected:
        (content,) = echo.layout.read(f"/app/{path}").values()
        assert content == repository.read(f"src/{path}").encode()


def test_each_file_has_a_reason(image: PackagedImage, repository: Repository) -> None:
    """Each first-party file is described with its source, its size and the reason for it."""
    for row in image.description["files"]:
        assert row["source"] == f"src/{row['path']}"
        assert row["bytes"] == len(repository.read(row["source"]).encode())
        assert row["reason"], row["path"]
    reasons = {row["path"]: row["reason"] for row in image.description["files"]}
    service = "echo" if "echo" in image.target else "ranker"
    assert reasons[f"services/{service}/app.py"] == f"`serve_app` 'services.{service}.app:app'"


# --- Sizes


def sums(rows: Iterable[Mapping[str, Any]], prefix: str) -> dict[str, int]:
    rows = list(rows)
    return {
        f"{prefix}{key}": sum(row[key] for row in rows)
        for key in ("compressed_bytes", "unpacked_bytes")
    }


def test_totals_are_sums(image: PackagedImage) -> None:
    """The totals in image.json are the sums over all layers, and over our own."""
    description = image.description
    assert description["totals"] == {
        **sums(description["layers"], ""),
        **sums(image.own_rows, "app_"),
    }


def test_layer_sizes_are_those_of_their_files(image: PackagedImage) -> None:
    """`unpacked_bytes` and `file_count` of each layer, the base's included, count its regular files."""
    for row, layer in zip(image.description["layers"], image.layout.layers):
        files = [entry for entry in image.layout.entries(layer) if entry.isreg()]
        assert row["file_count"] == len(files), row["name"]
        assert row["unpacked_bytes"] == sum(entry.size for entry in files), row["name"]


def test_each_distribution_is_in_one_layer(image: PackagedImage) -> None:
    """The layers' lists of distributions, together, are the requirements."""
    listed = [name for row in image.own_rows for name in row["distributions"]]
    assert sorted(listed) == sorted(row["name"] for row in image.description["requirements"])


# --- Other targets


def test_entry_point_and_its_arguments_become_the_command(repository: Repository) -> None:
    """A script that needs no distribution gives an image with its arguments in the command, and without a port."""
    write_driver(repository)
    image = repository.package("src/services/driver:image")
    assert validate_layout(image.folder / "oci") == []
    config = image.layout.config["config"]
    assert config["Cmd"] == ["python", "-m", "services.driver.driver", "--rounds", "3"]
    assert "ExposedPorts" not in config
    assert image.distributions == frozenset()


def test_source_date_epoch_is_the_time_of_all_that_is_ours(repository: Repository) -> None:
    """A SOURCE_DATE_EPOCH of `[subprocess-environment].env_vars` is the time of our entries, history and image."""
    driver = write_driver(repository)
    option = "--subprocess-environment-env-vars=+['SOURCE_DATE_EPOCH=1704067200']"
    image = repository.package(driver, option)
    entries = [entry for layer in own_layers(image) for entry in image.layout.entries(layer)]
    assert {entry.mtime for entry in entries} == {1704067200}
    ours = image.layout.config["history"][-len(image.own_rows) :]
    assert image.layout.config["created"] == "2024-01-01T00:00:00Z"
    assert {entry["created"] for entry in ours} == {"2024-01-01T00:00:00Z"}


def test_dependencies_alone_make_an_image(repository: Repository, base_image: ImageLayout) -> None:
    """Files keep their path, Python code loses its source root, and the base's command stays."""
    repository.write("src/services/bundle/note.txt", "A note.\n")
    repository.write(
        "src/services/bundle/BUILD",
        'file(name="note", source="note.txt")\n'
        'slim_ray_image(name="image", dependencies=[":note", "src/libs/text", "3rdparty/python:requirements#numpy"])\n',
    )
    image = repository.package("src/services/bundle:image")
    assert validate_layout(image.folder / "oci") == []
    assert image.layout.config["config"]["Cmd"] == base_image.config["config"]["Cmd"]
    assert image.distributions == {"numpy"}
    reasons = {row["path"]: row["reason"] for row in image.description["files"]}
    assert set(reasons) >= {"src/services/bundle/note.txt", "libs/text/words.py"}
    assert set(reasons.values()) >= {"`dependencies` of src/services/bundle:image"}
