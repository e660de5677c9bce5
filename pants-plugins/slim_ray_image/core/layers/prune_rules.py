"""Stage 4 of 6: tables of the rules of the field `prune`, and of the parts of distributions that they may leave out.

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
    """A rule of the field `prune`, which leaves some files of distributions out of the image.

    Attributes:
        name: Name of the rule in the field `prune`.
        is_default: Whether `default` in the field `prune` includes the rule.
        distribution: Canonical name of the only distribution that the rule applies to; None if it applies to all.
        folders: Folders to remove as a whole, relative to site-packages.
        suffixes: Suffixes of the names of files to remove.
        directories: Directories, relative to site-packages, to keep as empty ones if the rule removed files.
        spared: Globs for the canonical names of distributions that the rule does not touch, since they need the files.
    """

    name: str
    is_default: bool = True
    distribution: Optional[str] = None
    folders: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A part of a distribution, such as Ray's Java JARs, that a rule of `prune` may leave out of the image.

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
        distribution="ray",
    ),
    Rule(
        "ray-libraries",
        distribution="ray",
    ),
    Rule(
        "agent-aiohttp",
        distribution="ray",
    ),
    Rule(
        "cloud-providers",
        distribution="ray",
    ),
    Rule(
        TESTS,
    ),
    Rule(
        "source-maps",
        suffixes=(".js.map", ".css.map"),
    ),
    Rule(
        HEADERS,
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
        suffixes=(".pyi",),
    ),
    Rule(
        VIRTUALENV_WHEELS,
        distribution="virtualenv",
    ),
    Rule(
        "windows-programs",
        suffixes=(".exe",),
    ),
    Rule(
        "static-libraries",
        suffixes=(".a",),
    ),
    Rule(
        DEBUG_INFORMATION,
    ),
    Rule(
        "dashboard-ui",
        is_default=False,
        distribution="ray",
        folders=("ray/dashboard/client",),
        # The dashboard does not start without this directory.
        directories=("ray/dashboard/client/build/static",),
    ),
    Rule(
        DEBUG_SYMBOLS,
        is_default=False,
    ),
)

RULES_BY_NAME = {rule.name: rule for rule in RULES}


def find_rule(name: str) -> Rule:
    """Return the rule of the field `prune` that is called `name`."""
    return RULES_BY_NAME[name]


def parts_of(distribution: str) -> tuple[Part, ...]:
    """Return the parts of a distribution, by its canonical name, that rules of `prune` may leave out."""
    return tuple(part for part in PARTS if part.distribution == distribution)


def divided_distributions() -> tuple[str, ...]:
    """Return the sorted names of distributions (and their packages) with parts that `prune` may leave out."""
    return tuple(sorted({part.distribution for part in PARTS}))


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Return whether a path is one of `folders` or below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def part_at(path: str, distribution: str) -> Optional[Part]:
    """Return the part of a distribution that contains a path, relative to site-packages; None if no part does."""
    return next((p for p in parts_of(distribution) if is_below(path, p.folders)), None)


def spares(rule: Rule, distribution: str) -> bool:
    """Return whether a rule of `prune` exempts a distribution, by its canonical name, since it needs the files."""
    return any(fnmatch.fnmatchcase(distribution, glob) for glob in rule.spared)
