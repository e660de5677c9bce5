"""Tests of sandbox.layers.write_sources_layer: the layer of the first-party files."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import pytest
from conftest import Content, Golden, Layer, encoded, error_text

from slim_ray_image.core.accounts import Account
from slim_ray_image.core.layers.layer_blob import BLOB, RESULT, LayerBase
from slim_ray_image.core.layers.sources_layer import (
    AttributeCheck,
    SourcesLayerRequest,
    SourcesLayerResult,
)
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.layers.write_sources_layer import main

TAG = sys.implementation.cache_tag
PASSWD = "root:x:0:0:root:/root:/bin/bash\n"
GROUP = "root:x:0:\nusers:x:100:\n"
ACCOUNT = Account(1000, 100, "/home/ray", "ray:x:1000:100::/home/ray:/bin/bash", "")


def write_files(files: Mapping[str, Content]) -> None:
    """Write first-party files to the folder where Pants puts them."""
    for name, content in files.items():
        path = Path("files", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(content))


def write_facts(
    files: Sequence[str],
    *,
    workdir: str = "/app",
    bytecode: bool = False,
    check: Optional[AttributeCheck] = None,
    account: Optional[Account] = None,
    directories: Sequence[str] = ("/", "/etc", "/home"),
    passwd: str = PASSWD,
    group: str = GROUP,
) -> tuple[bytes, SourcesLayerResult]:
    """Write the layer of these files, which are in `files/`; return its blob and its description."""
    main(
        SourcesLayerRequest(
            files=tuple(files),
            workdir=workdir,
            bytecode=bytecode,
            checks=(check,) if check else (),
            owner=(1000, 100) if account else (0, 0),
            account=account,
            passwd=passwd,
            group=group,
            base=LayerBase("/usr/local/bin/python3.10", "3.10.13", tuple(directories)),
        )
    )
    return Path(BLOB).read_bytes(), from_json(SourcesLayerResult, Path(RESULT).read_bytes())


def write(files: Sequence[str], **changes: Any) -> bytes:
    return write_facts(files, **changes)[0]


def layer_of(files: Mapping[str, Content], **changes: Any) -> Layer:
    write_files(files)
    return Layer(write(list(files), **changes))


# --- Files


def test_files_go_to_the_working_directory(sandbox: Path) -> None:
    """Files are below the working directory by their names, sorted, with their directories."""
    layer = layer_of({"lib/words.txt": "the", "app/app.py": "x = 1", "app/__init__.py": ""})
    assert layer.names == [
        "app",
        "app/app",
        "app/lib",
        "app/app/__init__.py",
        "app/app/app.py",
        "app/lib/words.txt",
    ]
    assert layer.contents["app/lib/words.txt"] == b"the"


def test_only_the_files_that_are_asked_for_are_written(sandbox: Path) -> None:
    """Another file in the folder is not in the image."""
    write_files({"a.py": "", "b.py": ""})
    assert list(Layer(write(["a.py"])).contents) == ["app/a.py"]


def test_no_files_still_make_the_working_directory(sandbox: Path) -> None:
    """An image without first-party files has its working directory, too."""
    assert layer_of({}, workdir="/srv/app").names == ["srv", "srv/app"]


def test_executable_files_stay_executable(sandbox: Path) -> None:
    """A file that its owner may execute is executable in the image; other files are not."""
    write_files({"run.sh": "", "a.py": "", "b.py": ""})
    os.chmod("files/run.sh", 0o700)
    os.chmod("files/a.py", 0o466)
    os.chmod("files/b.py", 0o611)
    layer = Layer(write(["run.sh", "a.py", "b.py"]))
    modes = {name: layer.members[f"app/{name}"].mode for name in ("run.sh", "a.py", "b.py")}
    assert modes == {"run.sh": 0o755, "a.py": 0o644, "b.py": 0o644}


def test_modules_have_their_bytecode(sandbox: Path) -> None:
    """With bytecode, each source that compiles has a pyc in the image."""
    layer = layer_of({"app/app.py": "", "template.py": "{{ x }} =", "data.txt": ""}, bytecode=True)
    assert [name for name in layer.names if name.endswith(".pyc")] == [
        f"app/app/__pycache__/app.{TAG}.pyc"
    ]


# --- Owners


def test_working_directory_and_home_are_the_user_s_own(sandbox: Path) -> None:
    """The user owns the working directory and the home; root owns the files and directories in them."""
    layer = layer_of({"app/app.py": ""}, account=ACCOUNT)
    owners = {name: (member.uid, member.gid) for name, member in layer.members.items()}
    assert owners == {
        "app": (1000, 100),
        "app/app": (0, 0),
        "home/ray": (1000, 100),
        "etc/passwd": (0, 0),
        "app/app/app.py": (0, 0),
    }


def test_user_of_the_base_needs_no_account(sandbox: Path) -> None:
    """Without an account, the layer has nothing in /etc and /home."""
    assert layer_of({"a.py": ""}).names == ["app", "app/a.py"]


@pytest.mark.parametrize(
    ("passwd", "expected"),
    [
        pytest.param("root:x:0:0\n", "root:x:0:0\nray:x:1000\n", id="line break at the end"),
        pytest.param("root:x:0:0", "root:x:0:0\nray:x:1000\n", id="none at the end"),
        pytest.param("", "ray:x:1000\n", id="empty"),
    ],
)
def test_user_is_added_to_the_base_s_passwd(sandbox: Path, passwd: str, expected: str) -> None:
    """/etc/passwd keeps the base's lines, followed by the user's line."""
    layer = layer_of({}, account=replace(ACCOUNT, passwd="ray:x:1000"), passwd=passwd)
    assert layer.contents == {"etc/passwd": expected.encode()}


def test_passwd_of_another_encoding_is_kept_byte_for_byte(sandbox: Path) -> None:
    """Bytes of the base's /etc/passwd that are not UTF-8 stay unchanged."""
    content = b"jos\xe9:x:1:1::/:/bin/sh\n"
    layer = layer_of({}, account=ACCOUNT, passwd=content.decode(errors="surrogateescape"))
    assert layer.contents["etc/passwd"].startswith(content)


def test_group_is_added_where_the_base_lacks_it(sandbox: Path) -> None:
    """/etc/group is written only if the account has a new group."""
    layer = layer_of({}, account=replace(ACCOUNT, group="ray:x:100:"))
    assert layer.contents["etc/group"] == (GROUP + "ray:x:100:\n").encode()
    assert "etc/group" not in layer_of({}, account=ACCOUNT).contents


# --- Directories


def test_parents_are_explicit_and_come_first(sandbox: Path) -> None:
    """Every directory that the base lacks has one entry, before its content, even if the home contains the files."""
    layer = layer_of(
        {"a/b/c.py": ""}, account=ACCOUNT, workdir="/home/ray/src/app", directories=["/"]
    )
    assert layer.names == [
        "etc",
        "home",
        "home/ray",
        "home/ray/src",
        "home/ray/src/app",
        "home/ray/src/app/a",
        "home/ray/src/app/a/b",
        "etc/passwd",
        "home/ray/src/app/a/b/c.py",
    ]
    assert layer.members["home/ray"].uid == layer.members["home/ray/src/app"].uid == 1000


def test_home_may_be_the_working_directory(sandbox: Path) -> None:
    """A directory that is both home and working directory has one entry."""
    layer = layer_of({"a.py": ""}, account=ACCOUNT, workdir="/home/ray")
    assert layer.names == ["home/ray", "etc/passwd", "home/ray/a.py"]


def test_directories_of_the_base_have_no_entry(sandbox: Path) -> None:
    """A directory of the base, or a symlink to one, keeps its owner, mode and target."""
    layer = layer_of(
        {"lib/a.py": ""},
        account=ACCOUNT,
        workdir="/tmp",
        directories=["/", "/etc", "/home", "/home/ray", "/tmp", "/tmp/lib"],
    )
    assert layer.names == ["etc/passwd", "tmp/lib/a.py"]


# --- The application's name


CHECK = AttributeCheck(
    file="services/echo/app.py",
    path="src/services/echo/app.py",
    module="services.echo.app",
    attribute="app",
    named_by="`serve_app` of src/services/echo:image",
)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("app = Echo.bind()", id="defined"),
        pytest.param("from .graph import *", id="cannot be known"),
        pytest.param(b"\xef\xbb\xbfapp = 1", id="byte order mark"),
        pytest.param(b"# coding: latin-1\napp = '\xe9'", id="declared encoding"),
    ],
)
def test_module_that_may_define_the_application_is_accepted(sandbox: Path, source: Content) -> None:
    """The image is built if the module defines the application, or might define it."""
    layer = layer_of({CHECK.file: source}, check=CHECK)
    assert layer.contents["app/services/echo/app.py"] == encoded(source)


def test_module_without_the_application_is_an_error(sandbox: Path) -> None:
    """A name that the module does not define is refused; the error lists the names that the module defines."""
    source = "import ray\n_private = 1\nclass Echo: pass\nserver = Echo()\n"
    assert error_text(lambda: layer_of({CHECK.file: source}, check=CHECK)) == (
        "The module services.echo.app does not define 'app', which `serve_app` of src/services/echo:image names.\n"
        "\n"
        "  * src/services/echo/app.py defines Echo, ray, server\n"
        "\n"
        "To fix, name one of these in `serve_app` of src/services/echo:image, or define 'app'."
    )


def test_module_without_any_name_is_an_error(sandbox: Path) -> None:
    """A module that defines no public name is refused, and the error says so."""
    text = error_text(lambda: layer_of({CHECK.file: "_x = 1"}, check=CHECK))
    assert "  * src/services/echo/app.py defines no name\n" in text


@pytest.mark.parametrize(
    ("source", "golden_name"),
    [
        (
            "from ray import serve\n\n\n@serve.deployment\nclass Greeter: ...\n\n\napp = Greeter.bind()\n",
            "application-not-bound.txt",
        ),
        ("class Greeter: ...\n", "application-nowhere-bound.txt"),
    ],
    ids=["another-is-bound", "none-is-bound"],
)
def test_class_is_no_application(
    sandbox: Path, golden: Golden, source: str, golden_name: str
) -> None:
    """A class that is not bound is refused; the error names a bound application of the module, if any."""
    check = replace(CHECK, attribute="Greeter")
    text = error_text(lambda: layer_of({CHECK.file: source}, check=check))
    golden.check(f"errors/layers/{golden_name}", text)


def test_module_that_is_no_valid_python_is_an_error(sandbox: Path) -> None:
    """A module that does not parse is refused, with the line and Python's message."""
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = error_text(lambda: layer_of({CHECK.file: "x = 1\nreturn = 2\n"}, check=CHECK))
    assert text == (
        f"src/services/echo/app.py is not valid Python {minor}.\n"
        "\n"
        "  * line 2: invalid syntax\n"
        "\n"
        "To fix, correct src/services/echo/app.py."
    )


# --- Imports by name


def dynamic_imports(files: Mapping[str, Content]) -> list[tuple[str, int, str]]:
    """Return (file, line, text) of the imports that a layer's sources make by name."""
    write_files(files)
    _, facts = write_facts(list(files))
    return [(found.path, found.line, found.text) for found in facts.dynamic_imports]


def test_imports_by_name_are_told(sandbox: Path) -> None:
    """Computed names, and literal ones that are neither first-party nor standard library, are listed by file."""
    assert dynamic_imports(
        {
            "app/b.py": "\n__import__(name)\n",
            "app/a.py": "from importlib import import_module\n"
            "import_module('numpy')\nimport_module('sys')\nimport_module('app.b')\n"
            "import_module('app.data')\n",
            "app/data/table.csv": "__import__(name)\n",
        }
    ) == [
        ("app/a.py", 2, "import_module('numpy')"),
        ("app/a.py", 5, "import_module('app.data')"),
        ("app/b.py", 2, "__import__(name)"),
    ]


def test_source_that_is_not_valid_has_no_imports_by_name(sandbox: Path) -> None:
    """A template whose name ends with .py is not reported as a mistake."""
    assert dynamic_imports({"template.py": "{{ __import__(name) }} ="}) == []


def test_import_statements_that_lead_out_of_the_sources_are_told(sandbox: Path) -> None:
    """Imports that are neither first-party nor of the standard library of the image's Python are listed."""
    write_files(
        {
            "app/b.py": "import __main__\nfrom __future__ import annotations\nimport _socket, json.decoder\n",
            "app/a.py": "import sys\nimport app.b\nfrom . import b\nfrom .c import d\nimport ray\n",
        }
    )
    _, facts = write_facts(["app/b.py", "app/a.py"])
    assert [(s.path, s.line, s.module) for s in facts.import_statements] == [
        ("app/a.py", 4, "app.c"),
        ("app/a.py", 5, "ray"),
    ]


def test_uses_of_distributions_with_parts_are_told(sandbox: Path) -> None:
    """Modules of Ray's parts that any file imports or names, even a config, are listed, sorted."""
    write_files({"app/b.py": "import ray.tune\n", "app/a.yaml": "path: ray.rllib.env\n"})
    _, facts = write_facts(["app/b.py", "app/a.yaml"])
    assert facts.uses == ("ray.rllib.env", "ray.tune")


# --- Determinism


def test_order_of_the_files_does_not_matter(sandbox: Path) -> None:
    """The same files in any order make the same blob, though bytecode depends on the order of compiling."""
    # A name that modules share has other bytes in the pyc of the first module that is compiled.
    files = {f"{folder}/{name}.py": "shared_name = 1" for folder in "cab" for name in "zxy"}
    write_files(files)
    names = list(files)
    orders = [names, names[::-1], sorted(names), names[4:] + names[:4]]
    assert len({write(order, bytecode=True, account=ACCOUNT) for order in orders}) == 1


def test_times_of_the_files_do_not_matter(sandbox: Path) -> None:
    """The modification time of a file does not change the layer."""
    write_files({"a.py": "x = 1"})
    before = write(["a.py"], bytecode=True)
    os.utime("files/a.py", (1, 1))
    assert write(["a.py"], bytecode=True) == before
