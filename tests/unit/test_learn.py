"""What is proposed from what was seen, and how it is told."""

import shlex
from collections import Counter

import pytest

from injector.campaigns.learn import Learned, proposed
from injector.faces.cli import learn as face
from injector.faces.plain import pasteable
from injector.rules.match import matcher
from injector.rules.scenario.load import load_text
from injector.rules.scenario.write import yaml_text
from injector.words.model import Scenario


def learned(**files: dict[str, int]) -> Learned:
    found = Learned()
    for path, seen in files.items():
        found.files[path] = Counter(seen)
        found.calls.update(seen)
    return found


WRITTEN = {"openat": 1, "write": 3, "rename": 1}


@pytest.mark.parametrize(
    ("path", "others", "not_matched"),
    [
        ("/d/tmp_obj_7n0Dlx", "/d/tmp_obj_Zzx12q", "/d/obj_7n0Dlx"),
        ("/d/tW3yXoq", "/d/tAAAAAA", "/d/HEAD"),
        ("/tmp/tmp22xo39xq", "/tmp/tmpzzzzzzzz", "/tmp/x"),
        ("/d/9de29bb2d1d6434b8b29ae775ad8c2e48c5391", "/d/" + "9" * 38, "/e/x"),
        ("/d/temp-4711.rdb", "/d/temp-12.rdb", "/d/dump.rdb"),
    ],
)
def test_a_name_that_another_run_has_otherwise_is_any(
    path: str, others: str, not_matched: str
) -> None:
    found = learned(**{path: WRITTEN})
    found.pids.append(4711)
    rules, _ = proposed(found)
    globs = next(rule.match.path for rule in rules if rule.name.endswith("-full"))
    assert globs is not None
    assert matcher(globs)(path)
    assert matcher(globs)(others)
    assert not matcher(globs)(not_matched)


@pytest.mark.parametrize(
    "path", ["/d/index.lock", "/d/HEAD.lock", "/d/t.db-journal", "/d/COMMIT_EDITMSG", "/d/a[1]*?"]
)
def test_other_names_are_kept(path: str) -> None:
    rules, _ = proposed(learned(**{path: WRITTEN}))
    globs = next(rule.match.path for rule in rules if rule.name.endswith("-full"))
    assert globs is not None
    assert matcher(globs)(path)
    assert not matcher(globs)(path + "x")
    assert not matcher(globs)("/d/axx")


def test_every_proposal_can_be_written_and_read() -> None:
    found = learned(
        **{
            "/d/a b:,#'\"\n{}": {"openat": 1, "write": 2, "fsync": 1, "sendfile": 1},
            "/d/b\\": {"openat": 1, "read": 2, "pread64": 1},
            "/e/b": {"open": 1, "read": 1},
            "/dev/null": {"openat": 1, "write": 1},
            "/d/c": {"rename": 1, "unlink": 1, "chmod": 1, "mkdir": 1, "ftruncate": 1},
        }
    )
    found.peers["127.0.0.1:80"] = Counter(connect=1, recvfrom=2, sendto=1)
    found.peers["unix:/run/*x,y"] = Counter(connect=1, read=2, write=1)
    found.served["[::1]:53"] = Counter(bind=1, accept4=2, recvfrom=1)
    found.served[":8080"] = Counter(accept=2, read=1)
    found.others["stdout"] = Counter(write=2)
    found.others["stdin"] = Counter(read=2)
    found.calls.update(
        dict.fromkeys(["clone3", "execve", "mmap", "poll", "wait4", "getrandom", "socket"], 1)
    )
    rules, comments = proposed(found)
    assert len({rule.name for rule in rules}) == len(rules)
    scenario = Scenario(rules)
    text = yaml_text(scenario, comments=comments, off={one.name for one in rules}, flow=True)
    lines = [line.replace("# - {", "- {") for line in text.splitlines()]
    assert load_text("\n".join(lines)).rules == rules
    assert not any("/dev/null" in rule.text for rule in rules)
    (bind,) = (rule for rule in rules if rule.match.syscalls == {"bind"})
    assert (bind.name, bind.match.address[0].text) == ("serve-1-53-in-use", "[::1]:53")


def test_nothing_seen_proposes_nothing() -> None:
    assert proposed(Learned()) == ((), {})


@pytest.mark.parametrize(("writes", "when"), [(1, "1+"), (2, "2+")])
def test_what_breaks_midway_has_a_call_to_break(writes: int, when: str) -> None:
    rules, _ = proposed(learned(**{"/d/f": {"write": writes}}))
    (breaks,) = (rule for rule in rules if rule.name.endswith("-breaks"))
    assert str(breaks.when) == when


def test_many_paths_are_told_by_their_folders() -> None:
    paths = [f"/usr/lib/python/{n % 4}/file{n}" for n in range(400)] + ["/root/.rc", "/a"]
    text = "\n".join(face._files({path: Counter(openat=1) for path in paths}))
    assert "/usr/lib/python/3/**  (100 paths)" in text
    assert "/root/.rc" in text
    assert len(text.splitlines()) < 12
    deep = [f"/{n}/{n}/{n}/x" for n in range(50)]
    assert len(face._files({path: Counter(openat=1) for path in deep})) < 15


def test_the_files_with_most_use_come_first() -> None:
    files = {f"/d/read{n}": Counter(openat=1, read=n) for n in range(1, 30)}
    files["/d/written"] = Counter(openat=1, write=1)
    title, head, first, second, *_ = face._files(files)
    assert (title, head.split()) == (
        "Files",
        ["opened", "read", "written", "synced", "changed", "other", "path"],
    )
    assert first.split() == ["1", "1", "/d/written"]
    assert second.split() == ["1", "29", "/d/read29"]


@pytest.mark.parametrize("word", ["a b", "it's", "a\nb", "'\n\\", "\udcff", "ä\x01", ""])
def test_a_command_is_shown_so_that_it_can_be_pasted(word: str) -> None:
    import os
    import subprocess

    line = pasteable(shlex.join(["printf", "%s", word]))
    assert "\n" not in line
    script = os.fsencode(line) if "\udcff" not in word else line.encode()
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=30, check=True)
    assert done.stdout == os.fsencode(word)
