from email.message import Message

import pytest

from templatemgr.builders.pip import requirements

IN = "Tiny_Thing[extra]>=1,<2  # ours\n# a comment\n-c other.txt\n\nother ; python_version < '3'\n"


def metadata(**fields: list[str]) -> Message:
    message = Message()
    for name, values in fields.items():
        for value in values:
            message[name.replace("_", "-")] = value
    return message


def test_requirements_are_parsed() -> None:
    assert [item.name for item in requirements.wanted(IN)] == ["Tiny_Thing", "other"]


def test_an_exact_version_replaces_the_range_and_leaves_the_rest() -> None:
    lines = requirements.hold(IN, "tiny.thing", "1.4").splitlines()
    assert lines[0] == "Tiny_Thing[extra]==1.4  # ours"
    assert lines[1:] == IN.splitlines()[1:]


def test_a_requirement_with_continuations_and_hashes_is_one() -> None:
    text = "first\nthing>=1 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\nlast\n"
    assert [str(item) for item in requirements.wanted(text)] == ["first", "thing>=1", "last"]
    assert requirements.unmet(text, {"first": "1", "thing": "0.9", "last": "1"}) == {"thing"}
    assert requirements.hold(text, "thing", "2.0") == "first\nthing==2.0\nlast\n"


def test_a_marker_without_an_answer_does_not_apply() -> None:
    [item] = requirements.wanted("thing; os_name ~= '1'")
    assert requirements.applies(item) is False
    assert requirements.chains([item], {"thing": []}) == {}


def test_a_transitive_package_is_held_by_a_line_of_its_own() -> None:
    assert requirements.hold(IN, "Deep_Down", "3") == IN + "deep-down==3\n"


@pytest.mark.parametrize(
    ("text", "locked", "unmet"),
    [
        ("a>=1\nb\n", {"a": "1.0", "b": "9"}, set()),
        ("a>=2\nb\n", {"a": "1.0", "b": "9"}, {"a"}),
        ("a>=2\nc>=0\n", {"a": "2.0rc1"}, {"a", "c"}),
        ("a>=2rc0\n", {"a": "2.0rc1"}, set()),
        ("A_b\n", {"a-b": "1"}, set()),
    ],
)
def test_requirements_that_the_lock_does_not_meet(
    text: str, locked: dict[str, str], unmet: set[str]
) -> None:
    assert requirements.unmet(text, locked) == unmet


def test_the_shortest_chain_counts_extras_and_markers() -> None:
    needs = {
        "web": requirements.wanted("tls; extra == 'secure'\nold; python_version < '3'\nlog"),
        "tls": requirements.wanted("log"),
        "log": requirements.wanted("web"),  # a circle ends the search
        "old": [],
        "lost": [],
    }
    assert requirements.chains(requirements.wanted("web[secure]"), needs) == {
        "web": ("web",),
        "log": ("web", "log"),
        "tls": ("web", "tls"),
    }
    assert "tls" not in requirements.chains(requirements.wanted("web"), needs)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": ["MIT"], "License": ["else"]}, "MIT"),
        ({"License": ["BSD-3-Clause"]}, "BSD-3-Clause"),
        (
            {
                "License": ["Permission is hereby granted\nto everybody"],
                "Classifier": ["License :: OSI Approved :: Apache Software License", "Topic :: X"],
            },
            "Apache Software License",
        ),
        ({"License": ["UNKNOWN"]}, ""),
        ({}, ""),
    ],
)
def test_a_licence_is_a_name_and_not_a_text(fields: dict[str, list[str]], licence: str) -> None:
    assert requirements.licence(metadata(**fields)) == licence


def test_an_inactive_package_is_marked_as_such() -> None:
    inactive = metadata(Classifier=["Development Status :: 7 - Inactive"])
    assert requirements.deprecated(inactive) == "Its author declares it inactive."
    assert requirements.deprecated(metadata()) == ""
