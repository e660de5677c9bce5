"""Tests of core.image.oci."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from conftest import (
    CONFIG,
    GZIP_LAYER,
    MANIFEST,
    as_json,
    digest_of,
    make_base_config,
    make_base_manifest,
)

from slim_ray_image.core.base.base_manifest import parse_base_image
from slim_ray_image.core.image.oci import (
    LAYOUT_FILE,
    BaseImage,
    BuiltLayer,
    Descriptor,
    Image,
    ImageSettings,
    append_layers,
    archive_index,
    blob_path,
    docker_archive_manifest,
    encode,
    layout_index,
)
from slim_ray_image.core.platforms import LINUX_AMD64

REFERENCE = "python:3.10-slim"
SETTINGS = ImageSettings(
    user="1000:100",
    workdir="/app",
    env=(),
    ports=(),
    labels=(),
    entrypoint=None,
    cmd=None,
    stop_signal=None,
)


def make_base(reference: str = REFERENCE, **config_changes: Any) -> BaseImage:
    config = as_json(make_base_config(**config_changes))
    manifest = as_json(make_base_manifest(config))
    return parse_base_image(reference, "a mirror", manifest, config, LINUX_AMD64)


def make_layer(name: str) -> BuiltLayer:
    blob = f"blob of {name}".encode()
    return BuiltLayer(
        name=name,
        kind="distribution",
        descriptor=Descriptor(GZIP_LAYER, digest_of(blob), len(blob)),
        diff_id=digest_of(f"tar of {name}".encode()),
        unpacked_bytes=10,
        file_count=1,
    )


def append(
    base: Optional[BaseImage] = None, *names: str, settings: ImageSettings = SETTINGS
) -> Image:
    layers = [make_layer(name) for name in names]
    return append_layers(base or make_base(), layers, settings, LINUX_AMD64)


def container_config(image: Image) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(image.config)["config"]
    return config


def with_settings(base_config: Any = None, **changes: Any) -> dict[str, Any]:
    """Return the image config's `config` for a target with `changes`, on a base with `base_config`."""
    values = {**SETTINGS.__dict__, **changes}
    base = make_base(config=base_config) if base_config is not None else make_base()
    return container_config(append(base, settings=ImageSettings(**values)))


# --- Bytes and descriptors


def test_encoding_has_one_spelling() -> None:
    """Equal values give equal bytes: sorted keys, no spaces, unescaped UTF-8."""
    value = {"b": [1, None], "a": "é"}
    assert encode(value) == '{"a":"é","b":[1,null]}'.encode()
    assert encode(dict(reversed(list(value.items())))) == encode(value)


def test_descriptor_is_read_and_written_as_json() -> None:
    """A descriptor keeps its three fields; the path of a blob in a layout is its hex digest."""
    value = {"mediaType": GZIP_LAYER, "digest": digest_of(b"x"), "size": 1}
    descriptor = Descriptor.from_json({**value, "annotations": {}})
    assert descriptor.to_json() == value
    assert blob_path(descriptor) == f"blobs/sha256/{digest_of(b'x')[7:]}"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(
            {"Env": ["LANG=C", "PATH=/opt/bin:/bin", "OPTIONS=a=b"]},
            {"LANG": "C", "PATH": "/opt/bin:/bin", "OPTIONS": "a=b"},
            id="PATH",
        ),
        pytest.param(
            {"Env": ["LANG=C"]},
            {"LANG": "C", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            id="no PATH",
        ),
        pytest.param(
            None,
            {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            id="no config",
        ),
    ],
)
def test_environment_of_a_base_is_that_of_its_containers(
    config: Optional[dict[str, Any]], expected: dict[str, str]
) -> None:
    """If the config has no PATH, the environment has the PATH that container engines set."""
    assert make_base(config=config).environment == expected


def test_base_layers_are_untouched_and_first() -> None:
    """The base's descriptors, diff_ids and history come first, unchanged."""
    base = make_base()
    base_config = json.loads(base.config)
    image = append(base, "ray", "sources")
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    assert image.layers[:2] == base.layers
    assert manifest["layers"][:2] == [layer.to_json() for layer in base.layers]
    assert config["rootfs"]["diff_ids"][:2] == base_config["rootfs"]["diff_ids"]
    assert config["history"][:3] == base_config["history"]


def test_layers_follow_in_their_order() -> None:
    """Our layers follow the base's, lowest first, each with its descriptor, diff_id and history entry."""
    layers = [make_layer("ray"), make_layer("sources")]
    image = append(None, "ray", "sources")
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    assert image.layers[2:] == tuple(layer.descriptor for layer in layers)
    assert manifest["layers"][2:] == [layer.descriptor.to_json() for layer in layers]
    assert config["rootfs"]["diff_ids"][2:] == [layer.diff_id for layer in layers]
    assert config["history"][3:] == [
        {"created": "1970-01-01T00:00:00Z", "created_by": "slim_ray_image", "comment": "ray"},
        {"created": "1970-01-01T00:00:00Z", "created_by": "slim_ray_image", "comment": "sources"},
    ]


@pytest.mark.parametrize("names", [(), ("sources",), ("ray", "distributions", "sources")])
def test_layers_diff_ids_and_non_empty_history_are_as_many(names: tuple[str, ...]) -> None:
    """There is one diff_id and one non-empty history entry for each layer."""
    image = append(None, *names)
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    non_empty = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert (
        len(image.layers)
        == len(manifest["layers"])
        == len(config["rootfs"]["diff_ids"])
        == len(non_empty)
        == 2 + len(names)
    )


def test_every_descriptor_has_its_blob_s_size_and_digest() -> None:
    """The descriptors of manifest and config have the digest and size of the bytes that are written."""
    image = append(None, "ray", "sources")
    manifest = json.loads(image.manifest)
    assert image.manifest_descriptor == Descriptor(
        MANIFEST, digest_of(image.manifest), len(image.manifest)
    )
    assert image.config_descriptor == Descriptor(CONFIG, digest_of(image.config), len(image.config))
    assert manifest["config"] == image.config_descriptor.to_json()
    (indexed,) = json.loads(layout_index(image, ["latest"]))["manifests"]
    assert Descriptor.from_json(indexed) == image.manifest_descriptor


def test_same_input_twice_is_the_same_image() -> None:
    """Equal bases, layers and settings give equal bytes; another layer gives other bytes."""
    assert append(make_base(), "ray", "sources") == append(make_base(), "ray", "sources")
    assert append(None, "ray").manifest != append(None, "sources").manifest


def test_base_is_named_in_annotations() -> None:
    """The manifest's annotations have the name and the digest of the base image."""
    base = make_base()
    assert json.loads(append(base).manifest)["annotations"] == {
        "org.opencontainers.image.base.name": REFERENCE,
        "org.opencontainers.image.base.digest": base.manifest_digest,
    }


def test_local_base_is_named_by_digest_alone() -> None:
    """The path of a local base is not in the image, so that another machine builds the same image."""
    base = make_base(reference="oci:/home/me/base:3.10")
    assert json.loads(append(base).manifest)["annotations"] == {
        "org.opencontainers.image.base.digest": base.manifest_digest
    }
    assert append(base) == append(make_base(reference="oci:elsewhere"))


def test_source_of_the_base_is_no_part_of_the_image() -> None:
    """The same base from a mirror gives the same image."""
    config = as_json(make_base_config())
    manifest = as_json(make_base_manifest(config))
    images = [
        append(parse_base_image(REFERENCE, source, manifest, config, LINUX_AMD64), "ray")
        for source in ("python:3.10-slim", "localhost:5000/mirror")
    ]
    assert images[0] == images[1]


def test_image_was_created_at_the_epoch() -> None:
    """By default the image was created at the epoch, whatever the clock says."""
    assert json.loads(append(None, "ray").config)["created"] == "1970-01-01T00:00:00Z"


def test_fields_of_a_docker_daemon_are_dropped() -> None:
    """Fields that only a Docker daemon writes are dropped from the base's config; all other fields are kept."""
    base = make_base(
        container="c0ffee",
        container_config={"Hostname": "c0ffee"},
        docker_version="20.10",
        id="1",
        parent="2",
        author="me",
        variant="v2",
    )
    config = json.loads(append(base, "ray").config)
    assert sorted(config) == [
        "architecture",
        "author",
        "config",
        "created",
        "history",
        "os",
        "rootfs",
        "variant",
    ]


@pytest.mark.parametrize("missing", ["history", "config"])
@pytest.mark.parametrize("is_null", [True, False])
def test_base_may_lack_what_is_optional(missing: str, is_null: bool) -> None:
    """A history or container config that is missing or null counts as empty."""
    fields = make_base_config(**{missing: None})
    if not is_null:
        del fields[missing]
    config = as_json(fields)
    manifest = as_json(make_base_manifest(config))
    base = parse_base_image(REFERENCE, "a mirror", manifest, config, LINUX_AMD64)
    image = append(base, "ray")
    assert [e["comment"] for e in json.loads(image.config)["history"] if "comment" in e] == ["ray"]
    assert container_config(image)["WorkingDir"] == "/app"


# --- Settings of the target


def test_user_and_working_directory_are_the_target_s() -> None:
    """The base's user and working directory are replaced; fields that no target sets are kept."""
    assert with_settings(
        {"User": "root", "WorkingDir": "/", "StopSignal": "SIGINT", "Volumes": {"/data": {}}},
        user="1000:100",
        workdir="/srv",
    ) == {
        "User": "1000:100",
        "WorkingDir": "/srv",
        "StopSignal": "SIGINT",
        "Volumes": {"/data": {}},
        "Env": [],
    }


def test_environment_replaces_entries_of_the_same_name_in_place() -> None:
    """The base's variables keep their order, ours replace values in place, and new variables follow."""
    config = with_settings(
        {"Env": ["PATH=/bin", "LANG=C", "EMPTY=", "EQUALS=a=b"]},
        env=(("NEW", "x=y"), ("LANG", "C.UTF-8")),
    )
    assert config["Env"] == ["PATH=/bin", "LANG=C.UTF-8", "EMPTY=", "EQUALS=a=b", "NEW=x=y"]


def test_ports_are_tcp_and_join_the_base_s() -> None:
    """Ports of the target are exposed in addition to the base's."""
    assert with_settings({"ExposedPorts": {"53/udp": {}}}, ports=(8000, 8265))["ExposedPorts"] == {
        "53/udp": {},
        "8000/tcp": {},
        "8265/tcp": {},
    }
    assert with_settings({"ExposedPorts": None}, ports=(80,))["ExposedPorts"] == {"80/tcp": {}}


def test_labels_join_the_base_s_and_win() -> None:
    """Labels of the target are added to the base's, and replace values of the same name."""
    assert with_settings({"Labels": {"a": "1", "b": "2"}}, labels=(("b", "3"), ("c", "4")))[
        "Labels"
    ] == {"a": "1", "b": "3", "c": "4"}
    assert with_settings({"Labels": None}, labels=(("a", "1"),))["Labels"] == {"a": "1"}


def test_labels_of_the_plugin_s_containers_are_not_taken_from_the_base() -> None:
    """Labels that the plugin sets on its containers are dropped from the base's labels."""
    own = {"slim-ray-image.smoke-test": "x", "slim-ray-image.smoke-test.until": "1\n2"}
    others = {"slim-ray-image": "a", "com.example.slim-ray-image.x": "b"}
    assert with_settings({"Labels": {**own, **others}})["Labels"] == others
    assert with_settings({"Labels": own}, labels=(("c", "d"),))["Labels"] == {"c": "d"}
    assert with_settings({"Labels": own})["Labels"] == {}


def test_no_ports_and_no_labels_leave_the_base_s_fields_as_they_are() -> None:
    """A target without ports and labels adds no empty fields."""
    config = with_settings({"Labels": {"a": "1"}})
    assert config["Labels"] == {"a": "1"}
    assert "ExposedPorts" not in config


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        pytest.param(None, None, (["base-entry"], ["base-cmd"]), id="neither keeps both"),
        pytest.param(None, ("serve",), (["base-entry"], ["serve"]), id="cmd alone"),
        pytest.param(None, (), (["base-entry"], []), id="empty cmd"),
        pytest.param(("tini",), None, (["tini"], None), id="entrypoint drops the base's cmd"),
        pytest.param(("tini",), ("serve",), (["tini"], ["serve"]), id="both"),
        pytest.param((), None, ([], None), id="empty entrypoint"),
    ],
)
def test_entrypoint_and_cmd_are_docker_s(
    entrypoint: Optional[tuple[str, ...]],
    cmd: Optional[tuple[str, ...]],
    expected: tuple[Optional[list[str]], Optional[list[str]]],
) -> None:
    """Entrypoint and Cmd replace the base's like in `docker build`: a new Entrypoint drops the base's Cmd."""
    config = with_settings(
        {"Entrypoint": ["base-entry"], "Cmd": ["base-cmd"]}, entrypoint=entrypoint, cmd=cmd
    )
    assert (config.get("Entrypoint"), config.get("Cmd")) == expected


def test_stop_signal_of_the_target_wins() -> None:
    """The base's stop signal is kept unless the target sets another."""
    assert with_settings({"StopSignal": "SIGQUIT"}, stop_signal="SIGINT")["StopSignal"] == "SIGINT"
    assert with_settings({"StopSignal": "SIGQUIT"})["StopSignal"] == "SIGQUIT"
    assert "StopSignal" not in with_settings({})


# --- Layouts


def test_layout_names_the_image_by_tag_and_platform() -> None:
    """index.json of a layout points at the manifest, with its tag and platform."""
    image = append(None, "ray")
    assert json.loads(layout_index(image, ["1.0"])) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": digest_of(image.manifest),
                "size": len(image.manifest),
                "annotations": {"org.opencontainers.image.ref.name": "1.0"},
                "platform": {"os": "linux", "architecture": "amd64"},
            }
        ],
    }
    assert json.loads(LAYOUT_FILE) == {"imageLayoutVersion": "1.0.0"}


def test_layout_has_an_entry_for_each_tag() -> None:
    """An image with several tags is in index.json once for each, always with the same digest."""
    image = append(None, "ray")
    entries = json.loads(layout_index(image, ["1.0", "latest"]))["manifests"]
    names = [entry.pop("annotations")["org.opencontainers.image.ref.name"] for entry in entries]
    assert names == ["1.0", "latest"]
    assert entries[0] == entries[1]
    assert entries[0]["digest"] == digest_of(image.manifest)


def test_archive_names_the_image_in_full_for_containerd() -> None:
    """index.json of an archive has the tag, like a layout, and the full name with the default registry filled in."""
    image = append(None, "ray")
    index = json.loads(archive_index(image, ["app:1", "registry.example.com/team/app:2"]))
    assert [entry["annotations"] for entry in index["manifests"]] == [
        {
            "io.containerd.image.name": "docker.io/library/app:1",
            "org.opencontainers.image.ref.name": "1",
        },
        {
            "io.containerd.image.name": "registry.example.com/team/app:2",
            "org.opencontainers.image.ref.name": "2",
        },
    ]
    assert {entry["digest"] for entry in index["manifests"]} == {digest_of(image.manifest)}


def test_docker_archive_names_config_and_layers_by_their_place_in_the_layout() -> None:
    """manifest.json of a Docker archive points at the layout's own blobs, layers lowest first."""
    image = append(None, "ray")
    assert json.loads(docker_archive_manifest(image, ["example/app:1", "example/app:2"])) == [
        {
            "Config": f"blobs/sha256/{digest_of(image.config)[7:]}",
            "RepoTags": ["example/app:1", "example/app:2"],
            "Layers": [
                f"blobs/sha256/{digest_of(blob)[7:]}"
                for blob in (b"blob 1", b"blob 2", b"blob of ray")
            ],
        }
    ]
