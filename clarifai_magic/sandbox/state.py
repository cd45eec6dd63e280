"""The sandbox's state: users, apps, keys and everything in them, in memory.

A resource lives at its REST path: the collection `("users", "alice", "apps", "main",
"inputs")` maps IDs to messages. So one rule serves every kind of Clarifai resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clarifai_grpc.grpc.api import resources_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]
"""The path of a collection; an empty segment stands for any."""

USERS: Path = ("users",)


def user_path(user_id: str, *rest: str) -> Path:
    """Give the path of something of a user."""
    return (*USERS, user_id, *rest)


def app_path(user_id: str, app_id: str, *rest: str) -> Path:
    """Give the path of something in an app."""
    return user_path(user_id, "apps", app_id, *rest)


class Store:
    """Collections of protobuf messages by path and ID, in order of creation."""

    def __init__(self) -> None:
        self._collections: dict[Path, dict[str, Any]] = {}
        self.members: dict[str, set[str]] = {}  # organisation to the users who act for it
        self.organizations: dict[str, str] = {}  # their names

    def get(self, path: Path, item_id: str) -> Any:
        """Give the item itself, or None."""
        return self._collections.get(path, {}).get(item_id)

    def put(self, path: Path, item_id: str, item: Any) -> None:
        """Store an item under an ID, replacing an existing one."""
        self._collections.setdefault(path, {})[item_id] = item

    def collections(self, pattern: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Find the collections that match a path."""
        if "" not in pattern:
            yield pattern, self._collections.get(pattern, {})
            return
        for path, items in self._collections.items():
            if len(path) == len(pattern) and all(
                want in ("", have) for want, have in zip(pattern, path, strict=True)
            ):
                yield path, items

    def items(self, pattern: Path) -> list[Any]:
        """List the items of every collection that matches a path."""
        return [item for _, items in self.collections(pattern) for item in items.values()]

    def delete(self, path: Path, item_id: str) -> None:
        """Delete an item and everything below it; tell whether there was one."""
        self._collections.get(path, {}).pop(item_id, None)
        below = (*path, item_id)
        for other in [p for p in self._collections if p[: len(below)] == below]:
            del self._collections[other]

    def key(self, secret: str) -> tuple[str, Any] | None:
        """Find a key and its owner by the secret."""
        for user_id in self._collections[USERS]:
            if (key := self.get(user_path(user_id, "keys"), secret)) is not None:
                return user_id, key
        return None

    def is_public(self, user_id: str, app_id: str) -> bool:
        """Whether anyone with a PAT may read an app."""
        app = self.get(user_path(user_id, "apps"), app_id)
        return app is not None and app.visibility.gettable == resources_pb2.Visibility.PUBLIC

    def acts_for(self, caller: str, user_id: str) -> bool:
        """Whether a user is another one, or a member of that organisation."""
        return caller == user_id or caller in self.members.get(user_id, ())
