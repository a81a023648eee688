from pathlib import Path

import pytest

from templatemgr.builders import npm, steps
from templatemgr.errors import BuildError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("certificate")
    (tmp_path / ".npmrc").write_text(
        f"//registry.example/:_authToken=${{NPM_TOKEN}}\ncafile={tmp_path / 'ca.pem'}\n"
    )
    (tmp_path / "globalrc").write_text("registry=https://registry.example/\n")
    return tmp_path


def test_npmrc_files_certificates_and_named_variables_reach_the_cage(home: Path) -> None:
    binds, env = npm.machine_configuration(
        {
            "HOME": str(home),
            "npm_config_globalconfig": str(home / "globalrc"),
            "NPM_TOKEN": "s3cret",
            "HTTPS_PROXY": "http://proxy.example:3128",
            "NPM_CONFIG_REGISTRY": "https://mirror.example/",
            "SECRET_KEY": "not for npm",
        }
    )
    assert binds == [
        (home / ".npmrc", "/npm-config/user"),
        (home / "globalrc", "/npm-config/global"),
        (home / "ca.pem", str(home / "ca.pem")),
    ]
    assert env == {
        "HTTPS_PROXY": "http://proxy.example:3128",
        "NPM_CONFIG_REGISTRY": "https://mirror.example/",
        "NPM_TOKEN": "s3cret",
        "npm_config_userconfig": "/npm-config/user",
        "npm_config_globalconfig": "/npm-config/global",
    }


def test_settings_that_we_make_ourselves_do_not_pass(home: Path) -> None:
    _, env = npm.machine_configuration(
        {"HOME": "/none", "PATH": "/none", "npm_config_cache": "/x", "NPM_CONFIG_PREFIX": "/y"}
    )
    assert set(env) == {"npm_config_userconfig", "npm_config_globalconfig"}


def test_a_certificate_folder_covers_the_files_in_it(home: Path) -> None:
    binds, env = npm.machine_configuration(
        {
            "HOME": "/none",
            "npm_config_globalconfig": "/none",
            "SSL_CERT_DIR": str(home),
            "SSL_CERT_FILE": str(home / "ca.pem"),
            "NODE_EXTRA_CA_CERTS": str(home / "gone.pem"),
        }
    )
    assert binds == [(home, str(home))]
    assert env["SSL_CERT_FILE"] == str(home / "ca.pem")


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
    remedy = steps.remedy(["npm http fetch GET 200", line], npm.REMEDIES)
    assert remedy is not None
    assert word in remedy


def test_a_toolchain_link_is_relative_and_must_lead_somewhere(tmp_path: Path) -> None:
    (tmp_path / "node_modules/node/bin").mkdir(parents=True)
    (tmp_path / "node_modules/node/bin/node").write_text("")
    steps.link(tmp_path, "bin/node", "node_modules/node/bin/node")
    assert str((tmp_path / "bin/node").readlink()) == "../node_modules/node/bin/node"
    with pytest.raises(BuildError, match="which is not installed"):
        steps.link(tmp_path, "bin/other", "node_modules/other")
