"""What a glob of a scenario matches."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.rules.globs import matcher
from injector.words.model import Globs


@pytest.mark.parametrize(
    ("glob", "text", "wanted"),
    [
        ("/data/**", "/data/a/b", True),
        ("/data/**", "/data", False),
        ("/data/*", "/data/a", True),
        ("/data/*", "/data/a/b", False),
        ("/a/**/z", "/a/z", True),
        ("/a/**/z", "/a/b/c/z", True),
        ("*.db", "/var/lib/x.db", True),
        ("*.db", "x.db-wal", False),
        ("/x?z", "/x/z", False),
        ("/x[0-9]", "/x7", True),
        ("/x[!0-9]", "/x7", False),
        ("/x[", "/x[", True),
        ("redis*", "/usr/bin/redis-server", True),
    ],
)
def test_glob(glob: str, text: str, wanted: bool) -> None:
    assert matcher(Globs((glob,)))(text) is wanted


@pytest.mark.parametrize(
    ("glob", "line", "wanted"),
    [
        ("python* *app.py*", "python3 /srv/x/app.py --root=/var/lib", True),
        ("python* *app.py*", "/usr/bin/python3 -u /srv/app.py", True),
        ("python* *app.py*", "vim /srv/python app.py", False),
        ("*app.py*", "python3 /srv/app.py --root=/var/lib", True),
        ("postgres*", "postgres: walwriter /x", True),
        ("postgres*", "vim /etc/postgres.conf", False),
        ("redis-server ?:6379", "/opt/redis-server *:6379", True),
        ("sh -c ?bin*", "sh -c /bin/true", True),
        ("*[!0-9]x", "a /x", True),
        ("/usr/bin/*", "/usr/bin/a/b", False),
        ("/usr/bin/* *x", "/usr/bin/env a/x", True),
    ],
)
def test_glob_of_a_command_line(glob: str, line: str, wanted: bool) -> None:
    assert matcher(Globs((glob,)), line=True)(line) is wanted


def test_exclusions_win_and_stand_alone() -> None:
    test = matcher(Globs(("/a/**",), ("*.log",)))
    assert test("/a/b") and not test("/a/b.log") and not test("/c")
    only = matcher(Globs((), ("*.log",)))
    assert only("/anything") and not only("/x.log")


@given(st.text("ab/*?[]!-.", max_size=12), st.text("ab/.", max_size=12))
def test_without_slashes_it_is_fnmatch_of_the_last_component(glob: str, text: str) -> None:
    plain = glob.replace("/", "").replace("[", "").replace("]", "").replace("**", "*")
    while "**" in plain:
        plain = plain.replace("**", "*")
    name = text.replace("/", "")
    assert matcher(Globs((plain,)))(name) is fnmatch.fnmatchcase(name, plain)
