"""Stage 5 of 6: whom an image runs as, and whom its files belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.errors import SlimRayImageError

HOME = "/home/ray"


@dataclass(frozen=True)
class Account:
    """A user that the base does not know, with the lines that make it known (passwd(5), group(5))."""

    uid: int
    gid: int
    home: str
    passwd: str
    group: str  # "" when the base knows the group


def _ids(table: str, field: int) -> dict[int, str]:
    """Id -> name of the lines of /etc/passwd (uid: field 2) or /etc/group (gid: field 2)."""
    found = {}
    for line in table.splitlines():
        parts = line.split(":")
        if len(parts) > field and parts[field].isdigit():
            found[int(parts[field])] = parts[0]
    return found


def account_of(user: str, passwd: str, group: str) -> Optional[Account]:
    """Return the account to add to the base for `user`, or None when the base knows it or it is a name.

    Args:
        user: As the image config's `User`: `uid`, `uid:gid` or names.
        passwd: The base's /etc/passwd.
        group: The base's /etc/group.
    """
    uid_text, _, gid_text = user.partition(":")
    if not uid_text.isdigit() or (gid_text and not gid_text.isdigit()):
        return None
    uid, gid = int(uid_text), int(gid_text or uid_text)
    if uid in _ids(passwd, 2):
        return None
    names = {line.split(":")[0] for line in passwd.splitlines()}
    name = "ray" if "ray" not in names else f"ray{uid}"
    groups = _ids(group, 2)
    return Account(
        uid=uid,
        gid=gid,
        home=HOME,
        passwd=f"{name}:x:{uid}:{gid}::{HOME}:/bin/bash",
        group="" if gid in groups else f"{name}:x:{gid}:",
    )


def _number(text: str, table: str, field: int) -> Optional[int]:
    """`text` as a number, else field `field` of the line of that name in /etc/passwd or /etc/group."""
    if text.isdigit():
        return int(text)
    lines = (line.split(":") for line in table.splitlines())
    found = (parts[field] for parts in lines if parts[0] == text and len(parts) > field)
    return next((int(number) for number in found if number.isdigit()), None)


def owner_of(user: str, passwd: str, group: str) -> tuple[int, int]:
    """Return uid and gid of `user`, which owns what the image's process may write to.

    Args:
        user: As the image config's `User`: `uid`, `uid:gid` or names.
        passwd: The base's /etc/passwd.
        group: The base's /etc/group.

    Raises:
        SlimRayImageError: If it is a name that the base does not know; a container of the image would not start.
    """
    name, separator, group_name = user.partition(":")
    uid = _number(name, passwd, 2)
    own_name = _ids(passwd, 2).get(uid, "") if uid is not None else ""
    gid = _number(group_name, group, 2) if separator else _number(own_name, passwd, 3)
    if uid is None or (separator and gid is None):
        raise SlimRayImageError(
            f"The base image does not know the `user` {user!r}.",
            evidence=[f"it knows the user {known!r}" for known in sorted(_ids(passwd, 2).values())],
            fixes=["use numbers, as '1000:100'", "use names that the base image knows"],
        )
    return uid, uid if gid is None else gid
