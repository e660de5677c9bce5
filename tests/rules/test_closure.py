"""Stage 2: the content of an image, each file and requirement with its reason."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Iterable

import pytest
from conftest import Golden
from pants.engine.addresses import Address
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import (
    IMAGE,
    OPTIONS,
    closure_contents,
    closure_error,
    find_closure,
    write,
)
from slim_ray_image.closure import ImageEntry
from slim_ray_image.core.closure.closure import ClosureFile, ClosureRequirement
from slim_ray_image.core.serve.import_paths import ImportPath

ENTRY = "`serve_app` 'app.main:app'"
APP = """\
python_sources()
slim_ray_image(name='image', serve_app='app.main:app')
"""


def requirement(name: str, text: str = "", **fields: object) -> str:
    arguments = "".join(f", {field}={value!r}" for field, value in fields.items())
    return (
        f"python_requirement(name={name!r}, requirements=[{text or name + '==1.0'!r}]{arguments})\n"
    )


def rows(files: Iterable[ClosureFile]) -> list[tuple[str, str, int, str]]:
    """Return the description of each file, as in image.json."""
    return [(file.path, file.source, file.bytes, file.reason) for file in files]


def files_of(rule_runner: RuleRunner, address: Address = IMAGE) -> dict[str, str]:
    """Map the path of each file in the image to its reason."""
    return {file.path: file.reason for file in find_closure(rule_runner, address).files}


def requirements_of(rule_runner: RuleRunner) -> dict[str, str]:
    """Map each requirement to its reason."""
    return {found.text: found.reason for found in find_closure(rule_runner).requirements}


def test_closure_holds_what_the_code_reaches_and_nothing_else(rule_runner: RuleRunner) -> None:
    """Imports are followed through first-party code; code and requirements beside it are left out."""
    write(
        rule_runner,
        {
            "3rd/BUILD": requirement("used") + requirement("deep") + requirement("unused"),
            "app/BUILD": APP,
            "app/main.py": "import os\nimport used\n\nfrom lib.words import count\n\napp = 1\n",
            "app/unused.py": "import unused\n",
            "lib/BUILD": "python_sources()\n",
            "lib/words.py": "from deep.part import thing\n\n\ndef count(): ...\n",
            "lib/unused.py": "",
        },
    )
    closure = find_closure(rule_runner)
    assert closure.resolve == "main"
    assert closure.requirements == (
        ClosureRequirement("deep==1.0", "import of deep.part.thing at src/lib/words.py:1"),
        ClosureRequirement("used==1.0", "import of used at src/app/main.py:2"),
    )
    assert rows(closure.files) == [
        ("app/main.py", "src/app/main.py", 60, ENTRY),
        ("lib/words.py", "src/lib/words.py", 47, "import of lib.words.count at src/app/main.py:4"),
    ]
    assert closure.entries == (ImageEntry(closure.files[0], ENTRY, ImportPath("app.main", "app")),)
    assert closure_contents(rule_runner, closure) == {
        "app/main.py": b"import os\nimport used\n\nfrom lib.words import count\n\napp = 1\n",
        "lib/words.py": b"from deep.part import thing\n\n\ndef count(): ...\n",
    }


def test_reason_is_the_first_of_several_imports(rule_runner: RuleRunner) -> None:
    """The reason is the first of several imports by file, then by line, so the reason is stable."""
    write(
        rule_runner,
        {
            "3rd/BUILD": requirement("third"),
            "app/BUILD": APP,
            "app/main.py": "import lib.b\nimport app.helper\nimport third\n",
            "app/helper.py": "import sys\nfrom third import one\nfrom third import two\n",
            "lib/BUILD": "python_sources()\n",
            "lib/b.py": "import third\n",
        },
    )
    assert requirements_of(rule_runner) == {
        "third==1.0": "import of third.one at src/app/helper.py:2"
    }


def test_import_in_a_block_is_an_import(rule_runner: RuleRunner) -> None:
    """Imports inside functions, conditions and `try` count, with their own lines."""
    write(
        rule_runner,
        {
            "3rd/BUILD": requirement("lazy") + requirement("maybe"),
            "app/BUILD": APP,
            "app/main.py": "def run():\n    import lazy\n\ntry:\n    import maybe\n"
            "except ImportError:\n    maybe = None\n",
        },
    )
    assert requirements_of(rule_runner) == {
        "lazy==1.0": "import of lazy at src/app/main.py:2",
        "maybe==1.0": "import of maybe at src/app/main.py:5",
    }


def test_explicit_dependencies_have_their_dependent_as_the_reason(
    rule_runner: RuleRunner,
) -> None:
    """A target that no code imports is explained by the target whose `dependencies` name it."""
    write(
        rule_runner,
        {
            "3rd/BUILD": requirement("of_image") + requirement("of_code"),
            "app/BUILD": "python_source(name='main', source='main.py', dependencies=['src/3rd:of_code'])\n"
            "slim_ray_image(name='image', serve_app='app.main:app', dependencies=['src/3rd:of_image'])\n",
            "app/main.py": "",
        },
    )
    assert requirements_of(rule_runner) == {
        "of_code==1.0": "dependency of src/app:main",
        "of_image==1.0": "`dependencies` of src/app:image",
    }


def test_requirement_text_is_kept(rule_runner: RuleRunner) -> None:
    """Extras, markers and all strings of a target with several requirements stay unchanged."""
    write(
        rule_runner,
        {
            "3rd/BUILD": "python_requirement(name='third', modules=['third'], requirements=["
            "'third[fast,safe]>=1.0,<2', 'third-plugin==3.0; python_version < \"3.11\"'])\n",
            "app/BUILD": APP,
            "app/main.py": "import third\n",
        },
    )
    assert list(requirements_of(rule_runner)) == [
        'third-plugin==3.0; python_version < "3.11"',
        "third[fast,safe]<2,>=1.0",
    ]


def test_requirements_generator_gives_single_requirements(rule_runner: RuleRunner) -> None:
    """The closure has only the lines of requirements.txt that the code imports, and not the file itself."""
    write(
        rule_runner,
        {
            "3rd/BUILD": "python_requirements(name='all')\n",
            "3rd/requirements.txt": "used==1.0\nunused==2.0\n",
            "app/BUILD": APP,
            "app/main.py": "import used\n",
        },
    )
    assert requirements_of(rule_runner) == {"used==1.0": "import of used at src/app/main.py:1"}
    assert list(files_of(rule_runner)) == ["app/main.py"]


def test_resources_and_files_have_their_paths_and_reasons(rule_runner: RuleRunner) -> None:
    """A resource loses its source root and a `file` keeps its whole path, as in Pants' own goals."""
    write(
        rule_runner,
        {
            "app/BUILD": "python_sources(dependencies=[':table', ':config'])\n"
            "resource(name='table', source='table.csv')\n"
            "file(name='config', source='config.yaml')\n"
            "resources(name='more', sources=['more/*.txt'])\n"
            "files(name='all', sources=['all/*.txt'])\n"
            "slim_ray_image(name='image', serve_app='app.main:app', dependencies=[':more', ':all'])\n",
            "app/main.py": "",
            "app/table.csv": "1,2\n",
            "app/config.yaml": "a: 1\n",
            "app/more/a.txt": "",
            "app/all/b.txt": "",
        },
    )
    closure = find_closure(rule_runner)
    assert rows(closure.files) == [
        ("app/main.py", "src/app/main.py", 0, ENTRY),
        ("app/more/a.txt", "src/app/more/a.txt", 0, "`dependencies` of src/app:image"),
        ("app/table.csv", "src/app/table.csv", 4, "dependency of src/app/main.py"),
        ("src/app/all/b.txt", "src/app/all/b.txt", 0, "`dependencies` of src/app:image"),
        ("src/app/config.yaml", "src/app/config.yaml", 5, "dependency of src/app/main.py"),
    ]
    assert sorted(closure_contents(rule_runner, closure)) == [file.path for file in closure.files]


def test_source_root_is_stripped_wherever_it_is(rule_runner: RuleRunner) -> None:
    """Each file loses its own source root, so code of several source roots meets in one tree."""
    rule_runner.set_options([*OPTIONS, "--source-root-patterns=['src', 'src/nested/lib']"])
    write(
        rule_runner,
        {
            "app/BUILD": APP,
            "app/main.py": "import inner.words\n",
            "nested/lib/inner/BUILD": "python_sources()\n",
            "nested/lib/inner/words.py": "",
        },
    )
    assert list(files_of(rule_runner)) == ["app/main.py", "inner/words.py"]


def test_generator_targets_stand_for_what_they_generate(rule_runner: RuleRunner) -> None:
    """A generator in `dependencies` adds all of its targets, as if each were named there."""
    write(
        rule_runner,
        {
            "3rd/BUILD": "python_requirements(name='all')\n",
            "3rd/requirements.txt": "one==1.0\ntwo==2.0\n",
            "app/BUILD": "slim_ray_image(name='image', dependencies=['src/lib', 'src/3rd:all'])\n",
            "lib/BUILD": "python_sources()\n",
            "lib/a.py": "",
            "lib/b.py": "",
        },
    )
    closure = find_closure(rule_runner)
    assert files_of(rule_runner) == {
        "lib/a.py": "`dependencies` of src/app:image",
        "lib/b.py": "`dependencies` of src/app:image",
    }
    assert requirements_of(rule_runner) == {
        "one==1.0": "`dependencies` of src/app:image",
        "two==2.0": "`dependencies` of src/app:image",
    }
    assert closure.entries == ()


def test_group_of_dependencies_is_followed(rule_runner: RuleRunner) -> None:
    """A `target`, which has no files itself, passes its dependencies on."""
    write(
        rule_runner,
        {
            "app/BUILD": "target(name='group', dependencies=['src/lib/a.py'])\n"
            "slim_ray_image(name='image', dependencies=[':group'])\n",
            "lib/BUILD": "python_sources()\n",
            "lib/a.py": "import lib.b\n",
            "lib/b.py": "",
        },
    )
    assert files_of(rule_runner) == {
        "lib/a.py": "dependency of src/app:group",
        "lib/b.py": "import of lib.b at src/lib/a.py:1",
    }


def test_init_files_with_content_come_along(rule_runner: RuleRunner) -> None:
    """Each parent's `__init__.py` with content is in the image, as Pants infers."""
    write(
        rule_runner,
        {
            "app/BUILD": APP,
            "app/__init__.py": "VERSION = 1\n",
            "app/main.py": "",
        },
    )
    assert files_of(rule_runner) == {
        "app/__init__.py": "dependency of src/app/main.py",
        "app/main.py": ENTRY,
    }


def test_circle_of_imports_is_followed_once(rule_runner: RuleRunner) -> None:
    """Modules that import each other are all in the closure, and the entry has the field as its reason."""
    write(
        rule_runner,
        {"app/BUILD": APP, "app/main.py": "import app.b\n", "app/b.py": "import app.main\n"},
    )
    assert files_of(rule_runner) == {
        "app/b.py": "import of app.b at src/app/main.py:1",
        "app/main.py": ENTRY,
    }


def test_entry_of_a_distribution_has_no_file(rule_runner: RuleRunner) -> None:
    """If the entry is a distribution's module, the closure can be without first-party files."""
    build = requirement("third") + "slim_ray_image(name='image', entry_point='third.cli')\n"
    write(rule_runner, {"app/BUILD": build})
    closure = find_closure(rule_runner)
    assert closure.files == ()
    assert closure.entries == (ImageEntry(None, "`entry_point` 'third.cli'", None),)
    assert requirements_of(rule_runner) == {"third==1.0": "`entry_point` 'third.cli'"}


def test_type_stubs_stay_out(rule_runner: RuleRunner) -> None:
    """Type stubs for a distribution or a source are not in the closure."""
    third = requirement("third") + requirement("types-third")
    write(
        rule_runner,
        {
            "3rd/BUILD": third,
            "app/BUILD": APP,
            "app/main.py": "import third\nimport app.b\n",
            "app/b.py": "",
            "app/b.pyi": "",
        },
    )
    assert requirements_of(rule_runner) == {"third==1.0": "import of third at src/app/main.py:1"}
    assert set(files_of(rule_runner)) == {"app/b.py", "app/main.py"}


def test_closure_follows_a_change_of_a_source(rule_runner: RuleRunner) -> None:
    """A new import adds its requirement without a restart of Pants."""
    write(
        rule_runner,
        {"3rd/BUILD": requirement("third"), "app/BUILD": APP, "app/main.py": ""},
    )
    assert requirements_of(rule_runner) == {}
    write(rule_runner, {"app/main.py": "import third\n"})
    rule_runner.set_options(OPTIONS)
    assert list(requirements_of(rule_runner)) == ["third==1.0"]


@pytest.mark.parametrize(
    "nothing",
    [
        "target(name='nothing')\n",
        "python_sources(name='nothing', sources=['*.nowhere'])\n",
        "files(name='nothing', sources=['*.nowhere'])\n",
    ],
    ids=["target", "sources", "files"],
)
def test_dependencies_that_hold_nothing_are_refused(rule_runner: RuleRunner, nothing: str) -> None:
    """An image that would equal its base is a mistake."""
    rule_runner.set_options([*OPTIONS, "--unmatched-build-file-globs=ignore"])
    build = nothing + "slim_ray_image(name='image', dependencies=[':nothing'])\n"
    write(rule_runner, {"app/BUILD": build})
    assert closure_error(rule_runner) == (
        "The image src/app:image would contain nothing but its base: none of its `dependencies` is Python code, a "
        "file, a resource, a requirement or a package.\n\n"
        "To fix, add the targets that the image should contain to `dependencies`."
    )


def test_dependencies_of_another_resolve_are_refused(rule_runner: RuleRunner) -> None:
    """Each target of another resolve is named with its resolve, code and requirements alike."""
    write(
        rule_runner,
        {
            "3rd/BUILD": requirement("third", resolve="other"),
            "app/BUILD": "slim_ray_image(name='image', dependencies=['src/lib/a.py', 'src/3rd:third', 'src/ok/b.py'])\n",
            "lib/BUILD": "python_sources(resolve='other')\n",
            "lib/a.py": "",
            "ok/BUILD": "python_sources()\n",
            "ok/b.py": "",
        },
    )
    assert closure_error(rule_runner) == (
        "The image src/app:image uses the resolve 'main', but some of its dependencies use another one:\n\n"
        "  * src/3rd:third is in 'other'\n"
        "  * src/lib/a.py is in 'other'\n\n"
        "To fix, do one of the following:\n"
        "  * set `resolve` on src/app:image to the resolve of its dependencies\n"
        "  * remove the dependencies in the other resolve"
    )


def test_resolve_of_the_image_decides(rule_runner: RuleRunner) -> None:
    """The same import gets the requirement of the image's own resolve."""
    write(
        rule_runner,
        {
            "3rd/BUILD": requirement("a", "third==1.0")
            + requirement("b", "third==2.0", resolve="other"),
            "app/BUILD": "python_sources(resolve=parametrize('main', 'other'))\n"
            "slim_ray_image(name='image', serve_app='app.main:app', resolve='other')\n",
            "app/main.py": "import third\n",
        },
    )
    assert find_closure(rule_runner).resolve == "other"
    assert requirements_of(rule_runner) == {"third==2.0": "import of third at src/app/main.py:1"}


def test_repository_without_resolves_is_refused(rule_runner: RuleRunner) -> None:
    """Without a lockfile an image could change from day to day, so the message explains how to get one."""
    rule_runner.set_options([*OPTIONS, "--no-python-enable-resolves"])
    write(rule_runner, {"app/BUILD": APP, "app/main.py": ""})
    assert closure_error(rule_runner) == (
        "The image src/app:image needs a lockfile, but `[python].enable_resolves` is off.\n\n"
        "To fix, set `enable_resolves = true` in `[python]`, and name the lockfile in `[python.resolves]`."
    )


def test_file_of_several_targets_is_there_once(rule_runner: RuleRunner) -> None:
    """A file with two owning targets has one entry, so that no layer has a path twice."""
    write(
        rule_runner,
        {
            "app/BUILD": "resource(name='one', source='a.txt')\nresource(name='two', source='a.txt')\n"
            "file(name='three', source='a.txt')\n"
            "slim_ray_image(name='image', dependencies=[':one', ':two', ':three'])\n",
            "app/a.txt": "",
        },
    )
    assert list(files_of(rule_runner)) == ["app/a.txt", "src/app/a.txt"]
    assert len(find_closure(rule_runner).files) == 2


def test_equal_files_of_several_source_roots_meet_at_one_path(rule_runner: RuleRunner) -> None:
    """The equal `__init__.py` files of a package in two source roots become one file."""
    rule_runner.set_options([*OPTIONS, "--source-root-patterns=['src', 'src/more']"])
    build = (
        "python_sources()\nslim_ray_image(name='image', dependencies=[':app', 'src/more/app'])\n"
    )
    write(
        rule_runner,
        {
            "app/BUILD": build,
            "app/__init__.py": "",
            "more/app/BUILD": "python_sources()\n",
            "more/app/__init__.py": "",
        },
    )
    assert list(files_of(rule_runner)) == ["app/__init__.py"]


def test_different_files_at_one_path_are_refused(rule_runner: RuleRunner, golden: Golden) -> None:
    """The message lists each such path with its source files, but not their content."""
    rule_runner.set_options([*OPTIONS, "--source-root-patterns=['src', 'src/more']"])
    build = (
        "resources(sources=['*.txt'])\n"
        "slim_ray_image(name='image', dependencies=[':app', 'src/more/app'])\n"
    )
    write(
        rule_runner,
        {
            "app/BUILD": build,
            "app/a.txt": "one",
            "app/b.txt": "one",
            "more/app/BUILD": "resources(sources=['*.txt'])\n",
            "more/app/a.txt": "two",
            "more/app/b.txt": "two",
        },
    )
    golden.check("errors/closure/different-files-at-one-path.txt", closure_error(rule_runner))


def test_generated_files_come_along(rule_runner: RuleRunner) -> None:
    """Files that Pants generates for a target, such as `relocated_files` and `http_source`, are in the image."""
    downloaded = Path(rule_runner.build_root, "table.csv")
    downloaded.write_text("1,2\n")
    source = (
        f"http_source(url={downloaded.as_uri()!r}, len=4, filename='table.csv', "
        "sha256='52186c933993da4082b3cdc7c40bb4bf735b391ff54a2ef78c037dda6c38a680')"
    )
    write(
        rule_runner,
        {
            "app/BUILD": "file(name='config', source='config.yaml')\n"
            "relocated_files(name='moved', files_targets=[':config'], src='src/app', dest='etc')\n"
            f"resource(name='table', source={source})\n"
            "slim_ray_image(name='image', dependencies=[':moved', ':table'])\n",
            "app/config.yaml": "a: 1\n",
        },
    )
    closure = find_closure(rule_runner)
    assert [(file.path, file.bytes) for file in closure.files] == [
        ("app/table.csv", 4),
        ("etc/config.yaml", 5),
    ]
    assert closure_contents(rule_runner, closure) == {
        "app/table.csv": b"1,2\n",
        "etc/config.yaml": b"a: 1\n",
    }


def test_exclusion_leaves_out_what_others_depend_on(rule_runner: RuleRunner) -> None:
    """`!!` leaves a target out of the image, whichever target depends on it, as for Pants' own package targets."""
    write(
        rule_runner,
        {
            "3rd/BUILD": requirement("third"),
            "app/BUILD": "python_sources()\n"
            "slim_ray_image(name='image', serve_app='app.main:app', dependencies=['!!src/3rd:third'])\n",
            "app/main.py": "import app.b\n",
            "app/b.py": "import third\n",
        },
    )
    assert requirements_of(rule_runner) == {}
    assert list(files_of(rule_runner)) == ["app/b.py", "app/main.py"]


@pytest.mark.parametrize("exclusion", ["!src/app/main.py", "!!src/app/main.py"])
def test_exclusion_of_the_entry_is_refused(rule_runner: RuleRunner, exclusion: str) -> None:
    """An image cannot exclude the module that it starts with."""
    write(
        rule_runner,
        {
            "app/BUILD": "python_sources()\nslim_ray_image(name='image', serve_app='app.main:app', "
            f"dependencies=[{exclusion!r}, 'src/app/b.py'])\n",
            "app/main.py": "",
            "app/b.py": "",
        },
    )
    assert closure_error(rule_runner) == (
        "The image src/app:image starts with src/app/main.py, named by `serve_app` 'app.main:app', but its "
        "`dependencies` exclude this target.\n\n"
        "To fix, remove the exclusion, which starts with `!`, from `dependencies`."
    )


def test_shell_sources_come_along_executable(rule_runner: RuleRunner) -> None:
    """`shell_source` and `shell_sources` keep their whole paths, as in Pants' own goals, and the executable bit."""
    write(
        rule_runner,
        {
            "app/BUILD": "shell_source(name='start', source='start.sh')\n"
            "shell_sources(name='tools', sources=['tools/*.sh'])\n"
            "slim_ray_image(name='image', dependencies=[':start', ':tools'])\n",
            "app/start.sh": "#!/bin/sh\n",
            "app/tools/a.sh": "",
        },
    )
    rule_runner.set_options([*OPTIONS, "--no-shell-setup-dependency-inference"])
    Path(rule_runner.build_root, "src/app/start.sh").chmod(0o755)
    closure = find_closure(rule_runner)
    assert [(file.path, file.is_executable) for file in closure.files] == [
        ("src/app/start.sh", True),
        ("src/app/tools/a.sh", False),
    ]


def test_generated_sources_keep_their_executable_bit(rule_runner: RuleRunner) -> None:
    """An executable `file` is still executable at the path to which `relocated_files` moves it."""
    write(
        rule_runner,
        {
            "app/BUILD": "file(name='run', source='run')\n"
            "relocated_files(name='moved', files_targets=[':run'], src='src/app', dest='')\n"
            "slim_ray_image(name='image', dependencies=[':moved'])\n",
            "app/run": "#!/bin/sh\n",
        },
    )
    Path(rule_runner.build_root, "src/app/run").chmod(0o755)
    (file,) = find_closure(rule_runner).files
    assert (file.path, file.is_executable) == ("run", True)


# --- Packages


def test_package_goes_in_at_its_output_path(rule_runner: RuleRunner) -> None:
    """The files that `pants package` writes for a dependency are in the image, with a reason, at its `output_path`."""
    write(
        rule_runner,
        {
            "app/BUILD": "file(name='words', source='words.txt')\n"
            "archive(name='archive', files=[':words'], format='tar')\n"
            "archive(name='other', files=[':words'], format='tar', output_path='data/words.tar')\n"
            "python_source(name='main', source='main.py', dependencies=[':archive'])\n"
            "slim_ray_image(name='image', serve_app='app.main:app', dependencies=[':other'])\n",
            "app/main.py": "",
            "app/words.txt": "the\n",
        },
    )
    closure = find_closure(rule_runner)
    assert [(file.path, file.source, file.reason) for file in closure.files] == [
        ("app/main.py", "src/app/main.py", ENTRY),
        ("data/words.tar", "src/app:other", "`dependencies` of src/app:image"),
        ("src.app/archive.tar", "src/app:archive", "dependency of src/app:main"),
    ]
    content = closure_contents(rule_runner, closure)["src.app/archive.tar"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getnames() == ["src/app/words.txt"]


def test_image_is_not_put_into_an_image(rule_runner: RuleRunner, golden: Golden) -> None:
    """An image among direct or transitive dependencies is named with its kind, and nothing is built."""
    write(
        rule_runner,
        {
            "app/BUILD": "python_source(name='main', source='main.py', dependencies=['src/base:image'])\n"
            "slim_ray_image(name='image', serve_app='app.main:app', dependencies=['src/other:image'])\n",
            "app/main.py": "",
            "base/BUILD": "docker_image(name='image', instructions=['FROM scratch'])\n",
            "other/BUILD": "slim_ray_image(name='image', dependencies=['src/app:main'])\n",
        },
    )
    golden.check("errors/closure/image-in-an-image.txt", closure_error(rule_runner))


@pytest.mark.parametrize(
    "moved",
    [
        "relocated_files(name='moved', files_targets=[':words'], src='src/app', dest='../../etc')",
        "relocated_files(name='moved', files_targets=[':words'], src='src/app', dest='/etc')",
        "archive(name='moved', files=[':words'], format='tar', output_path='../words.tar')",
    ],
    ids=["up", "absolute", "package"],
)
def test_path_outside_the_working_directory_is_refused(rule_runner: RuleRunner, moved: str) -> None:
    """Fields with a file's path are checked before Pants moves the file, because Pants would fail without a message."""
    write(
        rule_runner,
        {
            "app/BUILD": f"file(name='words', source='words.txt')\n{moved}\n"
            "slim_ray_image(name='image', dependencies=[':moved'])\n",
            "app/words.txt": "",
        },
    )
    text = closure_error(rule_runner)
    assert text.startswith("Files of the image src/app:image must be below its `workdir`")
    assert "of src/app:moved is '" in text


def test_paths_that_differ_by_case_are_refused(rule_runner: RuleRunner) -> None:
    """Both files are named."""
    write(
        rule_runner,
        {
            "app/BUILD": "resources(name='all', sources=['*.txt'])\n"
            "slim_ray_image(name='image', dependencies=[':all'])\n",
            "app/Words.txt": "",
            "app/words.txt": "",
        },
    )
    assert (
        "  * app/Words.txt from src/app/Words.txt, app/words.txt from src/app/words.txt\n"
        in closure_error(rule_runner)
    )


# --- Extras of Ray

RAY_APP = {
    "3rd/BUILD": requirement("ray", "ray[all]==2.48.0"),
    "app/BUILD": APP,
    "app/main.py": "import ray\nfrom ray import serve\n\nrows = ray.data.range(3)\napp = 1\n",
}


def test_extras_of_ray_are_those_that_the_code_uses(rule_runner: RuleRunner) -> None:
    """Imports and attributes of `ray` decide on extras, not the requirement; each extra has a reason."""
    write(rule_runner, RAY_APP)
    closure = find_closure(rule_runner)
    assert [requirement.text for requirement in closure.requirements] == ["ray[data,serve]==2.48.0"]
    assert [(extra.name, extra.change, extra.reason) for extra in closure.ray_extras] == [
        ("all", "dropped", "nothing in the code needs it"),
        ("data", "added", "use of ray.data at src/app/main.py:4"),
        ("serve", "added", "import of ray.serve at src/app/main.py:2"),
    ]


def test_module_removed_from_ray_is_an_error(rule_runner: RuleRunner) -> None:
    """`ray.workflow` is rejected before anything is built."""
    write(rule_runner, {**RAY_APP, "app/main.py": "from ray import workflow\n\napp = 1\n"})
    assert closure_error(rule_runner) == (
        "The code of the image src/app:image uses modules that Ray no longer has, so their import fails.\n\n"
        "  * import of ray.workflow at src/app/main.py:1: ray.workflow is not in Ray 2.48 and later\n\n"
        "To fix, remove these uses."
    )


def test_module_of_ray_that_the_image_starts_with_is_a_use_of_it(rule_runner: RuleRunner) -> None:
    """An application in Ray itself counts as a use of Ray, although no code of the repository imports it."""
    config = "applications: [{import_path: 'ray.serve.llm:build_openai_app'}]\n"
    build = "slim_ray_image(name='image', serve_config='serve.yaml')\n"
    write(rule_runner, {**RAY_APP, "app/BUILD": build, "app/serve.yaml": config})
    closure = find_closure(rule_runner)
    assert [requirement.text for requirement in closure.requirements] == ["ray[llm,serve]==2.48.0"]
    reasons = {extra.name: extra.reason for extra in closure.ray_extras}
    assert reasons["llm"] == "application 'default' at src/app/serve.yaml:1"
