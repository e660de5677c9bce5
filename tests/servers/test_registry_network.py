"""Tests of reading a registry with real Pants: proxy, certificates and logins, and the code that runs before it."""

from __future__ import annotations

import ast
import base64
import os
import re
import ssl
from pathlib import Path

from conftest import make_wheel
from harness.fixtures import BASE_REFERENCE
from harness.image_layout import validate_layout
from harness.registry import Registry
from harness.repository import ROOT, PackagedImage, Repository
from needs import AS_FIRST_PROCESS, cache_folder, needs
from packaging.utils import canonicalize_name
from sandbox.servers import Proxy, TokenRegistry, make_certificates

pytestmark = needs("base", "registry", "openssl", "namespaces")

ECHO = "src/services/echo:image"
NAME = "registry.example"  # Only the proxy can reach this name.
LOCKS = ROOT / "pants-plugins/slim_ray_image/locks"
# Shell command that replaces /etc/passwd by the file $0, then runs its arguments.
WITH_ACCOUNTS = 'mount --bind "$0" /etc/passwd && exec "$@"'


def read_from(source: str) -> str:
    """Return the option by which the base image is read from `source`, while targets still name `BASE_REFERENCE`."""
    return f"--slim-ray-base-image-sources={ {BASE_REFERENCE: source} !r}"


def _bundle(folder: Path, authority: Path) -> Path:
    """Write a bundle with the machine's certificate authorities, for indexes, and the test's own one."""
    system = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    trusted = Path(system or "/etc/ssl/certs/ca-certificates.crt").read_text()
    path = folder / "certificates.pem"
    path.write_text(f"{trusted}\n{authority.read_text()}")
    return path


def _accounts(folder: Path) -> Path:
    """Write a passwd file in which the user's home is `folder`, for programs that run without HOME."""
    lines = []
    for line in Path("/etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[2:3] == [str(os.geteuid())]:
            fields[5] = str(folder)
        lines.append(":".join(fields))
    path = folder / "passwd"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_base_is_read_through_a_proxy_with_a_token_and_without_a_login(
    repository: Repository, registry: Registry, echo: PackagedImage, tmp_path: Path
) -> None:
    """The fetch works as in a container of CI, with a proxy that requires a login, a company's authority, and a netrc file."""
    (tmp_path / ".netrc").write_text("default login user password of-the-netrc-file\n")
    (tmp_path / ".netrc").chmod(0o600)
    certificates = make_certificates(tmp_path / "made", NAME)
    login = f"Basic {base64.b64encode(b'ci:s/cret').decode()}"
    with TokenRegistry(registry.address, certificates) as front:
        front.name = NAME
        with Proxy(front.address, login=login, name=NAME) as proxy:
            run = repository.pants(
                *("--no-pantsd", f"--ca-certs-path={_bundle(tmp_path, certificates.authority)}"),
                "--subprocess-environment-env-vars=+['HTTPS_PROXY']",
                read_from(f"{NAME}/library/{BASE_REFERENCE}"),
                *("package", ECHO),
                within=(*AS_FIRST_PROCESS, "sh", "-c", WITH_ACCOUNTS, str(_accounts(tmp_path))),
                HTTPS_PROXY=f"http://ci:s%2Fcret@{proxy.address}",
                SLIM_RAY_IMAGE_CACHE=str(cache_folder()),
            )
    image = PackagedImage(ECHO, repository.output_of(ECHO), run)
    assert image.description["manifest_digest"] == echo.description["manifest_digest"]
    assert validate_layout(image.folder / "oci") == []
    assert f"{NAME}:443" in {asked.target for asked in proxy.asked}
    assert {asked.proxy_authorization for asked in proxy.asked} == {login}
    assert {asked.authorization for asked in front.asked} == {None, f"Bearer {front.token}"}
    assert "cret" not in run.output


def _locked(*locks: str) -> set[tuple[str, str]]:
    """Return (name, version) of each distribution that the plugin's lockfiles pin."""
    texts = [(LOCKS / f"{name}.lock").read_text() for name in locks]
    return {pair for text in texts for pair in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def _with_page(folder: Path) -> str:
    """Return a value of `[python-repos].find_links`: the pages that this machine's user has set, and `folder`."""
    value = os.environ.get("PANTS_PYTHON_REPOS_FIND_LINKS")
    pages = ast.literal_eval(value.lstrip("+")) if value else []
    return repr([*pages, str(folder)])


def test_only_locked_code_runs_before_a_registry_is_read(
    repository: Repository, registry: Registry, tmp_path: Path
) -> None:
    """A newer setuptools on a page of links is not run; all distributions that uv has installed are in our locks."""
    page, mark, sandboxes = tmp_path / "page", tmp_path / "mark", tmp_path / "sandboxes"
    for folder in (page, sandboxes):
        folder.mkdir()
    poison = f"open({str(mark)!r}, 'w').close()\n"
    for name in ("setuptools", "wheel"):
        code = {f"{name}/{module}.py": poison for module in ("__init__", "build_meta")}
        make_wheel(page, name, "999.0", files=code, requires=[])
    registry.push_image("no/python:2", files={"etc/passwd": "root:x:0:0::/root:/bin/sh\n"})
    run = repository.pants(
        *("--keep-sandboxes=always", f"--local-execution-root-dir={sandboxes}"),
        f"--python-repos-find-links={_with_page(page)}",
        read_from(f"{registry.address}/no/python:2"),
        *("package", ECHO),
        check=False,
    )
    assert not mark.exists()
    assert "has no Python" in run.output  # The registry was read.
    installed = {
        (canonicalize_name(name), version)
        for folder in ("tools", "build/lib/python*/site-packages")
        for path in sandboxes.glob(f"*/{folder}/*.dist-info")
        for name, _, version in [path.stem.rpartition("-")]
    }
    assert ("setuptools", "999.0") not in installed
    assert installed <= _locked("host_tools", "host_sources", "host_build")
    assert {"python-dxf", "setuptools"} <= {name for name, _ in installed}
    assert {name for name, _ in _locked("host_build")} == {"setuptools"}
