"""Tests of a separate repository with a private index: its distributions are found, and its login leaves no trace."""

from __future__ import annotations

import ast
import base64
import mmap
import os
import shutil
import ssl
import threading
import time
from pathlib import Path
from textwrap import dedent
from typing import Iterator
from urllib.parse import quote

import pytest
from conftest import Golden, digest_of, make_wheel
from harness.failures import assert_fails, message_of
from harness.fixtures import BASE_REFERENCE
from harness.private_index import USER, PrivateIndex, make_certificates
from harness.repository import ROOT, PackagedImage, Repository, clean_environment
from needs import needs

pytestmark = needs("base", "openssl")

INDEXES = "PANTS_PYTHON_REPOS_INDEXES"
GREETER, JOB = "src/greeter:image", "src/job:image"
FILES = {
    "pants.toml": """\
        [GLOBAL]
        pants_version = "2.17.1"
        pythonpath = ["{root}/pants-plugins"]
        backend_packages = ["pants.backend.python", "slim_ray_image"]
        ca_certs_path = "%(buildroot)s/certificates.pem"

        [source]
        root_patterns = ["/src"]

        [python]
        enable_resolves = true
        interpreter_constraints = ["CPython==3.10.*"]
        resolves_generate_lockfiles = false

        [python.resolves]
        services = "locks/services.lock"
        jobs = "locks/jobs.lock"
        """,
    "locks/BUILD": """\
        python_requirement(name="public", resolve="services", requirements=["tqdm"])
        python_requirement(name="a", resolve="services", requirements=["acme-greetings"])
        python_requirement(name="b", resolve="jobs", requirements=["acme-greetings"])
        python_requirement(name="c", resolve="jobs", requirements=["acme-links"])
        python_requirement(name="d", resolve="jobs", requirements=["acme-unread"])
        """,
    "src/greeter/BUILD": """\
        python_sources(resolve="services")
        slim_ray_image(name="image", resolve="services", entry_point="main.py")
        """,
    "src/greeter/main.py": """\
        import acme_greetings
        import tqdm

        print(acme_greetings.GREETING, tqdm.__version__)
        """,
    "src/job/BUILD": """\
        python_sources(resolve="jobs")
        slim_ray_image(name="image", resolve="jobs", entry_point="main.py")
        """,
    "src/job/main.py": """\
        import acme_greetings
        import acme_links

        print(acme_greetings.GREETING, acme_links.PAGE)
        """,
}


_YOUNG_SECONDS = 1.0


class CommandLineWatch:
    """Searches the arguments of every process of this machine for a secret, repeatedly while the process is young."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self.seen: set[bytes] = set()
        self.looked_at: dict[int, float] = {}
        self._secrets, self._ended = secrets, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._ended.is_set():
            now = time.monotonic()
            for pid in filter(str.isdigit, os.listdir("/proc")):
                # A process gets its arguments soon after its start; to read older ones again would cost a core.
                if now - self.looked_at.setdefault(int(pid), now) > _YOUNG_SECONDS:
                    continue
                try:
                    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:  # The process has ended.
                    continue
                if any(secret in arguments for secret in self._secrets):
                    self.seen.add(arguments)
            time.sleep(0.002)

    def __enter__(self) -> CommandLineWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def files_with(secrets: tuple[bytes, ...], *folders: Path) -> list[Path]:
    """Return the files below `folders` whose bytes contain one of `secrets`."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if not path.is_file() or path.is_symlink() or path.stat().st_size == 0:
                continue
            with (
                path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content,
            ):
                if any(content.find(secret) >= 0 for secret in secrets):
                    found.append(path)
    return found


@pytest.fixture(scope="module")
def private_index(workspace: Path) -> Iterator[PrivateIndex]:
    certificates, wheels = workspace / "private-ca", workspace / "private-wheels"
    certificates.mkdir()
    wheels.mkdir()
    make_certificates(certificates)
    for name, version, code in (
        ("acme_greetings", "1.0", 'GREETING = "hello from services"\n'),
        ("acme_greetings", "2.0", 'GREETING = "hello from jobs"\n'),
        ("acme_links", "1.0", 'PAGE = "and from a page of links"\n'),
        ("acme_unread", "1.0", ""),
    ):
        make_wheel(wheels, name, version, files={f"{name}.py": code}, requires=[])
    found = PrivateIndex(wheels, certificates)
    yield found
    found.close()


def _pin(wheels: Path, name: str, version: str) -> str:
    (wheel,) = wheels.glob(f"{name}-{version}-*")
    return f"{name.replace('_', '-')}=={version} --hash={digest_of(wheel.read_bytes())}\n"


def _with_private(variable: str, url: str) -> dict[str, str]:
    """Return the variable of an option of [python-repos], with the user's value or Pants' default, and `url`."""
    value = os.environ.get(variable)
    return {variable: f"+{[url]!r}" if value is None else repr([*ast.literal_eval(value), url])}


@pytest.fixture(scope="module")
def outside(workspace: Path, base_source: str, private_index: PrivateIndex) -> Iterator[Repository]:
    """A repository that has, of this one, only the launcher and, by `pythonpath`, the plugin's folder."""
    path, wheels = workspace / "outside", workspace / "private-wheels"
    caches = workspace / "outside-caches"
    login = f"https://{USER}:{quote(private_index.token, safe='')}@{private_index.address}"
    repository = Repository(
        path,
        {
            **clean_environment(),
            "PANTS_COLORS": "false",
            "PANTS_DYNAMIC_UI": "false",
            "PANTS_LOCAL_STORE_DIR": str(caches / "store"),
            "PANTS_NAMED_CACHES_DIR": str(caches / "named"),
            "PANTS_CA_CERTS_PATH": str(path / "certificates.pem"),
            **_with_private(INDEXES, f"{login}/simple/"),
            **_with_private("PANTS_PYTHON_REPOS_FIND_LINKS", f"{login}/links/"),
            "PANTS_SLIM_RAY_BASE_IMAGE_SOURCES": repr({BASE_REFERENCE: base_source}),
        },
    )
    for name, content in FILES.items():
        repository.write(name, dedent(content).replace("{root}", str(ROOT)))
    system = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    trusted = Path(system or "/etc/ssl/certs/ca-certificates.crt").read_text()
    own = (workspace / "private-ca/ca.pem").read_text()
    repository.write("certificates.pem", f"{trusted}\n{own}")
    services = (ROOT / "3rdparty/python/ray.lock").read_text()
    repository.write("locks/services.lock", services + _pin(wheels, "acme_greetings", "1.0"))
    locked = (("acme_greetings", "2.0"), ("acme_links", "1.0"), ("acme_unread", "1.0"))
    repository.write("locks/jobs.lock", "".join(_pin(wheels, *pair) for pair in locked))
    shutil.copy(ROOT / "pants", path / "pants")
    shutil.copytree(ROOT / "build-support/pants", path / "build-support/pants")
    yield repository
    repository.close()


@pytest.fixture(scope="module")
def packaged(
    workspace: Path, outside: Repository, private_index: PrivateIndex
) -> tuple[PackagedImage, PackagedImage, CommandLineWatch]:
    """An image of each resolve, packaged with empty caches while a watch runs."""
    with CommandLineWatch(_spellings(private_index.token)) as watch:
        greeter, job = outside.package(GREETER), outside.package(JOB)
    return greeter, job, watch


def _spellings(token: str) -> tuple[bytes, ...]:
    """Return the spellings of the token to search for: plain, escaped for URLs, only after its slash, and base64."""
    return (
        token.encode(),
        quote(token, safe="").encode(),
        token.partition("/")[2].encode(),
        base64.b64encode(f"{USER}:{token}".encode()),
    )


def test_image_holds_what_the_private_index_has(
    packaged: tuple[PackagedImage, PackagedImage, CommandLineWatch], private_index: PrivateIndex
) -> None:
    """Each resolve gets its own version, from an index or a page of links that requires a login."""
    greeter, job, _ = packaged
    locked = {
        image: {row["name"]: row["version"] for row in image.description["requirements"]}
        for image in (greeter, job)
    }
    assert locked[greeter] == {"acme-greetings": "1.0", "tqdm": "4.70.1"}
    assert locked[job] == {"acme-greetings": "2.0", "acme-links": "1.0"}
    assert {"/simple/acme-greetings/", "/links/"} <= set(private_index.served)


def test_login_of_an_index_leaves_no_trace(
    packaged: tuple[PackagedImage, PackagedImage, CommandLineWatch],
    outside: Repository,
    workspace: Path,
    private_index: PrivateIndex,
) -> None:
    """The token is in no process's arguments, in no log, and in no file of any cache, work folder or result."""
    greeter, job, watch = packaged
    assert len(watch.looked_at) > 20
    assert watch.seen == set()
    secrets = _spellings(private_index.token)
    assert not any(
        secret in run.output.encode() for run in (greeter.run, job.run) for secret in secrets
    )
    outside.write("canary", private_index.token)
    assert files_with(secrets, outside.path, workspace / "outside-caches") == [
        outside.path / "canary"
    ]


def test_wrong_login_is_an_error_without_the_login(
    packaged: tuple[PackagedImage, PackagedImage, CommandLineWatch],
    outside: Repository,
    golden: Golden,
    private_index: PrivateIndex,
) -> None:
    """The error names the index that refuses, without the login."""
    # The distribution of this module is not in uv's cache.
    outside.write("src/job/main.py", "import acme_unread\n")
    wrong = outside.environment[INDEXES].replace(quote(private_index.token, safe=""), "mistaken")
    options = (f"--python-repos-indexes={wrong}", "--python-repos-find-links=[]")
    error = assert_fails(outside, JOB, *options)
    assert "mistaken" not in error
    text = message_of(error).replace(private_index.address, "127.0.0.1:PORT")
    golden.check("errors/packages/index-refuses-login.txt", text)
