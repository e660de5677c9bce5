"""Tests in Docker of the images of a RayService manifest of two applications, and of our schema against Ray's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
import yaml
from harness.container import RESTRICTED, Docker, Service, loaded_images
from harness.examples import SHOP_CONFIG, package_shop
from harness.registry import free_port
from harness.repository import PackagedImage, Repository
from needs import needs, program
from serve_configs import ACCEPTED, REFUSED

pytestmark = needs("base", "docker", "skopeo")

# Application -> path -> answer.
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "fruit": {"/fruit": ["apple", "banana", "cherry"]},
    "prices": {"/prices?name=cherry": {"name": "cherry", "price": "4.41 EUR"}},
}
# Asks Ray itself whether configs are valid: by its schema, and by its checks when it deploys a config.
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
    """The image of both applications, and an image of each, packaged by one run."""
    return package_shop(shared_repository, workspace)


@pytest.fixture(scope="module")
def images(docker: Docker, packaged: dict[str, PackagedImage]) -> Iterator[dict[str, str]]:
    """The images in Docker, under names of this run alone."""
    layouts = {name: image.folder / "oci" for name, image in packaged.items()}
    with loaded_images(docker, program("skopeo"), layouts) as loaded:
        yield loaded


def check_answers(service: Service, *names: str) -> None:
    """Check the answers of these applications, as soon as they are ready."""
    for name in names:
        for path, answer in ANSWERS[name].items():
            service.await_ready(path)
            assert service.ask_json("GET", path) == answer


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
    """A shell starts a head, and a PUT of the config to its dashboard deploys the applications, as with KubeRay."""
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
        config = yaml.safe_load(docker("exec", container, "cat", SHOP_CONFIG))
        assert [application["name"] for application in config["applications"]] == served
        data = json.dumps(config).encode()
        head.ask("PUT", "/api/serve/applications/", data, "application/json")
        check_answers(Service(docker, container, port), *served)


def test_ray_takes_and_refuses_what_we_do(docker: Docker, images: dict[str, str]) -> None:
    """The Ray of the image agrees with every test case of our table of its schema."""
    corpus = json.dumps({**ACCEPTED, **REFUSED})
    program = ("python", "-c", ASK_RAY, corpus)
    answers = json.loads(docker("run", "--rm", "--network=none", images["fruit"], *program))
    assert {name for name, taken in answers.items() if taken} == set(ACCEPTED)
