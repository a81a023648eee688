from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from templatemgr.errors import GateError, InvalidPolicyError, PinnedError, UnknownTemplateError
from templatemgr.models import AuditEvent, Build, Version, VersionHealth
from templatemgr.promotion import gates, promotions
from tests.templatemgr.conftest import MakeSealedVersion

pytestmark = pytest.mark.usefixtures("data_dir", "committed")


@pytest.fixture
def replayed() -> Iterator[None]:
    """Register one more gate, as a later release would: it is closed for odd versions."""
    gates.register("replay", lambda version: (version.number % 2 == 0, "3 of 9 came out other"))
    yield
    gates.unregister("replay")


@pytest.fixture
def version(make_sealed_version: MakeSealedVersion) -> Version:
    return make_sealed_version({"a": "1"})


def promote(*, override: bool = False) -> None:
    promotions.promote(template="fake", version=1, actor="ann", reason="r", override=override)


def _from(host: str, *reached: str) -> dict[str, object]:
    return {
        "packages": {"thing 1.0": host},
        "configured": ["one.example:443"],
        "reached": ["one.example:443", *reached],
    }


def last_event() -> AuditEvent:
    return AuditEvent.objects.latest("sequence")


def test_a_registered_gate_is_evaluated_and_can_refuse(version: Version, replayed: None) -> None:
    found = gates.evaluate(version=version)
    assert [gate.name for gate in found] == [
        "ready",
        "smoke",
        "healthy",
        "unpinned",
        "origins",
        "replay",
    ]
    assert all(gate.required for gate in found)
    with pytest.raises(GateError, match="replay: 3 of 9 came out other"):
        promote()


def test_a_policy_selects_the_gates_that_count(version: Version, replayed: None) -> None:
    gates.set_policy(template="fake", required=["smoke"], actor="ann", reason="trial")
    version.template.refresh_from_db()
    replay = gates.evaluate(version=version)[-1]
    assert (replay.ok, replay.required, replay.closed) == (False, False, False)
    assert last_event().action == "template.policy"
    assert last_event().details["to"] == {"required": ["healthy", "ready", "smoke", "unpinned"]}
    assert last_event().details["reason"] == "trial"
    promote()
    assert "overridden" not in last_event().details
    with pytest.raises(InvalidPolicyError, match="No such gate: nonsense"):
        gates.set_policy(template="fake", required=["nonsense"], actor="ann", reason="r")
    with pytest.raises(UnknownTemplateError):
        gates.set_policy(template="none", required=None, actor="ann", reason="r")


def test_an_override_passes_a_gate_and_the_audit_trail_names_it(
    make_sealed_version: MakeSealedVersion, replayed: None
) -> None:
    make_sealed_version({"a": "1"}, smoke_ok=False)
    promote(override=True)
    assert last_event().details["overridden"] == {
        "smoke": "failed: run",
        "replay": "3 of 9 came out other",
    }
    assert last_event().details["reason"] == "r"


def test_the_essential_gates_hold_against_policy_and_override(version: Version) -> None:
    gates.set_policy(template="fake", required=[], actor="ann", reason="r")
    VersionHealth.objects.update(state="quarantined")
    with pytest.raises(GateError, match="healthy"):
        promote(override=True)
    VersionHealth.objects.update(state="verified")
    promotions.pin(template="fake", actor="ann", reason="exam")
    with pytest.raises(PinnedError):
        promote(override=True)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_gate_policy_and_the_override_flag(make_sealed_version: MakeSealedVersion) -> None:
    make_sealed_version({"a": "1"}, smoke_ok=False)
    assert (
        run("gate_policy", "fake") == "fake must pass: healthy, origins, ready, smoke, unpinned\n"
    )
    with pytest.raises(CommandError, match="smoke: failed"):
        run("promote_template", "fake", "1", "--reason", "r")
    assert "fake@1 is current" in run(
        "promote_template", "fake", "1", "--reason", "r", "--override"
    )
    with pytest.raises(CommandError, match="A reason is needed"):
        run("gate_policy", "fake", "--essential")
    said = run("gate_policy", "fake", "--essential", "--reason", "trial")
    assert said == "fake must pass: healthy, ready, unpinned\n"
    assert "smoke" in run("gate_policy", "fake", "--all", "--reason", "over")


@pytest.mark.parametrize(
    ("origins", "ok", "says"),
    [
        ({}, True, "not on record"),
        (_from("one.example:443"), True, "1 packages from the configured registries"),
        (_from("a folder of this machine"), True, "configured registries"),
        (_from("two.example:443"), False, "thing 1.0 from two.example:443"),
        (_from("one.example:443, two.example:443"), False, "two.example:443"),
        (_from("one.example:443", "cdn.example:443"), False, "reached besides: cdn.example:443"),
    ],
)
def test_a_host_that_is_not_a_configured_registry_closes_a_gate(
    version: Version, origins: dict[str, object], ok: bool, says: str
) -> None:
    Build.objects.filter(pk=version.build_id).update(origins=origins)
    again = Version.objects.get(pk=version.pk)
    gate = next(gate for gate in gates.evaluate(version=again) if gate.name == "origins")
    assert (gate.ok, says in gate.detail) == (ok, True), gate.detail
