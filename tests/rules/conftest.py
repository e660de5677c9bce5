"""The repository that all tests of a process share: each test starts with an empty one."""

from __future__ import annotations

import pytest
from pants.base.build_root import BuildRoot
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import empty_repository, make_rule_runner


@pytest.fixture(scope="session")
def _shared_rule_runner() -> RuleRunner:
    return make_rule_runner()


@pytest.fixture
def rule_runner(_shared_rule_runner: RuleRunner) -> RuleRunner:
    """An empty repository."""
    # The build root is one for the process, and a module with its own rule runner has changed it.
    BuildRoot().path = _shared_rule_runner.build_root
    empty_repository(_shared_rule_runner)
    return _shared_rule_runner
