"""Run by the copied interpreter in the cage with a network: pip, and nothing that pip would start.

`online_pip.py <where pip lies> pip <arguments>` is pip itself. `… sources <folder>` fetches source
distributions without looking into them, by pip's own settings and finder: <folder>/wanted.json
lists {"name", "specifier", "hashes"}, and <folder>/found.json then {"name", "version", "sha256"} in
the same order, or null where the index has none; each lies in <folder>/<name>.tar.gz. `… look
<folder>` downloads nothing.

pip builds what it is given as a link, a path or a repository, whatever its options say. So this
process may start no other: what a build would run, it would run in one. The kernel holds that, by
the cage's filter and by one that this process puts on itself before it reads anything foreign; what
pip is told then says why.
"""

import ctypes
import hashlib
import importlib
import json
import runpy
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

REFUSED = "no program may be started where there is a network"
STARTS = (
    "subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
    "os.system", "pty.spawn",
)  # fmt: skip
SUFFIX = ".tar.gz"  # what PEP 517 and PEP 625 call a source distribution
CHUNK = 1 << 20
SEAL = "/toolchain/seal.bpf"  # a filter that refuses execve and execveat, as struct sock_filter[]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h


ORIGINS = "origins.jsonl"  # in the workspace: [file's name, "host:port"], a line each


class Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(toolchain: str, task: str, *arguments: str) -> int:
    """Do one of the tasks and return the exit status."""
    seal()
    sys.addaudithook(refuse)
    sys.path.insert(0, toolchain)
    note_origins()
    if task == "pip":
        sys.argv = ["pip", *arguments]
        runpy.run_module("pip", run_name="__main__", alter_sys=True)  # ends by sys.exit
    return sources(arguments[0], fetching=task == "sources")


def seal() -> None:
    """Become a process that can never be another program. OSError if the kernel refuses."""
    with open(SEAL, "rb") as file:
        code = file.read()
    program = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if not done or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel took no filter")


def note_origins() -> None:
    """Write down which host sends each file, after its redirects; no path and no user."""
    sessions = importlib.import_module("pip._internal.network.session")
    request = sessions.PipSession.request

    def noted(self: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        response = request(self, method, url, *args, **options)
        asked, sent = urlsplit(url), urlsplit(response.url or url)
        name = unquote(asked.path.rpartition("/")[2])
        if sent.hostname and name.endswith((".whl", ".gz", ".zip")):
            port = sent.port or {"http": 80, "https": 443}.get(sent.scheme, 0)
            with open(f"/build/{ORIGINS}", "a", encoding="utf-8") as file:
                file.write(json.dumps([name, f"{sent.hostname}:{port}"]) + "\n")
        return response

    sessions.PipSession.request = noted


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise before this process starts another one, or becomes it."""
    if event in STARTS:
        message = f"{REFUSED}: {str(arguments[:2])[:300]}"
        raise PermissionError(message)


def sources(folder: str, *, fetching: bool) -> int:
    """Find what is wanted, and download it."""
    with open(f"{folder}/wanted.json", encoding="utf-8") as file:
        wanted = json.load(file)
    commands = importlib.import_module("pip._internal.commands")
    errors = importlib.import_module("pip._internal.exceptions")
    command = commands.create_command("download", isolated=False)
    options, _ = command.parse_args(["--no-binary", ":all:"])
    found: list[dict[str, str] | None] = []
    try:
        with command.main_context():
            session = command.get_default_session(options)
            finder = command._build_package_finder(options=options, session=session)
            for item in wanted:
                link, entry = _find(finder, item)
                if entry is not None and fetching:
                    digest = _download(
                        session, link, f"{folder}/{item['name']}{SUFFIX}", item["hashes"]
                    )
                    entry["sha256"] = digest
                found.append(entry)
    except (errors.PipError, OSError) as error:
        print(f"ERROR: {error}")
        return 1
    with open(f"{folder}/found.json", "w", encoding="utf-8") as file:
        json.dump(found, file)
    return 0


def _find(finder: Any, item: dict[str, Any]) -> tuple[Any, dict[str, str] | None]:
    """Return pip's link to the newest source distribution that fits, and what to say of it.

    One that was withdrawn, or a pre-release, only where nothing else fits.
    """
    specifiers = importlib.import_module("pip._vendor.packaging.specifiers")
    allowed = specifiers.SpecifierSet(item["specifier"])
    candidates = [
        candidate
        for candidate in finder.find_all_candidates(item["name"])
        if candidate.link.filename.endswith(SUFFIX)
        and allowed.contains(candidate.version, prereleases=True)
    ]
    if not candidates:
        return None, None
    best = max(
        candidates,
        key=lambda candidate: (
            not candidate.link.is_yanked,
            not candidate.version.is_prerelease,
            candidate.version,
            candidate.link.hash in item["hashes"],
        ),
    )
    return best.link, {"name": item["name"], "version": str(best.version)}


def _download(session: Any, link: Any, place: str, hashes: list[str]) -> str:
    """Write a file and return its SHA-256; OSError unless it is the lock's, or the index's."""
    print(f"Downloading {link.filename}")
    headers = {"Accept-Encoding": "identity"}
    response = session.get(link.url_without_fragment, headers=headers, stream=True)
    response.raise_for_status()
    digest = hashlib.sha256()
    with open(place, "wb") as file:
        for chunk in response.iter_content(CHUNK):
            digest.update(chunk)
            file.write(chunk)
    expected = hashes or ([link.hash] if link.hash_name == "sha256" else [])
    if expected and digest.hexdigest() not in expected:
        message = f"{link.filename} has sha256:{digest.hexdigest()}"
        raise OSError(f"THESE PACKAGES DO NOT MATCH THE HASHES: {message}")
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
