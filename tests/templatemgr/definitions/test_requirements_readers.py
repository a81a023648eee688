"""Test the readers of requirements.in and requirements.lock: names, versions, markers, hashes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templatemgr.builders.pip import pip_lockfile
from templatemgr.builders.pip.pip_lockfile import Lock, Pin, Recipe
from templatemgr.definitions.readers import Rules
from templatemgr.definitions.readers.faults import FileError
from templatemgr.definitions.readers.requirements_files import read_lock, read_wanted

RULES = Rules()
DIGEST = "ab" * 32
HASH = f"--hash=sha256:{DIGEST}"


def names(text: str) -> list[str]:
    return [str(line.requirement) for line in read_wanted(text, RULES)]


def test_usual_requirements_are_accepted() -> None:
    text = (
        "# wanted\n\nnumpy>=2.4,<3\npandas[excel] >= 3 ; python_version < '4'  # why\r\n"
        f"thing==1.2 \\\n    {HASH} \\\n    {HASH.replace('ab', 'cd')}\nother~=1.0\n"
    )
    assert names(text) == [
        "numpy<3,>=2.4", 'pandas[excel]>=3; python_version < "4"', "thing==1.2", "other~=1.0",
    ]  # fmt: skip
    assert read_wanted(text, RULES)[2].number == 5
    assert len(read_wanted(text, RULES)[2].hashes) == 2


REFUSED = [
    "-r http://127.0.0.1:9/",
    "-r /pip-config/netrc",
    "-rother.txt",
    "--requirement other.txt",
    "-c other.txt",
    "-e .",
    "--editable=.",
    "--index-url https://elsewhere.example/",
    "-i https://elsewhere.example/",
    "--extra-index-url=https://elsewhere.example/",
    "--find-links /tmp",
    "-f .",
    "--trusted-host elsewhere.example",
    "--no-binary :all:",
    "--pre",
    "--use-feature=x",
    "--no-index",
    " --pre",
    "thing --global-option=x",
    "thing --config-settings=a=b",
    "thing -r other.txt",
    "thing==1 --hash=md5:d41d8cd98f00b204e9800998ecf8427e",
    f"thing==1 --hash=sha1:{'a' * 40}",
    f"thing==1 {HASH}0",
    f"thing==1 {HASH} other",
    f"thing==1 --hash sha256:{DIGEST}",
    f"thing==1 {HASH.upper()}",
    "thing @ https://elsewhere.example/thing.whl",
    "thing@file:///etc/passwd",
    "thing @ git+https://h/r",
    "https://elsewhere.example/thing-1-py3-none-any.whl",
    "git+https://h/r#egg=thing",
    "file:thing.whl",
    "./thing",
    ".",
    "..",
    "/etc/passwd",
    "thing/",
    "dir/thing.whl",
    "thing-1.0-py3-none-any.whl",
    "thing.zip",
    "thing.tar.gz",
    "thing.TGZ",
    "thing.zip[extra]",
    "thing==1+x.zip",
    "thing===1.zip",
    "thing===1",
    "thing==1 ; platform_version == '${TOKEN}'",
    "${TOKEN}",
    "thing==${VERSION}",
    "thing>=1 \\",
    "thing \\\n# comment \\\n>=1",
    "# comment \\\nevil==1",
    "thing==1 # why \\\nevil==1",
    "thing\\\n>=1",
    "thing \\ \n>=1",
    "# -*- coding: utf-7 -*-\nthing",
    "\n# vim: set fileencoding=latin-1:\nthing",
    "thing\x0bother",
    "thing\x0cother",
    "# comment\u2028evil",
    "# comment\x85evil",
    "thing\rother",
    "thíng",
    "thing>=1\N{NO-BREAK SPACE}",
    "thing\0",
    "thing ;",
    "thing ; " + "(" * 900 + "os_name == 'x'" + ")" * 900,
    "thing; " + "os_name == 'x' and " * 120 + "os_name == 'x'",
    "x" * 3000,
    "a, b",
    "a b",
    "\\",
    "=1",
]


@pytest.mark.parametrize("text", REFUSED)
def test_all_other_lines_are_refused_in_both_files(text: str) -> None:
    for read in (read_wanted, read_lock):
        with pytest.raises(FileError):
            read(text, RULES)


def test_an_error_names_line_key_and_remedy() -> None:
    with pytest.raises(FileError) as caught:
        read_wanted("numpy\n\n-r other.txt\n", RULES)
    assert (caught.value.line, caught.value.key) == (3, "-r")
    assert "Write a name with its versions" in caught.value.remedy


def test_the_operator_can_allow_addresses_by_name() -> None:
    for kind, line in (
        ("http", "thing @ https://elsewhere.example/thing-1-py3-none-any.whl"),
        ("git", "thing @ git+https://h/r"),
        ("file", "thing @ file:///srv/thing.whl"),
    ):
        assert len(read_wanted(line, Rules(kinds=frozenset({kind})))) == 1
        for other in {"http", "git", "file"} - {kind}:
            with pytest.raises(FileError):
                read_wanted(line, Rules(kinds=frozenset({other})))
    with pytest.raises(FileError):
        read_wanted("./thing", Rules(kinds=frozenset({"file"})))


def test_the_lock_of_the_shipped_template_is_accepted() -> None:
    file = Path(__file__).parents[3] / "templates_runtime/python/requirements.lock"
    assert len(read_lock(file.read_text(), RULES)) == 14


PINS = st.builds(
    Pin,
    version=st.sampled_from(["1.0", "2!1.0rc1", "1.0+local.1"]),
    hashes=st.frozensets(st.sampled_from([DIGEST, "cd" * 32]), min_size=1),
)
NAMES = st.sampled_from(["thing", "other-thing", "x"])
RECIPES = st.builds(
    Recipe,
    build=st.dictionaries(NAMES, PINS, max_size=2),
    needs=st.sampled_from([(), ("base<2",), ('base[fast]<2 ; python_version < "4"', "six")]),
)


@given(st.dictionaries(NAMES, PINS, max_size=3), st.dictionaries(NAMES, RECIPES, max_size=2))
def test_each_lock_written_by_the_builder_is_accepted(
    packages: dict[str, Pin], recipes: dict[str, Recipe]
) -> None:
    built = {name: Pin(version="1", hashes=frozenset({DIGEST})) for name in recipes}
    text = pip_lockfile.write(Lock(packages=packages | built, recipes=recipes))
    found = read_lock(text, RULES)
    assert {line.requirement.name for line in found} >= packages.keys()
    assert pip_lockfile.read(text).packages == packages | built


@pytest.mark.parametrize(
    "text",
    [
        "thing==1",
        f"thing>=1 {HASH}",
        f"thing==1.* {HASH}",
        f"thing {HASH}",
        f"thing==1,!=2 {HASH}",
        f"thing[extra]==1 {HASH}",
        "--no-binary :none:",
        "--no-binary thing,:all:",
        "--no-binary thing other",
        "--no-binary",
        "--no-binary=",
        "--no-binaryx",
        "--only-binary thing",
        "--require-hashes",
        f'evil==1 ; extra == "else" {HASH}',
        f'evil==1 ; python_version > "3" or extra == "build-of-thing" {HASH}',
        f'evil==1 ; (os_name == "posix") or (os_name == "x") and extra == "build-of-t" {HASH}',
        'evil ; python_version > "3" or extra == "needs-of-thing"',
        'evil ; extra != "x" and extra == "needs-of-" ',
        'evil @ https://h/x.whl ; extra == "needs-of-thing"',
        'setuptools==1 ; extra == "build-of-thing"',
        f"thing == 1 {HASH}",
        f"thing ==1 {HASH}",
        f"thing== 1 {HASH}",
        f"thing (==1) {HASH}",
        f"thing[]==1 {HASH}",
        f'tool==1 ; (extra == "build-of-x") {HASH}',
        f'tool==1;extra == "build-of-x" {HASH}',
        f"tool==1 ; extra == 'build-of-x' {HASH}",
        f"thing==1 ; os_name ~= '1' {HASH}",
        f"--no-binary\tthing\nthing==1 {HASH}",
        f"--no-binary  thing\nthing==1 {HASH}",
        f"--no-binary== thing\nthing==1 {HASH}",
        "--no-binary thing",
        f"--no-binary thing\nother==1 {HASH}",
    ],
)
def test_a_lock_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(FileError):
        read_lock(text, RULES)


def test_a_comment_behind_an_option_hides_it_from_neither_reader() -> None:
    text = f"--no-binary thing # why\nthing==1 {HASH}  # locked\n"
    read_lock(text, RULES)
    found = pip_lockfile.read(text)
    assert list(found.recipes) == ["thing"]
    assert "no-binary" not in pip_lockfile.wheels(text, found.recipes)


@pytest.mark.parametrize(
    "marker",
    ["python_version ~= '3'", "os_name ~= '1'", "'x' == 'x'", "sys_platform === 'x'",
     "python_version < '3' and os_name ~= '1'"],
)  # fmt: skip
def test_a_marker_without_an_answer_is_refused(marker: str) -> None:
    with pytest.raises(FileError, match="has a marker without an answer"):
        names(f"thing ; {marker}")


def test_deep_brackets_are_refused() -> None:
    with pytest.raises(FileError, match="brackets"):
        read_wanted(f"thing ; {'(' * 60}python_version > '3'{')' * 60}", RULES)
