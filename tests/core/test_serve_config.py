"""Tests of core.serve.serve_config, which also cover core.serve.runtime_env."""

from __future__ import annotations

import textwrap
import time

import pytest
import yaml
from conftest import Golden, error_text

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.serve.import_paths import EntryPoint, ImportPath
from slim_ray_image.core.serve.serve_config import (
    Application,
    ImageConfig,
    NamedModule,
    RayVersion,
    ServeConfig,
    parse_image_config,
)

FILE = "src/shop/serve.yaml"
CONFIG = """\
# As `serve build` writes it.
http_options:
  host: 0.0.0.0
  port: 8001
applications:
  - name: fruit
    route_prefix: /fruit
    import_path: shop.fruit:app
  - name: prices
    route_prefix: /prices
    import_path: shop.prices.build
    args: {currency: EUR, discount: 0.1}
"""
FRUIT = Application("fruit", "/fruit", ImportPath("shop.fruit", "app"), (), f"{FILE}:8")
PRICES = Application(
    "prices",
    "/prices",
    ImportPath("shop.prices", "build"),
    ("currency", "discount"),
    f"{FILE}:11",
)
SERVICE = f"""\
apiVersion: ray.io/v1
kind: RayService
metadata: {{name: shop}}
spec:
  serveConfigV2: |
{textwrap.indent(CONFIG, "    ")}\
  rayClusterConfig:
    rayVersion: "2.48.0"
"""
CLUSTER = 'apiVersion: ray.io/v1\nkind: RayCluster\nspec: {rayVersion: "2.9.0"}\n'
OTHER = "apiVersion: v1\nkind: ConfigMap\n"


def job(entrypoint: str, more: str = "") -> str:
    return (
        "apiVersion: ray.io/v1\nkind: RayJob\nspec:\n"
        f"  entrypoint: {entrypoint}\n{textwrap.indent(more, '  ')}"
    )


def parse(text: str, application: str = "") -> ImageConfig:
    return parse_image_config(text, FILE, application)


def serve_of(text: str, application: str = "") -> ServeConfig:
    found = parse(text, application).serve
    assert found is not None
    return found


def message(text: str, application: str = "") -> str:
    return error_text(lambda: parse(text, application))


# --- A Serve config


def test_config_names_its_applications_with_their_lines() -> None:
    """A config has names, routes, import paths in both forms and names of arguments; its text stays the same."""
    assert parse(CONFIG) == ImageConfig(FILE, ServeConfig(CONFIG, (FRUIT, PRICES), (8001,)))
    assert FRUIT.named_by == "application 'fruit' at src/shop/serve.yaml:8"


def test_application_has_ray_s_own_defaults() -> None:
    """Missing keys have Ray Serve's own defaults."""
    config = serve_of("applications: [{import_path: 'a:b'}]\n")
    (application,) = config.applications
    assert (application.name, application.route_prefix) == ("default", "/")
    assert config.ports == (8000,)


@pytest.mark.parametrize("port", ["0", "70000", "'-1'"])
def test_port_that_no_server_can_have_is_an_error(port: str) -> None:
    """A port out of range is an error: Ray's schema accepts it, but its proxy and an image's `ExposedPorts` do not."""
    shown = port
    assert message(CONFIG.replace("8001", port)) == (
        f"The port {shown} in the Serve config in {FILE} is out of range.\n\n"
        f"  * {FILE}:4: http_options.port is {shown}\n\n"
        "To fix, use a port from 1 to 65535."
    )


def test_grpc_port_counts_where_something_is_served_on_it() -> None:
    """The gRPC port counts only with servicer functions: without them, Ray does not open it."""
    text = CONFIG + "grpc_options: {grpc_servicer_functions: [a.b]}\n"
    assert serve_of(text).ports == (8001, 9000)
    assert serve_of(CONFIG + "grpc_options: {port: 9001}\n").ports == (8001,)


def test_modules_that_a_config_names_besides_are_known() -> None:
    """A gRPC servicer belongs to all applications, a request router only to its own."""
    router = "    deployments: [{name: D, request_router_config: {request_router_class: shop.a.Router}}]\n"
    text = CONFIG + router + "grpc_options: {grpc_servicer_functions: ['shop.pb:add']}\n"
    servicer = NamedModule("shop.pb", f"`grpc_servicer_functions` 'shop.pb:add' at {FILE}:14")
    of_router = NamedModule("shop.a", f"`request_router_class` 'shop.a.Router' at {FILE}:13")
    assert serve_of(text).modules == (servicer, of_router)
    assert serve_of(text, "prices").modules == (servicer, of_router)
    assert serve_of(text, "fruit").modules == (servicer,)


def test_one_application_is_served_alone() -> None:
    """The text for one application lacks the other applications, and keeps everything else."""
    config = serve_of(CONFIG, "prices")
    assert config.applications == (PRICES,)
    everything = yaml.safe_load(CONFIG)
    (_, prices) = everything["applications"]
    assert yaml.safe_load(config.text) == {**everything, "applications": [prices]}


def test_config_of_one_application_stays_as_it_is() -> None:
    """If a config has only one application, its text keeps its comments."""
    text = "# Mine.\napplications: [{import_path: 'a:b'}]\n"
    assert serve_of(text, "default").text == text


def test_unknown_application_is_an_error(golden: Golden) -> None:
    """The error for an unknown application lists the known ones."""
    golden.check("errors/serve/serve-config-application-unknown.txt", message(CONFIG, "fish"))


def test_all_problems_are_told_at_once(golden: Golden) -> None:
    """Every problem is reported with file, line, key and value, in the order of the file."""
    text = CONFIG.replace("/prices", "/fruit").replace("8001", "web").replace("fruit:app", "fruit")
    text = text.replace("shop.prices.build", "build")
    golden.check("errors/serve/serve-config-refused.txt", message(text))


def test_key_that_is_ignored_is_told_with_what_is_missing() -> None:
    """Errors list ignored keys too, since one may be the misspelt form of a missing key."""
    text = message(CONFIG.replace("import_path: shop.fruit", "import_paht: shop.fruit"))
    assert f"  * {FILE}:8: applications[0].import_paht is not a key of Ray Serve\n" in text
    assert f"  * {FILE}:6: applications[0].import_path is missing\n" in text


def test_config_without_applications_is_an_error(golden: Golden) -> None:
    """A config without applications is an error, though Ray accepts it: the image would serve nothing."""
    golden.check("errors/serve/serve-config-empty.txt", message("applications: []\n"))


@pytest.mark.parametrize(
    ("name", "text"), [("nothing", "# Later.\n"), ("two-documents", f"{CONFIG}---\n{CONFIG}")]
)
def test_file_of_no_one_config_is_an_error(name: str, text: str, golden: Golden) -> None:
    """A file without exactly one YAML document is an error."""
    golden.check(f"errors/serve/serve-config-{name}.txt", message(text))


def test_text_that_is_no_yaml_is_an_error(golden: Golden) -> None:
    """A text that is not valid YAML, such as a template, is an error."""
    text = "{{ define }}\n" + CONFIG
    golden.check("errors/serve/serve-config-no-yaml.txt", message(text))


# --- Manifests


def test_service_has_the_config_of_its_block() -> None:
    """The config of a RayService is the text of its block, with lines and Ray version of the manifest."""
    config = parse(SERVICE)
    assert config.serve is not None
    assert config.serve.text == CONFIG
    places = [application.place for application in config.serve.applications]
    assert places == [f"{FILE}:13", f"{FILE}:16"]
    assert config.ray_versions == (RayVersion("2.48.0", f"{FILE}:19"),)


@pytest.mark.parametrize("value", ["''", "null"])
def test_empty_version_of_ray_is_none(value: str) -> None:
    """An empty `rayVersion` counts as missing, as it does for KubeRay."""
    assert parse(SERVICE.replace('"2.48.0"', value)).ray_versions == ()


def test_problem_in_a_block_has_the_line_of_the_manifest(golden: Golden) -> None:
    """A problem in the config of a manifest has the line of the manifest's file."""
    golden.check(
        "errors/serve/serve-config-block-refused.txt", message(SERVICE.replace("8001", "web"))
    )


def test_one_application_of_a_service_can_be_served() -> None:
    """One application of a RayService can be chosen, as in a plain config."""
    (application,) = serve_of(SERVICE, "fruit").applications
    assert application.name == "fruit"


def test_other_documents_beside_a_service_are_passed_over() -> None:
    """Other documents of a file are skipped, but the Ray version of a RayCluster among them counts."""
    config = parse(f"{OTHER}---\n{SERVICE}---\n{CLUSTER}")
    assert [found.version for found in config.ray_versions] == ["2.48.0", "2.9.0"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("two-manifests", f"{SERVICE}---\n{OTHER}---\n{job('python a.py')}"),
        ("no-manifest", f"{OTHER}---\n{CLUSTER}"),
        ("manifest-of-another", SERVICE.replace("ray.io/v1", "example.com/v1")),
        ("manifest-without-config", SERVICE.replace("serveConfigV2", "serveConfig")),
        ("manifest-with-a-mapping", SERVICE.replace("serveConfigV2: |", "serveConfigV2:")),
        ("job-without-entrypoint", "apiVersion: ray.io/v1\nkind: RayJob\n"),
    ],
)
def test_manifest_that_does_not_say_what_to_serve_is_an_error(
    name: str, text: str, golden: Golden
) -> None:
    """A manifest without one service or job is an error that lists the documents found, with lines."""
    golden.check(f"errors/serve/serve-config-{name}.txt", message(text))


@pytest.mark.parametrize(
    ("command", "entry_point"),
    [
        ("python -m jobs.driver --rounds 3", EntryPoint("jobs.driver", None, ("--rounds", "3"))),
        ("python3 jobs/driver.py", EntryPoint("jobs.driver", None, (), "jobs/driver.py")),
        ("python ./driver.py --a=b", EntryPoint("driver", None, ("--a=b",), "driver.py")),
        (
            "python driver.py 'two words' \"x\"",
            EntryPoint("driver", None, ("two words", "x"), "driver.py"),
        ),
        (
            "python a.py '$A' '*' \"*~\" a#b",
            EntryPoint("a", None, ("$A", "*", "*~", "a#b"), "a.py"),
        ),
        ('python a.py "a\\"b" it\\\'s', EntryPoint("a", None, ('a"b', "it's"), "a.py")),
    ],
    ids=["module", "file", "file-with-dot", "quotes", "quoted characters of a shell", "escapes"],
)
def test_job_is_an_entry_point(command: str, entry_point: EntryPoint) -> None:
    """A RayJob's command has a module; a file is named from the working directory and run by its path."""
    config = parse(job(f"|\n    {command}"))
    assert (config.serve, config.entry_point) == (None, entry_point)
    assert config.named_by == f"`entrypoint` {command!r} at {FILE}:4"


def test_command_that_is_refused_is_looked_at_once() -> None:
    """A command with thousands of blanks is rejected in linear time."""
    assert "its code can be found" in message(job(f"python a.py{' ' * 5000}> log"))


def test_command_of_several_lines_is_one() -> None:
    """Lines that a shell joins are one command."""
    found = parse(job("|\n    python \\\n      -m jobs.driver \\\n      --rounds 3\n"))
    assert found.entry_point == EntryPoint("jobs.driver", None, ("--rounds", "3"))


@pytest.mark.parametrize(
    "command",
    [
        *("ray job submit x", "python", "python -c 'import x'", "python -u driver.py"),
        *("python /app/driver.py", "python ../driver.py", "python driver.py && echo done"),
        *(
            "python driver.py > log",
            "python driver.py $DATE",
            "python driver.py; echo",
            "python 'a",
        ),
        *("env A=b python driver.py", "python -m", "python -m a/b", "python -m driver.py"),
        *("python driver.py *.csv", "python driver.py a?", "python driver.py [a]"),
        *("python driver.py ~/a", "python driver.py # all", 'python driver.py "$DATE"'),
        *("python jobs.driver.py", "python driver.py {1,2}"),
        *('python driver.py "`date`"', "python driver.py\n    python other.py"),
    ],
)
def test_job_of_another_form_is_an_error(command: str) -> None:
    """A command that needs a shell, or names neither module nor file, is an error: its code cannot be found."""
    assert message(job(f"|\n    {command}")) == (
        "The `spec.entrypoint` of a RayJob must be `python -m MODULE` or `python FILE.py`, with arguments that a "
        "shell leaves unchanged, so that its code can be found.\n\n"
        f"  * {FILE}:4: {textwrap.dedent(f'    {command}{chr(10)}')!r}\n\n"
        "To fix, do one of the following:\n"
        "  * correct it: use no options of Python, and a relative path for FILE.py, such as jobs/driver.py for the "
        "module jobs.driver\n"
        "  * name the driver in `entry_point` instead of the manifest in `serve_config`"
    )


def test_job_has_no_application() -> None:
    """An application cannot be chosen from a RayJob."""
    assert message(job("python a.py"), "fruit") == (
        "The RayJob in src/shop/serve.yaml has no application 'fruit'.\n\n"
        "To fix, remove `serve_application`."
    )


def test_job_names_a_version_of_ray() -> None:
    """The Ray version of a RayJob's cluster is returned."""
    config = parse(job("python a.py", "rayClusterSpec: {rayVersion: '2.48.0'}\n"))
    assert config.ray_versions == (RayVersion("2.48.0", f"{FILE}:5"),)


# --- runtime_env


def with_environment(text: str) -> str:
    return CONFIG + f"    runtime_env: {text}\n"


def problem(text: str, application: str = "") -> str:
    """Return the message of a file whose applications are known, but from which no image can be built."""
    found = parse(text, application).problem
    assert found is not None
    return str(found)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{env_vars: {LOG_LEVEL: info, pip: x}}",
        "{pip: [], conda: null, working_dir: ''}",
        "{config: {setup_timeout_seconds: 10}}",
    ],
    ids=["empty", "variables", "unset", "config"],
)
def test_environment_that_leaves_the_image_alone_is_fine(text: str) -> None:
    """Variables, limits and empty keys of a `runtime_env` are accepted."""
    config = parse(with_environment(text))
    assert (config.problem, config.warnings) == (None, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pip", "{pip: [requests==2.31, scipy]}"),
        ("py-executable", "{py_executable: uv run}"),
        ("pip-mapping", "{pip: {packages: [requests], pip_check: false}}"),
        ("pip-file", "{pip: ./requirements.txt}"),
        ("uv", "{uv: {packages: [requests]}}"),
        ("conda", "{conda: {dependencies: [pip, {pip: [requests]}]}}"),
        ("image", "{image_uri: 'registry.example.com/other:1'}"),
        ("container", "{container: {image: other}, pip: [requests]}"),
        ("working-dir", "{working_dir: ./src}"),
        ("py-modules", "{py_modules: [s3://bucket/a.zip, libs]}"),
    ],
)
def test_environment_that_defeats_the_image_is_an_error(
    name: str, text: str, golden: Golden
) -> None:
    """Keys that bring other code are an error that lists fixes, with the requirements to add."""
    golden.check(f"errors/serve/runtime-env-{name}.txt", problem(with_environment(text)))


def test_environment_of_another_application_does_not_count() -> None:
    """An image of one application ignores the `runtime_env`s of others."""
    text = with_environment("{pip: [requests], working_dir: 's3://bucket/a.zip'}")
    (fruit, prices) = (parse(text, name) for name in ("fruit", "prices"))
    assert (fruit.problem, fruit.warnings) == (None, ())
    assert prices.problem is not None and len(prices.warnings) == 1


def test_environment_of_a_deployment_counts(golden: Golden) -> None:
    """The `runtime_env` of a deployment counts, and all `runtime_env`s of a file are reported at once."""
    deployments = (
        "    deployments:\n    - name: D\n      ray_actor_options: {runtime_env: {uv: [a]}}\n"
    )
    text = with_environment("{pip: [b]}") + deployments
    golden.check("errors/serve/runtime-env-of-deployment.txt", problem(text))


def test_environment_of_a_job_counts(golden: Golden) -> None:
    """The `runtime_env` of a RayJob, a text in the manifest, counts."""
    text = job("python a.py", "runtimeEnvYAML: |\n  env_vars: {A: b}\n  working_dir: ./src\n")
    golden.check("errors/serve/runtime-env-of-job.txt", problem(text))


def test_environment_of_a_job_that_is_no_text_is_an_error() -> None:
    """A `runtimeEnvYAML` that is not text is an error, as it is for Kubernetes."""
    assert message(job("python a.py", "runtimeEnvYAML: {pip: [numpy]}\n")) == (
        f"`spec.runtimeEnvYAML` of the RayJob in {FILE} must be text.\n\n"
        f'  * {FILE}:5: {{"pip": ["numpy"]}}\n\n'
        "To fix, write it as a block of text (`|`)."
    )


def test_code_from_elsewhere_is_a_warning(golden: Golden) -> None:
    """Code from a URL is a warning: it hides the image's modules of the same name."""
    text = "{working_dir: 'https://example.com/a.zip', py_modules: ['s3://bucket/b.whl']}"
    (warning,) = parse(with_environment(text)).warnings
    golden.check("errors/serve/runtime-env-remote.txt", warning)


def test_code_from_elsewhere_of_a_job_is_a_warning(golden: Golden) -> None:
    """Code from a URL is a warning in a RayJob too."""
    text = job("python a.py", "runtimeEnvYAML: |\n  working_dir: 'https://example.com/a.zip'\n")
    (warning,) = parse(text).warnings
    golden.check("errors/serve/runtime-env-remote-of-job.txt", warning)


# --- Warnings


def test_keys_that_ray_ignores_are_a_warning(golden: Golden) -> None:
    """All keys that Ray ignores are in one warning."""
    (warning,) = parse(CONFIG + "    num_replicas: 3\nhttp_port: 8000\n").warnings
    golden.check("errors/serve/serve-config-ignored.txt", warning)


def test_host_that_nobody_reaches_is_a_warning(golden: Golden) -> None:
    """A loopback address is a warning: Ray Serve would listen only inside of the container."""
    (warning,) = parse(CONFIG.replace("0.0.0.0", "127.0.0.1")).warnings
    golden.check("errors/serve/serve-config-loopback.txt", warning)


BOMB = "\n".join(
    ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
)
MANIFEST = "apiVersion: ray.io/v1\nkind: RayService\nspec:\n  serveConfigV2: "


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("applications: [{name: *a9, import_path: 'a:b'}]", id="text"),
        pytest.param(
            "applications: [{import_path: 'a:b', runtime_env: {pip: *a9}}]", id="runtime_env"
        ),
        pytest.param(
            "applications: [{import_path: 'a:b', deployments: [{name: d, user_config: {x: *a9}}]}]",
            id="user_config",
        ),
        pytest.param("applications: [{name: x, import_path: 'a:b', args: {x: *a9}}]", id="args"),
        pytest.param("apiVersion: *a9\nkind: *a9", id="kind"),
        pytest.param(f"{MANIFEST}*a9", id="manifest"),
    ],
)
@pytest.mark.parametrize("application", ["", "x"])
def test_aliases_without_end_are_told_at_once(text: str, application: str) -> None:
    """Aliases that would fill the memory are rejected within a second, wherever the config names them."""
    start = time.monotonic()
    with pytest.raises(
        SlimRayImageError, match=f"^The aliases in {FILE} stand for too many values"
    ):
        parse_image_config(f"{BOMB}\n{text}\n", FILE, application)
    assert time.monotonic() - start < 1


def test_value_of_many_aliases_is_shown_in_part() -> None:
    """A message shows only the start of a value with many aliases."""
    text = "a: &a [[1, 2], [3, 4]]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
    with pytest.raises(SlimRayImageError) as caught:
        parse_image_config(f"{text}applications: [{{name: *b, import_path: 'a:b'}}]\n", FILE)
    shown = "[[[1, 2], [3, 4]], [[1, 2], [3, 4]], [[1, 2], [3, 4]], [[1, ..."
    assert f"applications[0].name must be text that is not empty, but is {shown}\n" in str(
        caught.value
    )
