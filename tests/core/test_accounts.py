"""Tests of core.accounts."""

from __future__ import annotations

from typing import Optional

import pytest
from conftest import error_text

from slim_ray_image.core.accounts import (
    Account,
    User,
    account_of,
    find_user,
    owner_of,
    read_group,
    read_passwd,
)

PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
GROUP = "root:x:0:\ndaemon:x:1:\nusers:x:100:\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a:x:1:2:A. B.:/home/a:/bin/sh", User("a", 1, 2, "/home/a")),
        ("a:x:1:2::/home/a", User("a", 1, 2, "/home/a")),
        ("a:x:1:2::", User("a", 1, 2, None)),
        ("a:x:1:2", User("a", 1, 2, None)),
        ("a:x:1:b::/home/a", User("a", 1, None, "/home/a")),
        ("a:x:1", User("a", 1, None, None)),
        ("a:x:1:2:a\u0085b:/home/a:", User("a", 1, 2, "/home/a")),
    ],
    ids=["whole", "no shell", "no home", "cut", "group is no number", "no group", "odd character"],
)
def test_user_is_a_line_of_passwd(line: str, expected: User) -> None:
    """Fields that a line lacks at its end are None; only a line feed ends a line."""
    assert read_passwd(f"{line}\n") == (expected,)


@pytest.mark.parametrize(
    "line", ["", "# comment", "a", "a:x", "+::::::", "a:x:b:c", "a:x:\u00b2:1"]
)
def test_line_without_a_number_knows_nobody(line: str) -> None:
    """A line without a number in its third field is no user and no group."""
    assert (read_passwd(line), read_group(line)) == ((), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("daemon", 1), ("1", 1), ("001", 1), ("", 0), ("7", None), ("nobody", None)],
)
def test_user_is_found_by_name_or_number(text: str, expected: Optional[int]) -> None:
    """A user is found by name or number; the empty text means root."""
    found = find_user(text, read_passwd(PASSWD))
    assert (found.uid if found else None) == expected


def test_user_is_the_first_of_a_number() -> None:
    """If two users have the same number, the first counts, as in container engines."""
    users = read_passwd("a:x:1:2::/a:\nb:x:1:3::/b:\n")
    assert find_user("1", users) == users[0]
    assert owner_of("1", "a:x:1:2::/a:\nb:x:1:3::/b:\n", "") == (1, 2)


def test_account_of_a_user_that_the_base_lacks() -> None:
    """A number that is not in the base becomes the user `ray`, with a home and a shell."""
    assert account_of("1000:100", PASSWD, GROUP) == Account(
        uid=1000,
        gid=100,
        home="/home/ray",
        passwd="ray:x:1000:100::/home/ray:/bin/bash",
        group="",
    )


def test_account_s_group_is_added_where_the_base_lacks_it() -> None:
    """A group that the base lacks is added under the account's name."""
    account = account_of("1000:1234", PASSWD, GROUP)
    assert account is not None
    assert (account.gid, account.group) == (1234, "ray:x:1234:")


def test_account_s_group_is_the_user_s_number_when_none_is_named() -> None:
    """A user without a group has the group of the same number."""
    account = account_of("1000", PASSWD, GROUP)
    assert account is not None
    assert (account.passwd, account.group) == (
        "ray:x:1000:1000::/home/ray:/bin/bash",
        "ray:x:1000:",
    )


def test_account_has_another_name_where_the_base_has_a_ray() -> None:
    """If a user of the base is called `ray`, the account gets another name."""
    account = account_of("2000:2000", PASSWD + "ray:x:1000:100::/home/ray:/bin/sh\n", GROUP)
    assert account is not None
    assert (account.passwd, account.group) == (
        "ray2000:x:2000:2000::/home/ray:/bin/bash",
        "ray2000:x:2000:",
    )


@pytest.mark.parametrize(
    "user",
    [
        pytest.param("0", id="uid of the base"),
        pytest.param("1:100", id="uid of the base, another group"),
        pytest.param("root", id="name"),
        pytest.param("root:root", id="names"),
        pytest.param("1000:users", id="name of a group"),
        pytest.param("ray:100", id="name that the base lacks"),
        pytest.param("", id="none"),
    ],
)
def test_no_account_is_added_for_a_user_that_the_base_must_know(user: str) -> None:
    """No account is added for a uid that the base has, nor for a user with a name."""
    assert account_of(user, PASSWD, GROUP) is None


@pytest.mark.parametrize("table", ["", "\n", "# comment\n", "broken\n", "+::::::\n", "a:x:b:c\n"])
def test_account_is_added_to_tables_with_lines_of_other_forms(table: str) -> None:
    """An account is added to an empty table, and to a table whose lines are no entries."""
    account = account_of("1000:100", table, table)
    assert account is not None
    assert account.group == "ray:x:100:"


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        pytest.param("1000:100", (1000, 100), id="numbers"),
        pytest.param("1000", (1000, 1000), id="a number the base does not know"),
        pytest.param("1", (1, 1), id="a number the base knows"),
        pytest.param("daemon", (1, 1), id="a name"),
        pytest.param("daemon:users", (1, 100), id="a name and a group"),
        pytest.param("0", (0, 0), id="root"),
    ],
)
def test_owner_is_who_the_image_runs_as(user: str, owner: tuple[int, int]) -> None:
    """The owner is the user and group of the image, given as numbers or looked up in the base's tables."""
    assert owner_of(user, PASSWD, GROUP) == owner


def test_user_that_the_base_does_not_know_is_refused() -> None:
    """A name that is not in the base's /etc/passwd is refused, since no container would start."""
    assert error_text(lambda: owner_of("ray:users", PASSWD, GROUP)) == (
        "The `user` 'ray:users' has a name that the base image does not have.\n\n"
        "  * /etc/passwd has the user 'daemon'\n"
        "  * /etc/passwd has the user 'root'\n\n"
        "To fix, do one of the following:\n"
        "  * use numbers, such as '1000:100'\n"
        "  * use names that are in the base image"
    )
