"""The fixtures of the tests of this folder."""

from harness.fixtures import (  # noqa: F401
    archive,
    archive_name,
    base_layout,
    base_source,
    docker,
    echo,
    other_machine,
    ranker,
    registry,
    repository,
    shared_repository,
    workspace,
)
