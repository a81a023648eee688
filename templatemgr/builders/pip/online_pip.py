"""Run pip, but no process that pip would start. The copied interpreter runs this in an online cage.

Usage, where `<path>` is the folder that contains pip:

- `online_pip.py <path> pip <arguments>` runs pip itself.
- `online_pip.py <path> sources <folder>` downloads source distributions without unpacking them. It
  uses pip's settings and finder. <folder>/wanted.json is a list of {"name", "specifier", "hashes"}.
  The script writes <folder>/found.json, a list of {"name", "version", "sha256"} in the same order,
  with null where the index has no such file. The files are <folder>/<name>.tar.gz.
- `online_pip.py <path> look <folder>` does the same, but downloads nothing and gives no "sha256".

pip builds every requirement that is a link, a path or a repository, and no option prevents that. A
build runs in a process of its own, so this process must not start any. Two seccomp filters enforce
this: the cage's, and one that this process installs before it reads foreign data. An audit hook
fails earlier and gives pip an error with the reason.
"""

import ctypes
import hashlib
import importlib
import json
import runpy
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

REFUSED = "a step with network may not start a program"
STARTS = (
    "subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
    "os.system", "pty.spawn",
)  # fmt: skip
SUFFIX = ".tar.gz"  # of a source distribution (PEP 517, PEP 625)
CHUNK = 1 << 20
SEAL = "/toolchain/seal.bpf"  # a filter that refuses execve and execveat, as struct sock_filter[]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h


ORIGINS = "origins.jsonl"  # in the workspace: [file's name, "host:port"], a line each


class Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(toolchain: str, task: str, *arguments: str) -> int:
    """Run one task; return the exit status. The task pip does not return: it raises SystemExit."""
    seal()
    sys.addaudithook(refuse)
    sys.path.insert(0, toolchain)
    note_origins()
    if task == "pip":
        sys.argv = ["pip", *arguments]
        runpy.run_module("pip", run_name="__main__", alter_sys=True)  # ends by sys.exit
    return sources(arguments[0], fetching=task == "sources")


def seal() -> None:
    """Install the seccomp filter SEAL, so that this process can never execute another program.

    Raises OSError if the kernel refuses the filter.
    """
    with open(SEAL, "rb") as file:
        code = file.read()
    program = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if not done or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refused the filter")


def note_origins() -> None:
    """Make pip append the origin of each file to ORIGINS: the host and port after redirects.

    The lines contain no path and no user name, because these can be secret.
    """
    sessions = importlib.import_module("pip._internal.network.session")
    request = sessions.PipSession.request

    def noted(self: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        response = request(self, method, url, *args, **options)
        wanted_url, sent = urlsplit(url), urlsplit(response.url or url)
        name = unquote(wanted_url.path.rpartition("/")[2])
        if sent.hostname and name.endswith((".whl", ".gz", ".zip")):
            port = sent.port or {"http": 80, "https": 443}.get(sent.scheme, 0)
            with open(f"/build/{ORIGINS}", "a", encoding="utf-8") as file:
                file.write(json.dumps([name, f"{sent.hostname}:{port}"]) + "\n")
        return response

    sessions.PipSession.request = noted


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise PermissionError for an audit event that starts a process or replaces this one."""
    if event in STARTS:
        message = f"{REFUSED}: {str(arguments[:2])[:300]}"
        raise PermissionError(message)


def sources(folder: str, *, fetching: bool) -> int:
    """Find the source distributions of wanted.json, download them if `fetching`, write found.json.

    Return the exit status: 1 after an error of pip or the system, which is printed, else 0.
    """
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
    """Return pip's link to the newest matching source distribution, and its entry in found.json.

    Prefer releases that are not yanked, then those that are not pre-releases, then the highest
    version, then a file with one of the hashes. Return (None, None) if nothing matches.
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
    """Download a file to `place`; return its SHA-256 in hexadecimal.

    Raises OSError unless the digest is one of `hashes`. Without hashes, the digest must equal the
    SHA-256 that the index gives, if any.
    """
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
