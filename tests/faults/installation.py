"""A small Stencil on disk and in rows, and what the API, a page and doctor show of it."""

import hashlib
import os
import stat
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from templatemgr import data_paths, store
from templatemgr.integrity import checking, inspection
from templatemgr.maintenance import diagnosis, retrying, verification
from templatemgr.models import Version, VersionHealth
from templatemgr.promotion import promotions
from templatemgr.trees import manifests
from tests import factories
from tests.execapp.conftest import Api, make_api
from tests.tiny_definition import RUNNER, renamed, write_definition

BODY = {"template": "fake", "mode": "run", "files": [{"path": "main.js", "content": "1"}]}
CANARY = b"not ours: never to be changed\n"


@dataclass(kw_only=True)
class Installation:
    """fake@1, fake@2 (current) and other@1 (current): all three share files."""

    data: Path
    outside: Path  # a folder outside of Stencil, with a canary in it
    client: Client
    api: Api
    undo: list[Any] = field(default_factory=list)  # mounts and the like, last first

    @property
    def version(self) -> Version:
        """Return the version that the test damages."""
        return Version.objects.select_related("template", "health").get(
            template__name="fake", number=2
        )

    @property
    def home(self) -> Path:
        return data_paths.version(self.version)

    @property
    def tree(self) -> Path:
        return self.home / "tree"

    @property
    def canary(self) -> Path:
        return self.outside / "canary"

    @property
    def health(self) -> VersionHealth:
        return VersionHealth.objects.get(version=self.version)

    def object_of(self, path: str) -> Path:
        """Return the path of a tree's file in the store."""
        manifest = manifests.load((self.home / "manifest.json.gz").read_bytes())
        entry = next(entry for entry in manifest.files if entry.path == path)
        return store.object_path(data_paths.objects(), entry)

    def verify(self, *, heal: bool) -> None:
        """Request a verification and run it, as the verification worker does."""
        verification.request(template="fake", version=2, actor="ann", heal=heal)
        self.work()

    def work(self) -> None:
        """Run every queued verification in the order of claims, as the verification worker does."""
        while (claimed := verification.claim(worker="verification")) is not None:
            verification.run(verification=claimed)

    def let_time_pass(self, minutes: int = 61, times: int = 3) -> None:
        """Run the retries that are due by then; rebuilds stay queued, as no worker runs."""
        now = timezone.now()
        for round_ in range(times):
            retrying.due(now=now + timedelta(minutes=minutes * (round_ + 1)))
            self.work()

    def submit(self) -> int:
        """Send a submission; return the status of the reply."""
        status: int = self.api.call("POST", "/executions", BODY).status_code
        return status

    def shown(self) -> dict[str, Any]:
        """Return the health of the version as the API shows it."""
        found: dict[str, Any] = self.api.get("/templates/fake/versions/2")["health"]
        return found

    def page(self) -> str:
        """Return the version's page."""
        answer = self.client.get("/templates/fake/versions/2")
        assert answer.status_code == 200
        return answer.content.decode()

    def doctor(self) -> dict[str, diagnosis.Note]:
        """Return doctor's notes by title; the last note if several have the same title."""
        return {note.title: note for note in diagnosis.notes()}

    def whole(self) -> bool:
        """Return whether bytes and modes of the tree are as they were sealed."""
        return self.tree_digest() == self.version.tree_digest and _modes_hold(self.tree)

    def tree_digest(self) -> str:
        """Return the digest of the tree on disk."""
        return manifests.scan(self.tree).digest()


def build(data: Path, outside: Path, definition_folder: Path) -> Installation:
    """Lay out all versions, and verify each so that its files are on record."""
    outside.mkdir()
    (outside / "canary").write_bytes(CANARY)
    (outside / "canary").chmod(0o640)
    for name in ("fake", "other"):
        write_definition(definition_folder / name, **renamed(name))
    for name, number in (("fake", 1), ("fake", 2), ("other", 1)):
        _make(name, number, definition_folder / name)
    for name, number in (("fake", 1), ("fake", 2), ("other", 1)):
        promotions.promote(template=name, version=number, actor="ann", reason="r")
        checking.verify(template=name, version=number, actor="ann")
    factories.make_heartbeat_row(seen_at=timezone.now() + timedelta(hours=1))
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password="x"))
    return Installation(data=data, outside=outside, client=client, api=make_api("client", "admin"))


def _make(name: str, number: int, definition: Path) -> None:
    """Make a version of `name` whose tree shares most files with the others."""
    made = factories.make_sealed_version(
        {
            "runner/main.sh": RUNNER,
            "said.txt": "hello\n",
            "lib/a.js": "shared a",
            "run": "#!/bin/sh",
            "lib/deep/b.js": "shared b",
            "lib/deep/er/c.js": "c" * 5000,
            "own": f"{name} {number}",
            "node_modules/x/index.js": "x",
        },
        name=name,
        links={"link": "lib/a.js", "folder": "lib/deep"},
        executable=("runner/main.sh", "run"),
        cache={"filled": "filled\n"},
        definition=definition,
    )
    assert made.number == number


def _modes_hold(tree: Path) -> bool:
    for path in (tree, *tree.rglob("*")):
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            continue
        wanted = {0o555} if stat.S_ISDIR(info.st_mode) else {0o444, 0o555}
        if stat.S_IMODE(info.st_mode) not in wanted or info.st_uid != os.geteuid():
            return False
        if os.listxattr(path, follow_symlinks=False):
            return False
    return True


def objects_are_sound() -> bool:
    """Return whether every stored file has the bytes and the mode that its name says."""
    for stored in data_paths.objects().glob("*/*"):
        info = stored.lstat()
        wanted = 0o555 if stored.name.endswith(".x") else 0o444
        digest = hashlib.sha256(stored.read_bytes()).hexdigest()
        if digest != stored.name.removesuffix(".x") or stat.S_IMODE(info.st_mode) != wanted:
            return False
    return True


def others_are_whole() -> bool:
    """Return whether the undamaged versions are as they were sealed."""
    rows = Version.objects.select_related("template", "health").exclude(
        template__name="fake", number=2
    )
    return all(inspection.inspect(row).problems == () for row in rows)
