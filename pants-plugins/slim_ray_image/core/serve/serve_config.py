"""Stage 1 of 6: read the applications or the command of an image from the file in the field `serve_config`.

In: the text of a Serve config (https://docs.ray.io/en/releases-2.48.0/serve/production-guide/config.html), or of a
KubeRay manifest: a RayService with such a config in `spec.serveConfigV2`, a RayJob with `spec.entrypoint`
(https://docs.ray.io/en/releases-2.48.0/cluster/kubernetes/getting-started.html). Out: `ImageConfig`.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass, replace
from typing import Iterable, Iterator, Mapping, Optional, Sequence

from slim_ray_image.core.errors import InvalidValueError, Problem, SlimRayImageError
from slim_ray_image.core.python.module_names import file_module
from slim_ray_image.core.serve.import_paths import (
    EntryPoint,
    ImportPath,
    parse_application_path,
    parse_entry_point,
)
from slim_ray_image.core.serve.ray import DOCUMENTATION, RELEASE, SERVE_GRPC_PORT, SERVE_HTTP_PORT
from slim_ray_image.core.serve.runtime_env import RuntimeEnv, other_code, remote_code
from slim_ray_image.core.serve.serve_schema import (
    ConfigMistake,
    application_name,
    check_config,
    route_prefix,
    show,
)
from slim_ray_image.core.serve.yaml_lines import Located, Place, read_documents, write_document

SERVE_CONFIG_FILE = "serve_config.yaml"
_RAY_API = "ray.io/"
_SERVICE, _JOB, _CLUSTER = "RayService", "RayJob", "RayCluster"
# Key path of the cluster's specification, by kind of manifest.
_CLUSTER_SPECS: Mapping[str, tuple[str, ...]] = {
    _SERVICE: ("spec", "rayClusterConfig"),
    _JOB: ("spec", "rayClusterSpec"),
    _CLUSTER: ("spec",),
}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A command that a shell only splits into words, in the same way as shlex. No two alternatives start with the same
# character, so a command is scanned once.
_WORDS = re.compile(
    r"""(
      [ \t]
    | '[^']*'
    | "([^"\\$`] | \\[^$`\n])*"
    | \\[^\n]
    | [^\s'"\\$`&|;<>()*?\[{#~\0]
    | (?<=\S)[#~]
    )*""",
    re.VERBOSE,
)
# The continuation of a line: a backslash before a line break. The first group matches text in which it is no
# continuation.
_JOINED_LINES = re.compile(r"""('[^']*'|"(?:[^"\\]|\\.)*"|\\[^\n])|\\\n""", re.DOTALL)


@dataclass(frozen=True)
class Application:
    """A Ray Serve application in a Serve config: its name, HTTP route, import path and names of arguments.

    Attributes:
        name: The application's name, or Ray's default.
        route_prefix: The application's HTTP route; None if it has no route.
        arguments: The keys of `args`, which Ray passes to an application builder.
        place: `file:line` of the import path.
    """

    name: str
    route_prefix: Optional[str]
    import_path: ImportPath
    arguments: tuple[str, ...]
    place: str

    @property
    def named_by(self) -> str:
        return f"application {self.name!r} at {self.place}"


@dataclass(frozen=True)
class NamedModule:
    """A module that a Serve config names, but not as an application's import path: a gRPC servicer's, for example.

    Attributes:
        named_by: Key, value and place, for messages.
    """

    module: str
    named_by: str


@dataclass(frozen=True)
class RayVersion:
    """A version of Ray that a KubeRay manifest names, and the line that names it."""

    version: str
    place: str  # file:line


@dataclass(frozen=True)
class ServeConfig:
    """A Serve config for an image: its text, and the applications, ports and other modules that it names.

    Attributes:
        text: The YAML that goes into the image.
        ports: The HTTP port; then the gRPC port, if the config has gRPC servicer functions.
        modules: Modules of gRPC servicers and of request routers.
    """

    text: str
    applications: tuple[Application, ...]
    ports: tuple[int, ...]
    modules: tuple[NamedModule, ...] = ()


@dataclass(frozen=True)
class ImageConfig:
    """The content of the file in the field `serve_config`: a Serve config or a RayJob's command, and warnings.

    Attributes:
        file: Path relative to the build root.
        serve: The Serve config; None for a RayJob.
        entry_point: The command of a RayJob; None for a Serve config.
        named_by: The command and its place, for messages and reasons; "" for a Serve config.
        ray_versions: The versions of Ray that the file's manifests name.
        problem: Reason that no image can be built from the file, though its applications are known.
        warnings: Complete texts of warnings.
    """

    file: str
    serve: Optional[ServeConfig] = None
    entry_point: Optional[EntryPoint] = None
    named_by: str = ""
    ray_versions: tuple[RayVersion, ...] = ()
    problem: Optional[Problem] = None
    warnings: tuple[str, ...] = ()


def _bullets(file: str, problems: Iterable[ConfigMistake]) -> list[str]:
    return [
        f"{file}:{problem.line}: {problem.path or 'the config'} {problem.text}"
        for problem in problems
    ]


def _chosen(config: Located, number: Optional[int]) -> Iterator[tuple[str, Located]]:
    """Yield (key path, application) for all applications of a Serve config, or only for the one at index `number`."""
    for found, application in enumerate(config["applications"].value):
        if number in (None, found):
            yield f"applications[{found}]", application


def _runtime_envs(config: Located, number: Optional[int]) -> Iterator[RuntimeEnv]:
    """Yield the `runtime_env`s of all Serve applications and their deployments, or only of application `number`."""
    for path, application in _chosen(config, number):
        if "runtime_env" in application.value:
            yield RuntimeEnv(application["runtime_env"], f"{path}.runtime_env")
        deployments = application.get("deployments")
        for child_number, deployment in enumerate(deployments.value if deployments else ()):
            found = deployment.get("ray_actor_options", "runtime_env")
            if found:
                child_path = f"{path}.deployments[{child_number}].ray_actor_options.runtime_env"
                yield RuntimeEnv(found, child_path)


def _port(config: Located, options: str, default: int, file: str) -> int:
    found = config.get(options, "port")
    port = default if found is None else int(found.value)
    if found is not None and not 0 < port < 2**16:
        raise SlimRayImageError(
            f"The port {show(found)} in the Serve config in {file} is out of range.",
            evidence=[f"{file}:{found.line}: {options}.port is {show(found)}"],
            fixes=["use a port from 1 to 65535"],
        )
    return port


def _ports(config: Located, file: str) -> tuple[int, ...]:
    """Return the HTTP port of a Serve config, and the gRPC port if the config has gRPC servicer functions."""
    http = _port(config, "http_options", SERVE_HTTP_PORT, file)
    functions = config.get("grpc_options", "grpc_servicer_functions")
    if functions is None or not functions.value:
        return (http,)
    return http, _port(config, "grpc_options", SERVE_GRPC_PORT, file)


def _applications(config: Located, file: str) -> tuple[Application, ...]:
    found = []
    for application in config["applications"].value:
        import_path, args = application["import_path"], application.get("args")
        found.append(
            Application(
                application_name(application),
                route_prefix(application),
                parse_application_path(str(import_path.value)),
                tuple(map(str, args.value)) if args else (),
                f"{file}:{import_path.line}",
            )
        )
    return tuple(found)


def _module_at(found: Located, key: str, file: str) -> NamedModule:
    module = parse_application_path(str(found.value)).module
    return NamedModule(module, f"`{key}` {found.value!r} at {file}:{found.line}")


def _modules(config: Located, file: str, number: Optional[int]) -> Iterator[NamedModule]:
    """Yield a Serve config's modules of gRPC servicers, then of the request routers of all or of one application."""
    functions = config.get("grpc_options", "grpc_servicer_functions")
    for function in functions.value if functions else ():
        yield _module_at(function, "grpc_servicer_functions", file)
    for _, application in _chosen(config, number):
        deployments = application.get("deployments")
        for deployment in deployments.value if deployments else ():
            router = deployment.get("request_router_config", "request_router_class")
            if router:
                yield _module_at(router, "request_router_class", file)


def _only(text: str, config: Located, number: int) -> str:
    """Return the text of a Serve config with only one of its applications; `text` itself if the config has no other."""
    if len(config["applications"].value) == 1:
        return text
    plain = config.plain
    return write_document({**plain, "applications": [plain["applications"][number]]})


def _warnings(
    config: Located, file: str, ignored: Sequence[ConfigMistake], environments: Iterable[RuntimeEnv]
) -> Iterator[str]:
    if ignored:
        evidence = "\n".join(f"  * {bullet}" for bullet in _bullets(file, ignored))
        yield (
            f"Ray Serve ignores keys of the config in {file}:\n\n{evidence}\n\n"
            "To fix, correct the keys or remove them."
        )
    yield from remote_code(file, environments)
    host = config.get("http_options", "host")
    if host and host.value in _LOOPBACK:
        yield (
            f"`http_options.host` is {host.value} at {file}:{host.line}, so the service cannot be reached from outside "
            "of its container.\n\nTo fix, use 0.0.0.0."
        )


def _serve_config(text: str, place: Place, application: str) -> ImageConfig:
    documents = read_documents(text, place)
    file = place.file
    if len(documents) != 1:
        raise SlimRayImageError(
            f"{file} must contain one Serve config, but contains {len(documents) or 'none'}.",
            evidence=[f"{file}:{document.line}: a document" for document in documents],
            fixes=["write the config as `serve build` does, with `applications`"],
        )
    (config,) = documents
    problems, ignored = check_config(config)
    if problems:
        raise SlimRayImageError(
            f"Ray Serve {RELEASE} would refuse the config in {file}.",
            # Ignored keys are included: one may be the misspelt form of a missing key.
            evidence=_bullets(file, sorted([*problems, *ignored])),
            fixes=[
                f"correct it; {DOCUMENTATION}/serve/production-guide/config.html describes every key"
            ],
        )
    ports = _ports(config, file)
    applications = _applications(config, file)
    if not applications:
        raise SlimRayImageError(
            f"The Serve config in {file} has no application.",
            evidence=[f"{file}:{config['applications'].line}: applications is empty"],
            fixes=["add an application, with its `import_path`"],
        )
    number = None
    if application:
        names = [found.name for found in applications]
        if application not in names:
            raise SlimRayImageError(
                f"The Serve config in {file} has no application {application!r}.",
                evidence=[f"it has {found.name!r}, at {found.place}" for found in applications],
                fixes=["name one of these in `serve_application`"],
            )
        number = names.index(application)
    serve = ServeConfig(
        text if number is None else _only(text, config, number),
        applications if number is None else (applications[number],),
        ports,
        tuple(_modules(config, file, number)),
    )
    environments = tuple(_runtime_envs(config, number))
    return ImageConfig(
        file,
        serve,
        problem=other_code(file, environments),
        warnings=tuple(_warnings(config, file, ignored, environments)),
    )


def _nested_place(found: Located, file: str) -> Place:
    """Return the place of a text in a KubeRay manifest: a line for each line of a `|` block, else one line for all."""
    if found.text_line is not None:
        return Place(file, found.text_line)
    return Place(file, found.line, is_verbatim=False)


def _required_text(manifest: Located, file: str, kind: str, key: str, example: str) -> Located:
    found = manifest.get("spec", key)
    if found is None or not isinstance(found.value, str) or not found.value.strip():
        line, what = (
            (manifest.line, "it is missing") if found is None else (found.line, show(found))
        )
        raise SlimRayImageError(
            f"A {kind} must have `spec.{key}`, {example}.",
            evidence=[f"{file}:{line}: {what}"],
            fixes=[f"write it as text into {file}"],
        )
    return found


def _service(manifest: Located, file: str, application: str) -> ImageConfig:
    found = _required_text(
        manifest, file, _SERVICE, "serveConfigV2", "a Serve config as a block of text (`|`)"
    )
    return _serve_config(found.value, _nested_place(found, file), application)


def _shell_words(command: str) -> Sequence[str]:
    """Return the words of a command, which Ray runs in a shell; none if the shell would do more than split it."""
    joined = _JOINED_LINES.sub(lambda match: match[1] or "", command).strip(" \t\n")
    return shlex.split(joined) if _WORDS.fullmatch(joined) else ()


def _entry_point(command: str) -> Optional[EntryPoint]:
    """Return the entry point of `python -m MODULE` or `python FILE.py`; None for any other command.

    FILE is relative to the working directory.
    """
    words = _shell_words(command)
    if len(words) < 2 or words[0] not in ("python", "python3"):
        return None
    if words[1] == "-m":
        program, script = list(words[2:]), None
    else:
        script = posixpath.normpath(words[1])
        program = [file_module(script) or "", *words[2:]]
    try:
        found = parse_entry_point(shlex.join(program))
    except InvalidValueError:
        return None
    return replace(found, script=script) if found.module else None


def _environments_of_job(manifest: Located, file: str) -> Iterator[RuntimeEnv]:
    """Yield the `runtime_env` of a RayJob, which is YAML in a text of the manifest."""
    text = manifest.get("spec", "runtimeEnvYAML")
    if text is not None and not isinstance(text.value, (str, type(None))):
        raise SlimRayImageError(
            f"`spec.runtimeEnvYAML` of the RayJob in {file} must be text.",
            evidence=[f"{file}:{text.line}: {show(text)}"],
            fixes=["write it as a block of text (`|`)"],
        )
    if text is not None and text.value:
        for document in read_documents(text.value, _nested_place(text, file)):
            yield RuntimeEnv(document, "spec.runtimeEnvYAML")


def _job(manifest: Located, file: str) -> ImageConfig:
    found = _required_text(manifest, file, _JOB, "entrypoint", "the command of the job")
    entry_point = _entry_point(found.value)
    if entry_point is None:
        raise SlimRayImageError(
            "The `spec.entrypoint` of a RayJob must be `python -m MODULE` or `python FILE.py`, with arguments that a "
            "shell leaves unchanged, so that its code can be found.",
            evidence=[f"{file}:{found.line}: {show(found.value)}"],
            fixes=[
                "correct it: use no options of Python, and a relative path for FILE.py, such as jobs/driver.py for the "
                "module jobs.driver",
                "name the driver in `entry_point` instead of the manifest in `serve_config`",
            ],
        )
    environments = tuple(_environments_of_job(manifest, file))
    return ImageConfig(
        file,
        entry_point=entry_point,
        named_by=f"`entrypoint` {found.value.strip()!r} at {file}:{found.line}",
        problem=other_code(file, environments),
        warnings=tuple(remote_code(file, environments)),
    )


def _kind(document: Located) -> str:
    """Return the kind of a KubeRay manifest; "" for any other document."""
    version, kind = document.get("apiVersion"), document.get("kind")
    is_ray = version is not None and str(version.value).startswith(_RAY_API)
    return str(kind.value) if is_ray and kind is not None else ""


def _show_word(found: Located) -> str:
    """Return the text of a value for a message, without quotes if it is short."""
    is_short = isinstance(found.value, str) and len(found.value) <= 60
    return str(found.value) if is_short else show(found)


def _describe_kind(document: Located) -> str:
    version, kind = document.get("apiVersion"), document.get("kind")
    shown_kind = _show_word(kind) if kind else "no kind"
    return f"{shown_kind} of {_show_word(version) if version else 'no apiVersion'}"


def _ray_versions(documents: Iterable[Located], file: str) -> Iterator[RayVersion]:
    for document in documents:
        found = document.get(*_CLUSTER_SPECS.get(_kind(document), ("-",)), "rayVersion")
        if found is not None and found.value:
            yield RayVersion(str(found.value), f"{file}:{found.line}")


def _one_manifest(documents: Sequence[Located], file: str) -> Located:
    found = [document for document in documents if _kind(document) in (_SERVICE, _JOB)]
    if len(found) == 1:
        return found[0]
    fixes = ["correct its `apiVersion` and `kind`", "name the file of the RayService or RayJob"]
    raise SlimRayImageError(
        f"{file} must have one RayService or RayJob of `apiVersion: ray.io/v1`, but has {len(found) or 'none'}.",
        evidence=[f"{file}:{d.line}: {_describe_kind(d)}" for d in found or documents],
        fixes=["give each image a file of its own"] if found else fixes,
    )


def parse_image_config(text: str, file: str, application: str = "") -> ImageConfig:
    """Parse the file in the field `serve_config`: a Serve config, or a KubeRay manifest of a RayService or a RayJob.

    Args:
        text: Content of the file.
        file: Path relative to the build root, for messages.
        application: Name of the one application to serve; "" for all of them.

    Raises:
        SlimRayImageError: If the file is neither a Serve config nor a manifest of one service or job, or if Ray would
            refuse it.
    """
    documents = read_documents(text, Place(file))
    if not any(document.get("kind") for document in documents):
        return _serve_config(text, Place(file), application)
    manifest = _one_manifest(documents, file)
    if _kind(manifest) == _SERVICE:
        config = _service(manifest, file, application)
    elif application:
        raise SlimRayImageError(
            f"The RayJob in {file} has no application {application!r}.",
            fixes=["remove `serve_application`"],
        )
    else:
        config = _job(manifest, file)
    return replace(config, ray_versions=tuple(_ray_versions(documents, file)))
