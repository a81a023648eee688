"""Build a definition as another user on another machine would, and print the identity.

Arguments: the name, the user number. The environment has the rest: directory, time zone. A user
namespace makes us that user, without any privilege that we may have.
"""

import os
import sys

import django
from django.core.management import call_command

NAME, USER = sys.argv[1], int(sys.argv[2])


def become(user: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {uid} 1"),
        ("gid_map", f"{user} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def main() -> None:
    become(USER)
    os.umask(0o077)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one thread at a time
    django.setup()
    from templatemgr import catalog
    from tests.templatemgr.conftest import run_build

    call_command("migrate", verbosity=0)
    catalog.sync_definitions()
    build = run_build(NAME)
    assert build.version is not None, build.message
    print(os.geteuid(), build.version.identity, build.version.tree_digest)


main()
