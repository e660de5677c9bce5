"""Help on the rules of the field `prune`, in its own module so that a reworded sentence rebuilds no layer."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.layers.prune_rules import (
    DEBUG_INFORMATION,
    DEBUG_SYMBOLS,
    HEADERS,
    RULES,
    TESTS,
    TYPE_STUBS,
    VIRTUALENV_WHEELS,
)


@dataclass(frozen=True)
class RuleHelp:
    """Help on a rule of the field `prune`: the files that it removes, and who needs them.

    Attributes:
        removes: Files that the rule removes.
        needed_by: Code or people that need these files.
    """

    removes: str
    needed_by: str


HELP = {
    "java": RuleHelp(
        removes="`ray/jars`, the JAR of Ray's Java workers",
        needed_by="code that uses `ray.cross_language`, `ray.java_function` or `ray.java_actor_class`; the rule then "
        "keeps the JAR",
    ),
    "ray-libraries": RuleHelp(
        removes="`ray.data` and `ray.air`, `ray.train` and `ray.tune`, `ray.rllib`, `ray.llm`, and the integrations of "
        "`ray.util` with Dask, joblib, LightGBM, multiprocessing and XGBoost",
        needed_by="code, first-party or of another distribution, that uses one of them; the rule then keeps that "
        "library and the libraries that it imports. pyarrow needs `ray.data`, and keeps it",
    ),
    "agent-aiohttp": RuleHelp(
        removes="the copy of aiohttp and its dependencies that Ray's runtime environment agent contains",
        needed_by="an image without the distribution aiohttp; the rule then keeps the copy",
    ),
    "cloud-providers": RuleHelp(
        removes="modules with which `ray up` and its autoscaler start machines of Aliyun, AWS, Azure, GCP and vSphere",
        needed_by="an image that contains the client of such a cloud (boto3, google-api-python-client, azure-identity, "
        "aliyun-python-sdk-core or, for vSphere, kubernetes); the rule then keeps its modules. KubeRay needs none of "
        "them",
    ),
    TESTS: RuleHelp(
        removes="folders `tests` and `test` that contain test modules, except modules in them that other modules of "
        "the distribution import",
        needed_by="running a distribution's own tests",
    ),
    "source-maps": RuleHelp(
        removes="maps of minified JavaScript and CSS",
        needed_by="debugging a distribution's web pages in a browser",
    ),
    HEADERS: RuleHelp(
        removes="C and C++ headers and sources, and Cython sources, except files that a module of the distribution "
        "mentions by name",
        needed_by="compiling C or Cython against a distribution at run time; distributions that themselves compile at "
        "run time, such as CuPy and Triton, keep them",
    ),
    TYPE_STUBS: RuleHelp(
        removes="`.pyi` files; `py.typed` stays",
        needed_by="type checkers; a distribution whose modules read its stubs at run time (`attach_stub` of "
        "lazy_loader) keeps them",
    ),
    VIRTUALENV_WHEELS: RuleHelp(
        removes="the wheels that virtualenv installs into environments of Python versions other than the image's",
        needed_by="virtual environments of a Python version that the image does not have",
    ),
    "windows-programs": RuleHelp(
        removes="`.exe` files, which installers copy into environments on Windows",
        needed_by="nothing that runs on Linux",
    ),
    "static-libraries": RuleHelp(
        removes="`.a` archives",
        needed_by="linking against a distribution at run time",
    ),
    DEBUG_INFORMATION: RuleHelp(
        removes="debug information (DWARF) of shared objects and programs; symbol tables stay, and so do the names in "
        "native stack traces",
        needed_by="debuggers such as gdb, to show lines and variables of native code",
    ),
    "dashboard-ui": RuleHelp(
        removes="the pages of Ray's dashboard; its REST API, which KubeRay and the command line use, stays",
        needed_by="people who open the dashboard in a browser",
    ),
    DEBUG_SYMBOLS: RuleHelp(
        removes="symbol tables of shared objects and programs",
        needed_by="gdb, perf, `py-spy --native` and Ray's crash reports, to show names in native stack traces",
    ),
}


def describe_rules(is_default: bool) -> str:
    """Return help on the rules of `prune` that are on by default, or on the others, as a Markdown list."""
    return "\n\n".join(
        f"- `{rule.name}`: {HELP[rule.name].removes}. Needed by {HELP[rule.name].needed_by}."
        for rule in RULES
        if rule.is_default == is_default
    )
