"""Stage 4 of 6: the rules of the field `prune` and the parts of distributions, as tables.

`core/layers/pruning.py` chooses among the rules, `sandbox/layers/prune_files.py` applies the rules, and
`docs/pruning.md` lists what each rule saves.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Iterable, Optional

TESTS = "tests"
HEADERS = "headers"
TYPE_STUBS = "type-stubs"
VIRTUALENV_WHEELS = "virtualenv-wheels"
DEBUG_INFORMATION = "debug-information"
DEBUG_SYMBOLS = "debug-symbols"


@dataclass(frozen=True)
class Rule:
    """A rule of the field `prune`.

    Attributes:
        goes: What it takes away, for people.
        needed_by: Who needs that, for people.
        distribution: Canonical name; None for all of them.
        folders: Relative to site-packages, whole.
        suffixes: Of names of files.
        directories: Relative to site-packages; stay, empty, where a folder went.
        spared: Names of distributions, as globs, that need what others do not.
    """

    name: str
    goes: str
    needed_by: str
    is_default: bool = True
    distribution: Optional[str] = None
    folders: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A part of a distribution that a rule may leave out.

    Attributes:
        name: Of its layer.
        folders: Relative to site-packages, whole; a module by its file.
        modules: Code that uses one of these, or what is below it, needs the part.
        with_distributions: So does an image that holds one of these.
        replaced_by: A distribution that is used in its place; without it the part is needed.
        needs: Parts that its own code imports.
    """

    name: str
    rule: str
    distribution: str
    folders: tuple[str, ...]
    modules: tuple[str, ...] = ()
    with_distributions: tuple[str, ...] = ()
    replaced_by: Optional[str] = None
    needs: tuple[str, ...] = ()


PARTS = (
    Part(
        "ray-java",
        "java",
        "ray",
        ("ray/jars",),
        modules=("ray.cross_language", "ray.java_function", "ray.java_actor_class"),
    ),
    # One part, since they import each other: `Dataset.iter_torch_batches` needs ray.train.
    Part(
        "ray-data-train",
        "ray-libraries",
        "ray",
        ("ray/air", "ray/data", "ray/train", "ray/tune"),
        modules=("ray.air", "ray.data", "ray.train", "ray.tune"),
        # Ray serializes Arrow tables by modules of ray.air, whoever made them.
        with_distributions=("pyarrow",),
        needs=("ray-integrations",),
    ),
    Part(
        "ray-rllib",
        "ray-libraries",
        "ray",
        ("ray/rllib",),
        modules=("ray.rllib",),
        needs=("ray-data-train",),
    ),
    Part(
        "ray-llm",
        "ray-libraries",
        "ray",
        ("ray/llm", "ray/serve/llm"),
        modules=("ray.llm", "ray.serve.llm", "ray.data.llm"),
        needs=("ray-data-train",),
    ),
    Part(
        "ray-integrations",
        "ray-libraries",
        "ray",
        tuple(
            f"ray/util/{name}"
            for name in ("dask", "joblib", "lightgbm", "multiprocessing", "xgboost")
        ),
        modules=(
            "ray.experimental.multiprocessing",
            "ray.util.dask",
            "ray.util.joblib",
            "ray.util.lightgbm",
            "ray.util.multiprocessing",
            "ray.util.xgboost",
        ),
    ),
    Part(
        "ray-cloud-providers",
        "cloud-providers",
        "ray",
        (
            *(f"ray/autoscaler/{name}" for name in ("aliyun", "aws", "azure", "gcp", "vsphere")),
            *(
                f"ray/autoscaler/_private/{name}"
                for name in ("_azure", "aliyun", "aws", "gcp", "vsphere")
            ),
        ),
        modules=(
            "ray.autoscaler._private._azure",
            "ray.autoscaler._private.aliyun",
            "ray.autoscaler._private.aws",
            "ray.autoscaler._private.gcp",
            "ray.autoscaler._private.vsphere",
        ),
        # What they call their cloud by, in this order.
        with_distributions=(
            "azure-identity",
            "aliyun-python-sdk-core",
            "boto3",
            "google-api-python-client",
            "kubernetes",
        ),
    ),
    Part(
        "ray-agent-aiohttp",
        "agent-aiohttp",
        "ray",
        ("ray/_private/runtime_env/agent/thirdparty_files",),
        replaced_by="aiohttp",
    ),
)

RULES = (
    Rule(
        "java",
        goes="`ray/jars`, the JAR of Ray's Java workers",
        needed_by="code that uses `ray.cross_language`, `ray.java_function` or `ray.java_actor_class`, which keeps it",
        distribution="ray",
    ),
    Rule(
        "ray-libraries",
        goes="`ray.data` and `ray.air`, `ray.train` and `ray.tune`, `ray.rllib`, `ray.llm`, and the integrations of "
        "`ray.util` with Dask, joblib, LightGBM, multiprocessing and XGBoost",
        needed_by="code that uses one of them, first-party or of another distribution, which keeps it and those that "
        "it imports; and pyarrow, which keeps `ray.data`",
        distribution="ray",
    ),
    Rule(
        "agent-aiohttp",
        goes="the copy of aiohttp, and of what it needs, of Ray's runtime environment agent",
        needed_by="an image without the distribution aiohttp, which keeps it",
        distribution="ray",
    ),
    Rule(
        "cloud-providers",
        goes="what `ray up` and its autoscaler start machines of Aliyun, AWS, Azure, GCP and vSphere with",
        needed_by="an image that holds the cloud's client (boto3, google-api-python-client, azure-identity, "
        "aliyun-python-sdk-core or, for vSphere, kubernetes), which keeps it; KubeRay needs none",
        distribution="ray",
    ),
    Rule(
        TESTS,
        goes="folders `tests` and `test` that hold test modules, but for the modules of them that other modules of "
        "the distribution import",
        needed_by="running a distribution's own tests",
    ),
    Rule(
        "source-maps",
        goes="maps of minified JavaScript and CSS",
        needed_by="debugging a distribution's web pages in a browser",
        suffixes=(".js.map", ".css.map"),
    ),
    Rule(
        HEADERS,
        goes="C and C++ headers and sources, and Cython sources, but for those whose names modules of the distribution "
        "spell",
        needed_by="compiling C or Cython against a distribution at run time; distributions that compile on their own, "
        "as CuPy and Triton, keep them",
        folders=("ray/includes",),
        suffixes=(
            *(".c", ".cc", ".cpp", ".cxx", ".c.src", ".h", ".hh", ".hpp", ".hxx", ".h.in"),
            *(".pxd", ".pxi", ".pyx", ".pyx.in", ".tp"),
        ),
        spared=(
            "cppyy*",
            "cuda-*",
            "cupy*",
            "deep-gemm*",
            "flashinfer*",
            "numba*",
            "nvidia-*",
            "pycuda",
            "pyopencl",
            "pythran",
            "tilelang",
            "triton*",
            "warp-lang",
            "ziglang",
        ),
    ),
    Rule(
        TYPE_STUBS,
        goes="`.pyi` files; `py.typed` stays",
        needed_by="type checkers; a distribution whose modules load their names by its stubs (`attach_stub` of "
        "lazy_loader) keeps them",
        suffixes=(".pyi",),
    ),
    Rule(
        VIRTUALENV_WHEELS,
        goes="the wheels that virtualenv puts into environments of other Pythons than the image's",
        needed_by="virtual environments of a Python that the image does not have",
        distribution="virtualenv",
    ),
    Rule(
        "windows-programs",
        goes="`.exe` files, which installers put into environments on Windows",
        needed_by="nothing that runs on Linux",
        suffixes=(".exe",),
    ),
    Rule(
        "static-libraries",
        goes="`.a` archives",
        needed_by="linking against a distribution at run time",
        suffixes=(".a",),
    ),
    Rule(
        DEBUG_INFORMATION,
        goes="debug information (DWARF) of shared objects and programs; symbol tables stay, and with them the names in "
        "native stack traces",
        needed_by="lines and variables of native code in a debugger, as gdb",
    ),
    Rule(
        "dashboard-ui",
        goes="the pages of Ray's dashboard; its REST API, which KubeRay and the command line use, stays",
        needed_by="people who look at the dashboard in a browser",
        is_default=False,
        distribution="ray",
        folders=("ray/dashboard/client",),
        # The dashboard does not start without them.
        directories=("ray/dashboard/client/build/static",),
    ),
    Rule(
        DEBUG_SYMBOLS,
        goes="symbol tables of shared objects and programs",
        needed_by="native stack traces with names, as of gdb, perf, `py-spy --native` and a crash of Ray",
        is_default=False,
    ),
)

RULES_BY_NAME = {rule.name: rule for rule in RULES}


def find_rule(name: str) -> Rule:
    """Return the rule of this name."""
    return RULES_BY_NAME[name]


def parts_of(distribution: str) -> tuple[Part, ...]:
    """Return the parts of a distribution, by its canonical name."""
    return tuple(part for part in PARTS if part.distribution == distribution)


def divided_distributions() -> tuple[str, ...]:
    """Return the names of the distributions that have parts, which are the names of their modules too; sorted."""
    return tuple(sorted({part.distribution for part in PARTS}))


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of `folders` or below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def part_at(path: str, distribution: str) -> Optional[Part]:
    """Return the part that holds a path relative to site-packages, if any does."""
    return next((p for p in parts_of(distribution) if is_below(path, p.folders)), None)


def spares(rule: Rule, distribution: str) -> bool:
    """Whether a rule leaves a distribution, by its canonical name, as it is."""
    return any(fnmatch.fnmatchcase(distribution, glob) for glob in rule.spared)
