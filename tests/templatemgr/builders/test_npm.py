from pathlib import Path

import pytest

from sandbox import cage
from templatemgr.builders import steps
from templatemgr.builders.base import Job
from templatemgr.builders.npm import npm_builder, npm_config
from templatemgr.definitions import definition_file
from templatemgr.errors import BuildError
from tests.tiny_definition import write_definition


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("certificate")
    (tmp_path / ".npmrc").write_text(
        f"//registry.example/:_authToken=${{NPM_TOKEN}}\ncafile={tmp_path / 'ca.pem'}\n"
    )
    (tmp_path / "globalrc").write_text("registry=https://registry.example/\n")
    return tmp_path


def test_npmrc_files_certificates_and_named_variables_reach_the_cage(home: Path) -> None:
    found = npm_config.machine_configuration(
        {
            "HOME": str(home),
            "npm_config_globalconfig": str(home / "globalrc"),
            "NPM_TOKEN": "s3cret",
            "HTTPS_PROXY": "http://proxy.example:3128",
            "NPM_CONFIG_REGISTRY": "https://mirror.example/",
            "SECRET_KEY": "not for npm",
        }
    )
    assert found.files == {
        "/npm-config/user": (home / ".npmrc").read_bytes(),
        "/npm-config/global": (home / "globalrc").read_bytes(),
    }
    assert found.binds == ((home / "ca.pem", str(home / "ca.pem")),)
    assert found.env == {  # no proxy: it stays outside
        "NPM_CONFIG_REGISTRY": "https://mirror.example/",
        "NPM_TOKEN": "s3cret",
        "npm_config_userconfig": "/npm-config/user",
        "npm_config_globalconfig": "/npm-config/global",
    }


def test_npm_reads_a_file_that_only_its_owner_may_read(home: Path, tmp_path: Path) -> None:
    """Run the real npm in the cage of the fetch step, whose user is another one."""
    (home / ".npmrc").write_text(
        "registry=https://private.example/\n//private.example/:_auth=x\n"
        "proxy=http://me:s3cret@proxy.example:3128\ngit=/usr/bin/git\n"
    )
    (home / ".npmrc").chmod(0o600)
    build = tmp_path / "build"
    build.mkdir()
    machine = npm_config.machine_configuration({"HOME": str(home), "PATH": "/none"})
    jail = cage.Cage(
        writable=build,
        read_only=((npm_config.wheel(), npm_config.TOOLCHAIN),),
        files={f"{npm_config.CONFIG}/user": npm_config.settings(machine).file},
        env={**machine.env, **npm_builder._environment()},
    )
    lines: list[str] = []
    asked = f"{' '.join(npm_builder.NPM)} config get registry git proxy"
    script = f"{asked}; echo more >> {npm_config.CONFIG}/user || echo no"
    cage.run(jail, ["/bin/sh", "-c", script], lambda _, text: lines.append(text))
    assert lines[:3] == ["registry=https://private.example/", "git=git", "proxy=null"]
    assert "no" in lines


def test_settings_of_the_builder_are_not_taken_from_the_machine(home: Path) -> None:
    found = npm_config.machine_configuration(
        {"HOME": "/none", "PATH": "/none", "npm_config_cache": "/x", "NPM_CONFIG_PREFIX": "/y"}
    )
    assert set(found.env) == {"npm_config_userconfig", "npm_config_globalconfig"}


def test_a_certificate_folder_covers_the_files_in_it(home: Path) -> None:
    found = npm_config.machine_configuration(
        {
            "HOME": "/none",
            "npm_config_globalconfig": "/none",
            "SSL_CERT_DIR": str(home),
            "SSL_CERT_FILE": str(home / "ca.pem"),
            "NODE_EXTRA_CA_CERTS": str(home / "gone.pem"),
        }
    )
    assert found.binds == ((home, str(home)),)
    assert found.env["SSL_CERT_FILE"] == str(home / "ca.pem")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("npm error code EINTEGRITY", "Do not trust"),
        ("npm error code EUSAGE", "disagree"),
        ("npm error code ETARGET", "not in the registry"),
        ("npm error code EOVERRIDE", "edit one of them"),
        ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "NODE_EXTRA_CA_CERTS"),
        ("npm error code ENOTFOUND", "cannot be reached"),
        ("npm error code ENOSPC", "disk is full"),
    ],
)
def test_a_known_failure_has_a_remedy(line: str, word: str) -> None:
    remedy = steps.remedy(["npm http fetch GET 200", line], npm_builder.REMEDIES)
    assert remedy is not None
    assert word in remedy


def test_a_toolchain_link_is_relative_and_its_target_must_exist(tmp_path: Path) -> None:
    (tmp_path / "node_modules/node/bin").mkdir(parents=True)
    (tmp_path / "node_modules/node/bin/node").write_text("")
    steps.link(tmp_path, "bin/node", "node_modules/node/bin/node")
    assert str((tmp_path / "bin/node").readlink()) == "../node_modules/node/bin/node"
    with pytest.raises(BuildError, match="which is not installed"):
        steps.link(tmp_path, "bin/other", "node_modules/other")
    (tmp_path / "bin/main.sh").write_text("")
    for name in ("bin/main.sh", "bin/main.sh/node"):
        with pytest.raises(BuildError, match="cannot be linked"):
            steps.link(tmp_path, name, "node_modules/node/bin/node")


def test_npm_takes_other_sources_where_the_operator_allows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    definition = definition_file.read(write_definition(tmp_path / "tiny"))

    def flags(*kinds: str) -> set[str]:
        job = Job(
            definition=definition,
            workspace=tmp_path / "workspace",
            log=lambda *_: None,
            sources=frozenset(kinds),
        )
        _, held = npm_builder.online(job)
        return {flag for flag in held if flag.startswith("--allow-") and flag.endswith("=all")}

    assert flags() == set()
    assert flags("git", "shrinkwrap") == set()
    assert flags("http") == {"--allow-remote=all"}
    assert flags("link") == flags("workspace") == {"--allow-directory=all"}
    assert flags("file") == {"--allow-file=all", "--allow-directory=all"}
