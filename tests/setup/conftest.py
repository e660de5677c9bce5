"""Fixtures of the set-up tests: a packed CPython for all tests, and a machine without a Python for each test."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Iterator

import pytest

from setup.fresh_machine import Archive, FreshMachine, pack_this_python
from setup.tls_server import TlsServer, make_certificate, serving


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The CPython 3.9 that runs the tests, packed once."""
    return pack_this_python(tmp_path_factory.mktemp("packed") / "mirror")


@pytest.fixture
def machine(tmp_path: Path, packed: Archive) -> FreshMachine:
    """A machine without a Python, with its own mirror."""
    folder = tmp_path / "mirror"
    shutil.copytree(packed.folder, folder)
    return FreshMachine(tmp_path, Archive(folder, packed.sha256))


@pytest.fixture
def server(tmp_path: Path, machine: FreshMachine) -> Iterator[TlsServer]:
    """The machine's mirror behind TLS, by a certificate that the machine trusts."""
    certificate = make_certificate(tmp_path)
    with serving(machine.archive.folder, certificate) as found:
        machine.settings["SLIM_RAY_IMAGE_PYTHON_MIRROR"] = f"https://{found.address}"
        machine.settings["SSL_CERT_FILE"] = str(certificate)
        yield found
