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
        name: Name of the rule in the field `prune`.
        goes: Text for users about the files that the rule removes.
        needed_by: Text for users about who needs those files.
        is_default: Whether `default` in the field `prune` includes the rule.
        distribution: Canonical name of the only distribution that the rule applies to; None if it applies to all.
        folders: Folders to remove as a whole, relative to site-packages.
        suffixes: Suffixes of the names of files to remove.
        directories: Directories, relative to site-packages, to keep as empty ones if the rule removed files.
        spared: Globs for the canonical names of distributions that the rule does not touch, since they need the files.
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
        name: Name of the part and of its layer.
        rule: Name of the rule that may leave the part out.
        distribution: Canonical name of the distribution.
        folders: Folders of the part, relative to site-packages, or files of single modules.
        modules: Modules of the part: code that uses one of them, or a module below one, needs the part.
        with_distributions: Distributions that need the part: an image that contains one of them contains the part.
        replaced_by: Distribution that is used in place of the part: an image without that distribution needs the part.
        needs: Names of parts that the code of this part imports.
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
    # These folders are one part, since they import each other: `Dataset.iter_torch_batches` needs ray.train.
    Part(
        "ray-data-train",
        "ray-libraries",
        "ray",
        ("ray/air", "ray/data", "ray/train", "ray/tune"),
        modules=("ray.air", "ray.data", "ray.train", "ray.tune"),
        # Ray serializes every Arrow table with modules of ray.air, whichever code created the table.
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
        # The clients of these clouds, in the order of `modules`.
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
        needed_by="code that uses `ray.cross_language`, `ray.java_function` or `ray.java_actor_class`; the rule then "
        "keeps the JAR",
        distribution="ray",
    ),
    Rule(
        "ray-libraries",
        goes="`ray.data` and `ray.air`, `ray.train` and `ray.tune`, `ray.rllib`, `ray.llm`, and the integrations of "
        "`ray.util` with Dask, joblib, LightGBM, multiprocessing and XGBoost",
        needed_by="code, first-party or of another distribution, that uses one of them; the rule then keeps that "
        "library and the libraries that it imports. pyarrow needs `ray.data`, and keeps it",
        distribution="ray",
    ),
    Rule(
        "agent-aiohttp",
        goes="the copy of aiohttp and its dependencies that Ray's runtime environment agent contains",
        needed_by="an image without the distribution aiohttp; the rule then keeps the copy",
        distribution="ray",
    ),
    Rule(
        "cloud-providers",
        goes="modules with which `ray up` and its autoscaler start machines of Aliyun, AWS, Azure, GCP and vSphere",
        needed_by="an image that contains the client of such a cloud (boto3, google-api-python-client, azure-identity, "
        "aliyun-python-sdk-core or, for vSphere, kubernetes); the rule then keeps its modules. KubeRay needs none of "
        "them",
        distribution="ray",
    ),
    Rule(
        TESTS,
        goes="folders `tests` and `test` that contain test modules, except modules in them that other modules of the "
        "distribution import",
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
        goes="C and C++ headers and sources, and Cython sources, except files that a module of the distribution "
        "mentions by name",
        needed_by="compiling C or Cython against a distribution at run time; distributions that themselves compile at "
        "run time, such as CuPy and Triton, keep them",
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
        needed_by="type checkers; a distribution whose modules read its stubs at run time (`attach_stub` of "
        "lazy_loader) keeps them",
        suffixes=(".pyi",),
    ),
    Rule(
        VIRTUALENV_WHEELS,
        goes="the wheels that virtualenv installs into environments of Python versions other than the image's",
        needed_by="virtual environments of a Python version that the image does not have",
        distribution="virtualenv",
    ),
    Rule(
        "windows-programs",
        goes="`.exe` files, which installers copy into environments on Windows",
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
        goes="debug information (DWARF) of shared objects and programs; symbol tables stay, and so do the names in "
        "native stack traces",
        needed_by="debuggers such as gdb, to show lines and variables of native code",
    ),
    Rule(
        "dashboard-ui",
        goes="the pages of Ray's dashboard; its REST API, which KubeRay and the command line use, stays",
        needed_by="people who open the dashboard in a browser",
        is_default=False,
        distribution="ray",
        folders=("ray/dashboard/client",),
        # The dashboard does not start without this directory.
        directories=("ray/dashboard/client/build/static",),
    ),
    Rule(
        DEBUG_SYMBOLS,
        goes="symbol tables of shared objects and programs",
        needed_by="gdb, perf, `py-spy --native` and Ray's crash reports, to show names in native stack traces",
        is_default=False,
    ),
)

RULES_BY_NAME = {rule.name: rule for rule in RULES}


def find_rule(name: str) -> Rule:
    """Return the rule that is called `name`."""
    return RULES_BY_NAME[name]


def parts_of(distribution: str) -> tuple[Part, ...]:
    """Return the parts of a distribution, given by its canonical name."""
    return tuple(part for part in PARTS if part.distribution == distribution)


def divided_distributions() -> tuple[str, ...]:
    """Return the names of the distributions that have parts, sorted. Their modules have the same names."""
    return tuple(sorted({part.distribution for part in PARTS}))


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Return whether a path is one of `folders` or below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def part_at(path: str, distribution: str) -> Optional[Part]:
    """Return the part that contains a path, if any. The path is relative to site-packages."""
    return next((p for p in parts_of(distribution) if is_below(path, p.folders)), None)


def spares(rule: Rule, distribution: str) -> bool:
    """Return whether a rule does not touch a distribution, given by its canonical name."""
    return any(fnmatch.fnmatchcase(distribution, glob) for glob in rule.spared)
