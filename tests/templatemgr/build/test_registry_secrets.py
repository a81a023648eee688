"""Test that no message or log shows the token that a registry sends back in its errors."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from templatemgr.build import lookups
from templatemgr.models import BuildLogLine, Lookup
from tests.attacks.loopback_registries import Registry, serve
from tests.templatemgr.build.test_lookups import answer
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import package_files, write_definition

TOKEN = "npm_S3cret/OfTheMachine+42"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    for name in os.environ:
        if name.lower().startswith("npm_config_"):
            monkeypatch.delenv(name)
    with serve(token=f"Bearer {TOKEN}") as found:
        home = tmp_path / "home"
        home.mkdir()
        (home / ".npmrc").write_text(
            f"registry={found.url}/\n//127.0.0.1:{found.port}/:_authToken=${{CORP}}\n"
            "fetch-retries=0\n"
        )
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("CORP", TOKEN)
        monkeypatch.setenv("npm_config_globalconfig", "/none")
        yield found


def log_text() -> str:
    return "\n".join(BuildLogLine.objects.values_list("text", flat=True))


def test_the_message_of_a_refused_build_does_not_show_the_token(
    tiny: Path, registry: Registry
) -> None:
    registry.token = f"Bearer {TOKEN}, and one more thing"
    build = run_build(kind="refresh")
    assert build.state == "failed"
    assert any(TOKEN in given for _, given in registry.asked)  # sent, and returned
    assert TOKEN not in build.message + log_text()
    assert "[secret]" in build.message + log_text()


def test_the_message_about_a_missing_package_does_not_show_the_token(
    tiny: Path, registry: Registry
) -> None:
    build = run_build(kind="refresh")
    assert build.state == "failed"
    assert "404" in build.message
    assert TOKEN not in build.message + log_text()


def test_a_token_in_the_metadata_of_a_package_is_not_written_into_the_lock(
    tiny: Path, registry: Registry
) -> None:
    registry.publish_npm("is-number", "7.0.0", {"index.js": ""}, deprecated=f"you are {TOKEN}")
    build = run_build(kind="refresh")
    assert build.state == "failed"
    assert "would contain a secret" in build.message
    assert TOKEN not in build.message + log_text()


def test_the_message_of_a_failed_lookup_does_not_show_the_token(
    tiny: Path, registry: Registry
) -> None:
    registry.token = f"Bearer {TOKEN}, and one more thing"
    write_definition(tiny, **package_files("7.0.0"))
    lookup = answer(lookups.request(template="tiny", from_version=None, actor="ada"))
    assert lookup.finished
    assert TOKEN not in str(Lookup.objects.filter(pk=lookup.pk).values().get())
