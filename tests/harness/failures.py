"""Checks that apply to every mistake of a user: one clear error, and no change in dist/."""

from __future__ import annotations

from pathlib import Path

from harness.repository import Repository


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Map each path in a folder to its inode and modification time; empty if the folder does not exist."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def assert_fails(repository: Repository, target: str, *options: str) -> str:
    """Package a target, check that it fails with one clear error and leaves dist/ unchanged, and return the error."""
    folder = repository.output_of(target)
    before = _files(folder)
    run = repository.pants(*options, "package", target, check=False)
    assert run.exit_code == 1, run.output
    _, *errors = run.output.split("[ERROR] ")
    assert len(errors) == 1, run.output
    assert errors[0].count("To fix, ") == 1, run.output
    assert "Traceback (most recent call last)" not in run.output
    assert "fault in slim_ray_image" not in run.output
    assert _files(folder) == before
    return errors[0]


def message_of(error: str) -> str:
    """Return the plugin's own message from an error that Pants shows."""
    return error.partition("SlimRayImageError: ")[2].strip()
