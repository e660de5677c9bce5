"""Stage 1: the owners of `serve_app` and `entry_point`, and the whole text of each error without an owner."""

from __future__ import annotations

import pytest
from conftest import Golden
from pants.backend.project_info.dependencies import Dependencies as DependenciesGoal
from pants.backend.project_info.list_targets import List
from pants.engine.addresses import Address
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import (
    IMAGE,
    OPTIONS,
    closure_error,
    direct_dependencies,
    find_closure,
    find_owner,
    find_owners,
    write,
)

TWO_OWNERS = (
    "python_source(name='a', source='main.py')\npython_source(name='b', source='main.py')\n"
)


def image(**fields: object) -> str:
    arguments = "".join(f", {name}={value!r}" for name, value in fields.items())
    return f"slim_ray_image(name='image'{arguments})\n"


def test_owner_of_serve_app_is_inferred(rule_runner: RuleRunner) -> None:
    """The owner of the module is a dependency of the image, with the field as the reason."""
    write(
        rule_runner,
        {"app/BUILD": "python_sources()\n" + image(serve_app="app.main:app"), "app/main.py": ""},
    )
    assert direct_dependencies(rule_runner) == ["src/app/main.py"]
    owner = find_owner(rule_runner)
    assert str(owner.address) == "src/app/main.py"
    assert owner.source == "src/app/main.py"
    assert owner.named_by == "`serve_app` 'app.main:app'"
    assert owner.problem is None


def test_package_is_owned_by_its_init_file(rule_runner: RuleRunner) -> None:
    """`__init__.py` owns an import path that names a package."""
    write(
        rule_runner,
        {"app/BUILD": "python_sources()\n" + image(serve_app="app:app"), "app/__init__.py": ""},
    )
    assert find_owner(rule_runner).source == "src/app/__init__.py"


@pytest.mark.parametrize(
    ("entry_point", "source"),
    [
        ("app.main --rounds 3", "src/app/main.py"),
        ("main.py --rounds 3", "src/app/main.py"),
        ("./main.py", "src/app/main.py"),
        ("jobs/night.py", "src/app/jobs/night.py"),
        ("'two words.py'", "src/app/two words.py"),
    ],
    ids=["module", "file", "file-with-dot", "file-below", "file-with-space"],
)
def test_owner_of_entry_point_is_inferred(
    rule_runner: RuleRunner, entry_point: str, source: str
) -> None:
    """A module is looked up from the source roots, and a file from the BUILD file's folder."""
    build = "python_sources(sources=['**/*.py'])\n" + image(entry_point=entry_point)
    files = {"app/main.py": "", "app/jobs/night.py": "", "app/two words.py": ""}
    write(rule_runner, {"app/BUILD": build, **files})
    owner = find_owner(rule_runner)
    assert (owner.source, owner.problem) == (source, None)
    assert owner.named_by == f"`entry_point` {entry_point!r}"


def test_package_is_run_by_its_main(rule_runner: RuleRunner) -> None:
    """An `entry_point` runs a package's `__main__`, like `python -m`; a `serve_app` imports its `__init__.py`."""
    files = {"app/__init__.py": "VALUE = 1\n", "app/__main__.py": "", "app/main.py": ""}
    write(rule_runner, {"app/BUILD": "python_sources()\n" + image(entry_point="app"), **files})
    assert find_owner(rule_runner).source == "src/app/__main__.py"
    assert find_owner(rule_runner).problem is None


@pytest.mark.parametrize(
    ("files", "entry_point", "source"),
    [
        (["app/__main__.py"], "app", "src/app/__main__.py"),
        (["app.py", "app/__main__.py"], "app", "src/app.py"),
        (["app/__init__.py"], "app.__init__", "src/app/__init__.py"),
        (["app/__init__.py", "app/__main__.py"], "app.__main__", "src/app/__main__.py"),
    ],
    ids=["no file of its own", "a module of that name", "its file", "its main"],
)
def test_what_python_runs_is_the_entry(
    files: list[str], entry_point: str, source: str, rule_runner: RuleRunner
) -> None:
    """A module wins over a folder of the same name that is not a package."""
    build = "python_sources(sources=['**/*.py'])\n" + image(entry_point=entry_point)
    write(rule_runner, {"BUILD": build, **dict.fromkeys(files, "VALUE = 1\n")})
    assert find_owner(rule_runner, Address("src", target_name="image")).source == source


def test_package_that_cannot_be_run_is_named(rule_runner: RuleRunner) -> None:
    """A package without `__main__` is an error, because `python -m` would reject it in the container."""
    build = "python_sources()\n" + image(entry_point="app --rounds 3")
    write(rule_runner, {"app/BUILD": build, "app/__init__.py": "", "app/main.py": ""})
    assert str(find_owner(rule_runner).problem) == (
        "No target owns the module app.__main__, so it cannot go into the image src/app:image.\n\n"
        "  * it is named by `entry_point` 'app --rounds 3'\n"
        "  * looked in the resolve 'main'\n\n"
        "To fix, do one of the following:\n"
        "  * correct `entry_point` 'app --rounds 3', a path from a source root\n"
        "  * run `pants tailor ::` to create a target for the file"
    )


def test_requirement_owns_a_module_of_a_distribution(rule_runner: RuleRunner) -> None:
    """A distribution's module has its requirement as the owner, and no file."""
    build = "python_requirement(name='third', requirements=['third==1.0'])\n"
    write(rule_runner, {"app/BUILD": build + image(entry_point="third.cli.main --port 1")})
    owner = find_owner(rule_runner)
    assert (str(owner.address), owner.source) == ("src/app:third", None)
    assert direct_dependencies(rule_runner) == ["src/app:third"]


def test_test_file_can_be_an_entry(rule_runner: RuleRunner) -> None:
    """Every target type with Python source can own the entry."""
    write(
        rule_runner,
        {
            "app/BUILD": "python_tests()\n" + image(entry_point="test_load.py"),
            "app/test_load.py": "",
        },
    )
    assert find_owner(rule_runner).source == "src/app/test_load.py"


def test_image_of_dependencies_alone_has_no_entry(rule_runner: RuleRunner) -> None:
    """Without an entry nothing is inferred, and there is no error."""
    write(
        rule_runner,
        {"app/BUILD": "python_sources()\n" + image(dependencies=[":app"]), "app/main.py": ""},
    )
    found = find_owners(rule_runner)
    assert (found.owners, found.problems) == ((), ())
    assert direct_dependencies(rule_runner) == ["src/app:app"]


@pytest.mark.parametrize("field", ["serve_app", "entry_point"])
def test_owner_of_the_parent_is_not_taken_for_the_owner(
    rule_runner: RuleRunner, field: str
) -> None:
    """Pants finds the owner of `app.main` for `app.main.inner`, but an image cannot start with `app.main.inner`."""
    text = "app.main.inner:app" if field == "serve_app" else "app.main.inner"
    write(
        rule_runner,
        {"app/BUILD": "python_sources()\n" + image(**{field: text}), "app/main.py": "inner = 1\n"},
    )
    assert direct_dependencies(rule_runner) == []
    assert closure_error(rule_runner) == (
        "No target owns the module app.main.inner, so it cannot go into the image src/app:image.\n\n"
        f"  * it is named by `{field}` {text!r}\n"
        "  * looked in the resolve 'main'\n\n"
        "To fix, do one of the following:\n"
        f"  * correct `{field}` {text!r}, a path from a source root\n"
        "  * run `pants tailor ::` to create a target for the file"
    )


def test_type_stub_beside_the_source_is_no_second_owner(rule_runner: RuleRunner) -> None:
    """The `.py` file owns the module, and a stub does not make the owner ambiguous."""
    build = "python_sources(sources=['*.py', '*.pyi'])\n" + image(serve_app="app.main:app")
    write(rule_runner, {"app/BUILD": build, "app/main.py": "", "app/main.pyi": ""})
    assert find_owner(rule_runner).source == "src/app/main.py"


def test_type_stub_alone_is_no_owner(rule_runner: RuleRunner) -> None:
    """A stub contains no code, so the module has no owner in any resolve."""
    build = "python_sources(sources=['*.pyi'])\n" + image(serve_app="app.main:app")
    write(rule_runner, {"app/BUILD": build, "app/main.pyi": ""})
    assert closure_error(rule_runner) == (
        "No target owns the module app.main, so it cannot go into the image src/app:image.\n\n"
        "  * it is named by `serve_app` 'app.main:app'\n"
        "  * looked in the resolve 'main'\n\n"
        "To fix, do one of the following:\n"
        "  * correct `serve_app` 'app.main:app', a path from a source root\n"
        "  * run `pants tailor ::` to create a target for the file"
    )


def test_module_that_nobody_owns_is_named(rule_runner: RuleRunner) -> None:
    """A file that has no target is not found."""
    write(rule_runner, {"app/BUILD": image(serve_app="app.main:app"), "app/main.py": ""})
    assert closure_error(rule_runner) == (
        "No target owns the module app.main, so it cannot go into the image src/app:image.\n\n"
        "  * it is named by `serve_app` 'app.main:app'\n"
        "  * looked in the resolve 'main'\n\n"
        "To fix, do one of the following:\n"
        "  * correct `serve_app` 'app.main:app', a path from a source root\n"
        "  * run `pants tailor ::` to create a target for the file"
    )


def test_file_that_nobody_owns_is_named_by_its_path(rule_runner: RuleRunner) -> None:
    """The message has the path from the build root, and explains how to create a target for the file."""
    write(
        rule_runner,
        {"app/BUILD": image(entry_point="driver.py --rounds 3"), "app/driver.py": ""},
    )
    assert closure_error(rule_runner) == (
        "No target owns the file src/app/driver.py, so it cannot go into the image src/app:image.\n\n"
        "  * it is named by `entry_point` 'driver.py --rounds 3'\n"
        "  * looked in the resolve 'main'\n\n"
        "To fix, do one of the following:\n"
        "  * correct `entry_point` 'driver.py --rounds 3', a path from the folder of the BUILD file\n"
        "  * run `pants tailor ::` to create a target for the file"
    )


@pytest.mark.parametrize(
    ("entry_point", "files", "golden_name"),
    [
        ("drivr.py", ["driver.py"], "entry-file-not-there.txt"),
        ("drivr.py", ["__init__.py", "driver.py"], "entry-file-not-there-in-a-package.txt"),
        ("jobs/driver.py", ["driver.py"], "entry-file-in-a-folder-without-python.txt"),
    ],
    ids=["one-file-beside", "package-beside", "other-folder"],
)
def test_file_that_is_not_there_is_not_another_file(
    rule_runner: RuleRunner, golden: Golden, entry_point: str, files: list[str], golden_name: str
) -> None:
    """For a missing file Pants returns the owners of the folder; none of them becomes the image's entry."""
    build = "python_sources()\n" + image(entry_point=entry_point)
    write(rule_runner, {"app/BUILD": build, **{f"app/{file}": "" for file in files}})
    assert direct_dependencies(rule_runner) == []
    golden.check(f"errors/serve/{golden_name}", closure_error(rule_runner))


@pytest.mark.parametrize(
    ("field", "text", "what"),
    [
        ("serve_app", "app.main:app", "the module app.main"),
        ("entry_point", "app.main", "the module app.main"),
        ("entry_point", "main.py", "the file src/app/main.py"),
    ],
    ids=["serve_app", "module", "file"],
)
class TestSeveralOwners:
    """Two targets own the same file."""

    def test_candidates_and_fixes_are_named(
        self, rule_runner: RuleRunner, field: str, text: str, what: str
    ) -> None:
        """Without a choice the message lists each candidate and both ways to choose."""
        write(
            rule_runner,
            {"app/BUILD": TWO_OWNERS + image(**{field: text}), "app/main.py": ""},
        )
        assert direct_dependencies(rule_runner) == []
        assert closure_error(rule_runner) == (
            f"More than one target owns {what}, which `{field}` {text!r} of the image src/app:image names:\n\n"
            "  * src/app:a (resolve 'main')\n"
            "  * src/app:b (resolve 'main')\n\n"
            "To fix, do one of the following:\n"
            "  * add the one you mean to the `dependencies` of src/app:image\n"
            "  * exclude the others there, with a leading `!`"
        )

    @pytest.mark.parametrize(
        "dependencies", [[":b"], ["!:a"], [":b", "!:a"]], ids=["include", "exclude", "both"]
    )
    def test_explicit_dependency_chooses(
        self,
        rule_runner: RuleRunner,
        field: str,
        text: str,
        what: str,
        dependencies: list[str],
    ) -> None:
        """Each fix in the message solves the problem."""
        build = TWO_OWNERS + image(**{field: text, "dependencies": dependencies})
        write(rule_runner, {"app/BUILD": build, "app/main.py": ""})
        assert str(find_owner(rule_runner).address) == "src/app:b"
        assert direct_dependencies(rule_runner) == ["src/app:b"]
        assert [file.source for file in find_closure(rule_runner).files] == ["src/app/main.py"]

    def test_choice_of_both_is_none(
        self, rule_runner: RuleRunner, field: str, text: str, what: str
    ) -> None:
        """If both owners are dependencies, or both are excluded, the owner is still ambiguous."""
        for dependencies in ([":a", ":b"], ["!:a", "!:b"]):
            build = TWO_OWNERS + image(**{field: text, "dependencies": dependencies})
            write(rule_runner, {"app/BUILD": build, "app/main.py": ""})
            problem = find_owner(rule_runner).problem
            assert problem is not None
            assert problem.subject.startswith(f"More than one target owns {what},")


def test_generator_as_dependency_chooses_its_file(rule_runner: RuleRunner) -> None:
    """A target generator in `dependencies` chooses the targets that it generates."""
    build = "python_sources(name='all')\npython_source(name='b', source='main.py')\n" + image(
        serve_app="app.main:app", dependencies=[":all"]
    )
    write(rule_runner, {"app/BUILD": build, "app/main.py": ""})
    assert str(find_owner(rule_runner).address) == "src/app/main.py:all"


@pytest.mark.parametrize(
    ("field", "text", "what"),
    [
        ("serve_app", "app.main:app", "the module app.main"),
        ("entry_point", "main.py", "the file src/app/main.py"),
    ],
    ids=["module", "file"],
)
def test_owner_in_another_resolve_is_named(
    rule_runner: RuleRunner, field: str, text: str, what: str
) -> None:
    """The message names the owner's resolve, and both ways to make the resolves agree."""
    build = "python_sources(resolve='other')\n" + image(**{field: text})
    write(rule_runner, {"app/BUILD": build, "app/main.py": ""})
    assert direct_dependencies(rule_runner) == []
    assert closure_error(rule_runner) == (
        f"No target in the resolve 'main' owns {what}, so it cannot go into the image src/app:image. "
        f"It is named by `{field}` {text!r}. Another resolve has it:\n\n"
        "  * src/app/main.py (resolve 'other')\n\n"
        "To fix, do one of the following:\n"
        "  * set `resolve` on src/app:image to the owner's resolve\n"
        "  * set `resolve='main'` on the owner"
    )


@pytest.mark.parametrize("field", ["serve_app", "entry_point"])
def test_owner_of_each_resolve_is_found_in_its_own(rule_runner: RuleRunner, field: str) -> None:
    """A source in both resolves is not ambiguous: the image's resolve decides."""
    entry = {field: "app.main:app" if field == "serve_app" else "main.py"}
    build = "python_sources(resolve=parametrize('main', 'other'))\n" + image(
        **entry, resolve="other"
    )
    write(rule_runner, {"app/BUILD": build, "app/main.py": ""})
    assert str(find_owner(rule_runner).address) == "src/app/main.py@resolve=other"


def test_requirement_in_another_resolve_is_named(rule_runner: RuleRunner) -> None:
    """A distribution's module is also looked up in the other resolves."""
    build = "python_requirement(name='third', requirements=['third==1.0'], resolve='other')\n"
    write(rule_runner, {"app/BUILD": build + image(entry_point="third.cli")})
    assert closure_error(rule_runner) == (
        "No target in the resolve 'main' owns the module third.cli, so it cannot go into the image src/app:image. "
        "It is named by `entry_point` 'third.cli'. Another resolve has it:\n\n"
        "  * src/app:third (resolve 'other')\n\n"
        "To fix, do one of the following:\n"
        "  * set `resolve` on src/app:image to the owner's resolve\n"
        "  * set `resolve='main'` on the owner"
    )


@pytest.mark.parametrize(
    "build",
    [
        image(serve_app="app.main:app"),
        "python_sources(resolve='other')\n" + image(serve_app="app.main:app"),
        TWO_OWNERS + image(serve_app="app.main:app"),
    ],
    ids=["unowned", "wrong-resolve", "ambiguous"],
)
def test_listing_works_though_nobody_owns_the_entry(rule_runner: RuleRunner, build: str) -> None:
    """`pants list` and `pants dependencies` do not fail; only a goal that builds the image does."""
    write(rule_runner, {"app/BUILD": build, "app/main.py": ""})
    listed = rule_runner.run_goal_rule(List, global_args=OPTIONS, args=["::"])
    assert listed.exit_code == 0
    assert "src/app:image" in listed.stdout.splitlines()
    dependencies = rule_runner.run_goal_rule(
        DependenciesGoal, global_args=OPTIONS, args=["src/app:image"]
    )
    assert (dependencies.exit_code, dependencies.stdout) == (0, "")


def test_owner_follows_a_change_of_the_files(rule_runner: RuleRunner) -> None:
    """A new module is found without a restart of Pants."""
    build = "python_sources()\n" + image(serve_app="app.main:app")
    write(rule_runner, {"app/BUILD": build, "app/other.py": ""})
    assert find_owner(rule_runner).problem is not None
    write(rule_runner, {"app/main.py": ""})
    rule_runner.set_options(OPTIONS)
    assert find_owner(rule_runner, Address("src/app", target_name="image")).address is not None


def test_image_can_be_in_another_folder_than_its_code(rule_runner: RuleRunner) -> None:
    """An import path starts at a source root, wherever the BUILD file is."""
    write(
        rule_runner,
        {
            "app/BUILD": image(serve_app="services.echo.main:app"),
            "services/echo/BUILD": "python_sources()\n",
            "services/echo/main.py": "",
        },
    )
    assert find_owner(rule_runner, IMAGE).source == "src/services/echo/main.py"
