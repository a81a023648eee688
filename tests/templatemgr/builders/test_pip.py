"""Test the pip builder: real pip in the real cage, with wheels made by the tests."""

import hashlib
import marshal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox.cage import Cage
from templatemgr import store
from templatemgr.builders import interpreter, steps
from templatemgr.builders.base import Job
from templatemgr.builders.pip import compile_tree, pip_builder, pip_cage, pip_config
from templatemgr.errors import BuildError
from templatemgr.trees import manifests

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(folder: Path, name: str, version: str, *, needs: str = "") -> Path:
    """Write a wheel of one module and one script."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n\n\ndef main():\n    print(VERSION)\n",
        f"{name}_tests/test_all.py": "left = 'out'\n",
        f"{info}/METADATA": METADATA.format(
            name=name, version=version, more=f"Requires-Dist: {needs}\n" if needs else ""
        ),
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-say = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(inside), text)
    return path


def make_job(folder: Path, **changed: Any) -> Job:
    """Make a workspace with requirements of the wheel `tiny`."""
    wanted = {"install_scripts": (), "prune": (), "toolchain": {}} | changed
    job = Job(
        definition=cast("Any", SimpleNamespace(**wanted)),
        workspace=folder,
        log=lambda _stream, _text: None,
    )
    job.downloads.mkdir(parents=True)
    job.tree.mkdir()
    (job.tree / "requirements.in").write_text("Tiny_Thing>=1  # ours\n")
    return job


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a folder of wheels and configure it as pip's only source."""
    folder = tmp_path_factory.mktemp("wheels")
    folder.chmod(0o755)  # under root, the cage has another user
    make_wheel(folder, "tiny_thing", "1.0", needs="other")
    make_wheel(folder, "tiny_thing", "1.5", needs="other")
    make_wheel(folder, "other", "2.0")
    (folder / "other-3.0.tar.gz").write_bytes(b"a source distribution is not even opened")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", str(folder / "pip.conf"))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(scope="module")
def built(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Run a whole build from the ranges."""
    job = make_job(
        tmp_path_factory.mktemp("first") / "work",
        prune=("lib/python3.*/site-packages/*_tests",),
        toolchain={"bin/tiny.py": "{site}/tiny_thing.py"},
    )
    pip_builder.relock(job)
    pip_builder.fetch(job)
    pip_builder.install(job)
    yield job
    store.remove(job.workspace)


def test_the_lock_has_hashes_and_no_hosts(built: Job, index: Path) -> None:
    wheels = {"other": "other-2.0", "tiny-thing": "tiny_thing-1.5"}
    expected = ""
    for name, wheel in wheels.items():
        content = (index / f"{wheel}-py3-none-any.whl").read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        expected += f"{name}=={wheel.partition('-')[2]} \\\n    --hash=sha256:{digest}\n"
    assert (built.tree / "requirements.lock").read_text() == expected


def test_the_packages_include_the_interpreter(built: Job) -> None:
    found = pip_builder.packages(built.tree)
    assert [package.name for package in found] == ["other", "python", "tiny_thing"]
    other, python, tiny = found
    assert (other.version, other.direct, other.chain) == ("2.0", False, ("tiny-thing", "other"))
    assert (tiny.version, tiny.direct, tiny.chain) == ("1.5", True, ("tiny-thing",))
    assert (built.tree / python.path).is_file()


def test_the_copied_interpreter_finds_its_library_at_its_own_path(
    built: Job, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(built.tree)
    code = "import sys, ssl, sqlite3, tiny_thing; print(sys.prefix, tiny_thing.VERSION)"
    said = subprocess.run(
        [str(moved / "bin/python"), "-B", "-c", code],
        env={}, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert said.stdout.split() == [str(moved), "1.5"]


def test_scripts_name_the_path_where_they_will_run(built: Job) -> None:
    lines = (built.tree / "bin/tiny_thing-say").read_text().splitlines()
    assert lines[0] == "#!/template/bin/python"


def test_bytecode_is_unchecked_and_names_its_final_path(built: Job) -> None:
    [cached] = (built.tree / interpreter.SITE / "__pycache__").glob("tiny_thing.*.pyc")
    content = cached.read_bytes()
    assert int.from_bytes(content[4:8], "little") == 0b01
    code = marshal.loads(content[16:])  # noqa: S302 - compiled here
    assert code.co_filename == f"/template/{interpreter.SITE}/tiny_thing.py"


def test_files_that_are_not_needed_are_not_sealed(built: Job) -> None:
    library = built.tree / interpreter.STDLIB
    left = [library / name for name in ("test", "idlelib", "tkinter", "ensurepip")]
    left += [built.tree / interpreter.SITE / name for name in ("tiny_thing_tests", "pip")]
    assert [path for path in left if path.exists()] == []
    assert not list(library.glob("lib-dynload/_test*"))
    assert str((built.tree / "bin/tiny.py").readlink()) == f"../{interpreter.SITE}/tiny_thing.py"


def test_another_folder_and_another_umask_give_the_same_bytes(
    built: Job, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    job = make_job(
        tmp_path / "second" / "work",
        prune=built.definition.prune,
        toolchain=built.definition.toolchain,
    )
    store.copy_files(built.tree, job.tree, ["requirements.lock"])
    pip_builder.fetch(job)
    pip_builder.install(job)
    assert manifests.scan(job.tree).digest() == manifests.scan(built.tree).digest()


def test_other_bytes_than_locked_are_refused(index: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path / "work")
    (job.tree / "requirements.lock").write_text(f"other==2.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BuildError, match="HASHES") as caught:
        pip_builder.fetch(job)
    assert "Do not trust" in str(caught.value.remedy)
    assert not (job.workspace / "pip.conf").exists()


def test_a_source_distribution_is_not_taken(index: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path / "work")
    (job.tree / "requirements.lock").write_text(f"other==3.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BuildError, match="No matching distribution") as caught:
        pip_builder.fetch(job)
    assert "as a wheel" in str(caught.value.remedy)


def test_without_a_lock_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no requirements\.lock"):
        pip_builder.fetch(make_job(tmp_path / "a"))


def test_only_the_step_that_downloads_has_a_network_and_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cages: list[Cage] = []

    def run(jail: Cage, *_others: object, **_more: object) -> int:
        cages.append(jail)
        return 0

    monkeypatch.setattr("sandbox.cage.run", run)
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:s3cret@index.example/simple")
    job = make_job(tmp_path / "work")
    (job.tree / "requirements.lock").write_text("")
    pip_builder.fetch(job)
    pip_builder.install(job)
    assert [jail.network for jail in cages] == [True, False, False]
    assert "s3cret" not in repr(cages)
    assert [jail.env["PIP_CONFIG_FILE"] for jail in cages] == [
        "/pip-config/pip.conf",
        *["/dev/null"] * 2,
    ]


def test_merged_configuration_only_sets_sources(tmp_path: Path) -> None:
    (tmp_path / "etc/xdg/pip").mkdir(parents=True)
    (tmp_path / "etc/xdg/pip/pip.conf").write_text(
        "[global]\nindex-url = https://one.example/simple\ntarget = /usr\nretries = 1\n"
    )
    (tmp_path / "mirror/simple").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "ca.pem").write_text("certificate")
    (tmp_path / "etc/pip.conf").write_text(
        f"[global]\nextra_index_url = file://{tmp_path}/mirror/simple\n"
        f"  https://two.example/simple\n[install]\nretries = 2\ncert = {tmp_path}/ca.pem\n"
    )
    (tmp_path / ".netrc").write_text("machine one.example login a password b\n")
    (tmp_path / "me.pem").write_text("private")
    machine = pip_config.read(
        {
            "HOME": str(tmp_path),
            "PIP_FIND_LINKS": f"{tmp_path}/wheels {tmp_path}/gone",
            "PIP_RETRIES": "3",
            "PIP_USER": "1",
            "PIP_CLIENT_CERT": str(tmp_path / "me.pem"),
            "HTTPS_PROXY": "http://proxy.example:3128",
            "SECRET_KEY": "not for pip",
        },
        root=tmp_path,
    )
    assert machine.files == {
        "/pip-config/pip.conf": (
            f"[global]\ncert = {tmp_path}/ca.pem\nclient-cert = /pip-config/client.pem\n"
            f"extra-index-url = file://{tmp_path}/mirror/simple https://two.example/simple\n"
            f"find-links = {tmp_path}/wheels {tmp_path}/gone\n"
            "index-url = https://one.example/simple\nretries = 3\n"
        ).encode(),
        "/pip-config/netrc": b"machine one.example login a password b\n",
        "/pip-config/client.pem": b"private",
    }
    assert machine.binds == tuple(
        (tmp_path / name, str(tmp_path / name)) for name in ("ca.pem", "mirror", "wheels")
    )
    assert machine.env == {"NETRC": "/pip-config/netrc"}  # no proxy: it stays outside
    named = {("one.example", 443), ("two.example", 443)}
    assert machine.endpoints() == (frozenset(named), frozenset[tuple[str, int]]())


def test_a_malformed_configuration_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "pip.conf"
    broken.write_text("index-url = nowhere\n")
    with pytest.raises(ValueError, match=r"pip\.conf is not a configuration"):
        pip_config.read({"HOME": "/none", "PIP_CONFIG_FILE": str(broken)}, root=tmp_path)
    machine = pip_config.read({"PIP_CONFIG_FILE": "/dev/null"}, root=tmp_path)
    assert machine.files == {"/pip-config/pip.conf": b"[global]\n"}


def test_a_binary_looks_for_its_library_beside_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.base_prefix", "/opt/some/where/python")
    before = b"ELF\0/opt/some/where/python/lib\0rest"
    after = interpreter._relocated(before)
    assert after == b"ELF\0$ORIGIN/../lib".ljust(len(before) - 5, b"\0") + b"\0rest"
    assert interpreter._relocated(b"nothing to do") == b"nothing to do"


def test_a_module_in_the_syntax_of_another_python_is_not_compiled(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print 'two'\n")
    assert compile_tree.compiled(str(tmp_path / "a.py"), str(tmp_path), "/template") == 0
    (tmp_path / "b.py").write_text("x = 1\n")
    assert compile_tree.compiled(str(tmp_path / "b.py"), str(tmp_path), "/template") == 1


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "Do not trust"),
        ("ERROR: In --require-hashes mode, all requirements", "refresh"),
        ("ERROR: No matching distribution found for x", "as a wheel"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "not trusted"),
        ("ERROR: HTTP error 401 while getting: 401 Client Error: Unauthorized", "credentials"),
        ("Failed to establish: NewConnectionError", "cannot be reached"),
        ("ERROR: ResolutionImpossible: for help", "exclude each other"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
    ],
)
def test_a_known_failure_has_a_remedy(line: str, word: str) -> None:
    remedy = steps.remedy(["Collecting x", line], pip_cage.REMEDIES)
    assert remedy is not None
    assert word in remedy
