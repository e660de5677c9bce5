"""A RayService manifest of two applications: one image of both, and one of each, in Docker; and Ray on our schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
import yaml
from conftest import Golden
from serve_configs import ACCEPTED, REFUSED

from integration.conftest import executable
from integration.container import RESTRICTED, Docker, Service, loaded_images
from integration.failures import assert_fails, message_of
from integration.registry import free_port
from integration.repository import PackagedImage, Repository

pytestmark = pytest.mark.integration

FOLDER = "src/services/shop"
MANIFEST = f"{FOLDER}/rayservice.yaml"
CONFIG = "/app/serve_config.yaml"
# Path -> answer, of each application.
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "fruit": {"/fruit": ["apple", "banana", "cherry"]},
    "prices": {"/prices?name=cherry": {"name": "cherry", "price": "4.41 EUR"}},
}
# Ray's own opinion of configs: that of its schema, and of what it looks at when it deploys one.
ASK_RAY = """\
import json, sys, yaml
from ray.runtime_env import RuntimeEnv
from ray.serve._private.utils import validate_route_prefix
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from ray.serve.schema import ServeDeploySchema

def takes(text):
    try:
        config = ServeDeploySchema.parse_obj(yaml.safe_load(text))
        for application in config.applications:
            validate_route_prefix(application.route_prefix)
            RuntimeEnv(**application.runtime_env)
            for deployment in application.deployments:
                options = deployment.ray_actor_options
                RuntimeEnv(**(options.runtime_env if hasattr(options, "runtime_env") else {}))
                scaling = deployment.autoscaling_config
                if deployment.num_replicas == "auto":
                    scaling = {**AutoscalingConfig.default().dict(), **(scaling or {})}
                if isinstance(scaling, dict):
                    AutoscalingConfig(**scaling)
                router = deployment.request_router_config
                if isinstance(router, dict):
                    router.pop("request_router_class", None)  # which is not here
                    RequestRouterConfig(**router)
    except (TypeError, ValueError):
        return False
    return True

print(json.dumps({name: takes(text) for name, text in json.loads(sys.argv[1]).items()}))
"""


@pytest.fixture(scope="module")
def packaged(shared_repository: Repository, workspace: Path) -> dict[str, PackagedImage]:
    """The image of both applications, and of each, by one run; moved to where later runs do not write."""
    run = shared_repository.pants("package", f"{FOLDER}:image", f"{FOLDER}:apart")
    targets = {
        "both": f"{FOLDER}:image",
        "fruit": f"{FOLDER}:fruit",
        "prices": f"{FOLDER}:prices",
    }
    return {
        name: PackagedImage(target, shared_repository.output_of(target), run).move_to(
            workspace / f"shop-{name}"
        )
        for name, target in targets.items()
    }


@pytest.fixture(scope="module")
def images(docker: Docker, packaged: dict[str, PackagedImage]) -> Iterator[dict[str, str]]:
    """The images in Docker, under names of this run alone."""
    layouts = {name: image.folder / "oci" for name, image in packaged.items()}
    with loaded_images(docker, executable("skopeo"), layouts) as loaded:
        yield loaded


def check_answers(service: Service, *names: str) -> None:
    """Ask all of some applications, as soon as they are there."""
    for name in names:
        for path, answer in ANSWERS[name].items():
            service.await_ready(path)
            assert service.ask_json("GET", path) == answer


# --- Packaged


def test_image_of_a_manifest_serves_both(packaged: dict[str, PackagedImage]) -> None:
    """Names, routes and import paths are in image.json, and why each file is there, by line of the manifest."""
    described = packaged["both"].description
    assert described["serve_config"] == CONFIG
    assert described["applications"] == [
        {"name": "fruit", "route_prefix": "/fruit", "import_path": "services.shop.fruit:app"},
        {
            "name": "prices",
            "route_prefix": "/prices",
            "import_path": "services.shop.prices:build",
            "args": ["currency", "discount"],
        },
    ]
    reasons = {row["path"]: row["reason"] for row in described["files"]}
    assert reasons["services/shop/fruit.py"] == f"application 'fruit' at {MANIFEST}:15"
    assert reasons["services/shop/prices.py"] == f"application 'prices' at {MANIFEST}:23"
    assert reasons["serve_config.yaml"] == f"`serve_config` of {FOLDER}:image"


def test_image_of_one_application_has_the_code_of_that_alone(
    packaged: dict[str, PackagedImage],
) -> None:
    """The generated images are named as the applications are; what they import is shared, what they are is not."""
    for name, other in (("fruit", "prices"), ("prices", "fruit")):
        described = packaged[name].description
        assert described["target"] == f"{FOLDER}:apart#{name}"
        assert described["reference"] == [f"{name}:latest"]
        assert [row["name"] for row in described["applications"]] == [name]
        paths = {row["path"] for row in described["files"]}
        assert {f"services/shop/{name}.py", "libs/catalog/goods.py", "serve_config.yaml"} <= paths
        assert f"services/shop/{other}.py" not in paths


def test_edit_of_the_manifest_changes_the_image(
    repository: Repository, packaged: dict[str, PackagedImage]
) -> None:
    """Without one of its applications, the image is without its code; nothing but its own layer is written again."""
    text = repository.read(MANIFEST)
    start, end = text.index("      - name: prices"), text.index("  rayClusterConfig:")
    repository.write(MANIFEST, text[:start] + text[end:])
    # Nor may `overrides` say anything of it.
    build = repository.read(f"{FOLDER}/BUILD").splitlines(keepends=True)
    repository.write(f"{FOLDER}/BUILD", "".join(line for line in build if "overrides=" not in line))
    image = repository.package(f"{FOLDER}:image")
    paths = {row["path"] for row in image.description["files"]}
    assert "services/shop/prices.py" not in paths
    assert [row["name"] for row in image.description["applications"]] == ["fruit"]
    written = [what for what in image.run.started if what.startswith("Write the layer")]
    assert written == [f"Write the layer of 7 first-party files of {FOLDER}:image"]


# --- In Docker


@pytest.mark.parametrize(
    ("name", "served"),
    [("both", ["fruit", "prices"]), ("fruit", ["fruit"]), ("prices", ["prices"])],
)
def test_image_serves_its_config_by_default(
    name: str, served: list[str], docker: Docker, images: dict[str, str]
) -> None:
    """The default command serves each application at its own route prefix, with its `args`, and no other one."""
    port = free_port()
    published = ("--publish", f"127.0.0.1:{port}:8000")
    with docker.running(*RESTRICTED, *published, images[name]) as container:
        service = Service(docker, container, port)
        check_answers(service, *served)
        routes = service.ask_json("GET", "/-/routes")
        assert routes == {f"/{application}": application for application in served}


@pytest.mark.parametrize(
    ("name", "served"),
    [("both", ["fruit", "prices"]), ("fruit", ["fruit"]), ("prices", ["prices"])],
)
def test_config_is_deployed_by_rest(
    name: str,
    served: list[str],
    docker: Docker,
    images: dict[str, str],
    packaged: dict[str, PackagedImage],
) -> None:
    """As KubeRay does: a head that is started by a shell, and the config put to its dashboard."""
    port, dashboard = free_port(), free_port()
    start = "ray start --head --dashboard-host=0.0.0.0 --num-cpus=1 --block"
    published = (
        *("--publish", f"127.0.0.1:{port}:8000"),
        *("--publish", f"127.0.0.1:{dashboard}:8265"),
    )
    command = ("/bin/bash", "-c", "--", f"ulimit -n 65536; {start}")
    with docker.running(*RESTRICTED, *published, images[name], *command) as container:
        head = Service(docker, container, dashboard)
        head.await_ready("/api/serve/applications/")
        config = yaml.safe_load(docker("exec", container, "cat", CONFIG))
        assert [application["name"] for application in config["applications"]] == served
        data = json.dumps(config).encode()
        head.ask("PUT", "/api/serve/applications/", data, "application/json")
        check_answers(Service(docker, container, port), *served)


def test_ray_takes_and_refuses_what_we_do(docker: Docker, images: dict[str, str]) -> None:
    """The Ray of the image agrees with every case that our table of its schema is tested by."""
    corpus = json.dumps({**ACCEPTED, **REFUSED})
    program = ("python", "-c", ASK_RAY, corpus)
    answers = json.loads(docker("run", "--rm", "--network=none", images["fruit"], *program))
    assert {name for name, taken in answers.items() if taken} == set(ACCEPTED)


# --- What must agree


def test_other_ray_in_the_manifest_is_an_error(repository: Repository, golden: Golden) -> None:
    """KubeRay would choose commands and probes for a Ray that the image has not."""
    text = repository.read(MANIFEST)
    repository.write(MANIFEST, text.replace('rayVersion: "2.48.0"', 'rayVersion: "2.46.0"'))
    error = assert_fails(repository, f"{FOLDER}:image")
    golden.check("errors/package_other_ray_in_the_manifest.txt", message_of(error))


def test_base_of_another_python_than_the_resolve_s_is_an_error(repository: Repository) -> None:
    """The wheels of the lock may be for it, but nobody said that the code is."""
    constraints = "+{'ray-default': ['CPython==3.11.*']}"
    option = f"--python-resolves-to-interpreter-constraints={constraints}"
    error = assert_fails(repository, f"{FOLDER}:image", option)
    assert "which the resolve 'ray-default' is not for" in error
    assert "its interpreter constraints are 'CPython==3.11.*'" in error


def test_base_past_its_end_of_life_is_told_once(
    repository: Repository, packaged: dict[str, PackagedImage]
) -> None:
    """One warning with the date for all images on it; and the images are what they are without it."""
    targets = (f"{FOLDER}:image", f"{FOLDER}:apart")
    run = repository.pants("--slim-ray-warn-end-of-life", "package", *targets)
    assert run.output.count("whose end of life was in October 2026") == 1
    assert "end of life" not in packaged["both"].run.output
    for image in packaged.values():
        again = PackagedImage(image.target, repository.output_of(image.target), run)
        assert again.description["manifest_digest"] == image.description["manifest_digest"]
