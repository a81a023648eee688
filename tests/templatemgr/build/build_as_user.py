"""Build a definition as another user, in another time zone, and print the version's identity.

Arguments: the name of the template and the number of the user. The environment holds the data
directory and the time zone. A user namespace maps the process to this user; no privilege is needed.
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
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # limit the build to one processor
    django.setup()
    from templatemgr import catalog
    from tests.templatemgr.conftest import run_build

    call_command("migrate", verbosity=0)
    catalog.sync_definitions()
    build = run_build(NAME)
    assert build.version is not None, build.message
    print(os.geteuid(), build.version.identity, build.version.tree_digest)


main()
