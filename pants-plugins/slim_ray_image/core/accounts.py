"""Stage 5 of 6: the user that an image runs as, and the owner of its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, Optional, Sequence

from slim_ray_image.core.errors import SlimRayImageError

HOME = "/home/ray"


@dataclass(frozen=True)
class Account:
    """A user to add to the base image, with its lines for /etc/passwd and /etc/group (passwd(5), group(5))."""

    uid: int
    gid: int
    home: str
    passwd: str
    group: str  # "" if the base has the group


@dataclass(frozen=True)
class User:
    """A line of /etc/passwd (passwd(5)). An incomplete line may lack the group, the home or both."""

    name: str
    uid: int
    gid: Optional[int]
    home: Optional[str]


@dataclass(frozen=True)
class Group:
    """A line of /etc/group (group(5))."""

    name: str
    gid: int


def _number(text: str) -> Optional[int]:
    return int(text) if text.isdecimal() else None


def _rows(table: str, count: int) -> Iterator[Sequence[str]]:
    """Yield the first `count` fields of passwd or group lines whose third field is a number; "" for a missing field."""
    for line in table.split("\n"):
        fields = [*line.split(":"), *[""] * count][:count]
        if _number(fields[2]) is not None:
            yield fields


def read_passwd(table: str) -> tuple[User, ...]:
    """Return the users in the text of /etc/passwd; a line without a numeric uid is left out."""
    return tuple(
        User(name, int(uid), _number(gid), home or None)
        for name, _, uid, gid, _, home in _rows(table, 6)
    )


def read_group(table: str) -> tuple[Group, ...]:
    """Return the groups in the text of /etc/group; a line without a numeric gid is left out."""
    return tuple(Group(name, int(gid)) for name, _, gid in _rows(table, 3))


def find_user(text: str, users: Iterable[User]) -> Optional[User]:
    """Return the first user whose name or number is `text`, as container engines do; "" means root."""
    number = _number(text or "0")
    return next((user for user in users if text == user.name or number == user.uid), None)


def account_of(user: str, passwd: str, group: str) -> Optional[Account]:
    """Return the account to add to the base image for `user`; None if the image has it, or `user` contains a name.

    Args:
        user: Value for the image config's `User`: `uid`, `uid:gid` or names.
        passwd: Text of the base's /etc/passwd.
        group: Text of the base's /etc/group.
    """
    uid_text, _, gid_text = user.partition(":")
    uid, gid = _number(uid_text), _number(gid_text or uid_text)
    users, groups = read_passwd(passwd), read_group(group)
    if uid is None or gid is None or uid in {known.uid for known in users}:
        return None
    name = f"ray{uid}" if "ray" in {known.name for known in users} else "ray"
    return Account(
        uid=uid,
        gid=gid,
        home=HOME,
        passwd=f"{name}:x:{uid}:{gid}::{HOME}:/bin/bash",
        group="" if gid in {known.gid for known in groups} else f"{name}:x:{gid}:",
    )


def owner_of(user: str, passwd: str, group: str) -> tuple[int, int]:
    """Return uid and gid of `user`, who owns the files and folders that the image's process may write to.

    Args:
        user: Value for the image config's `User`: `uid`, `uid:gid` or names.
        passwd: Text of the base's /etc/passwd.
        group: Text of the base's /etc/group.

    Raises:
        SlimRayImageError: If `user` contains a name that is not in the base; a container of the image would not start.
    """
    name, separator, group_name = user.partition(":")
    users = read_passwd(passwd)
    known = find_user(name, users)
    uid = known.uid if known else _number(name)
    if separator:
        named = (found.gid for found in read_group(group) if found.name == group_name)
        gid = next(named, _number(group_name))
    else:
        gid = known.gid if known and known.gid is not None else uid
    if uid is None or gid is None:
        raise SlimRayImageError(
            f"The `user` {user!r} has a name that the base image does not have.",
            evidence=[
                f"/etc/passwd has the user {name!r}" for name in sorted({u.name for u in users})
            ],
            fixes=["use numbers, such as '1000:100'", "use names that are in the base image"],
        )
    return uid, gid
