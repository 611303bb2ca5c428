"""A program is watched once: what it did is told, and the faults that are proposed are real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import INJECT, finish

LEARN = (*INJECT, "learn")


def learn(folder: Path, *words: str) -> tuple[str, str]:
    """Return the target's output with the report, and the scenario."""
    file = folder / "scenario.yaml"
    status, out, err = finish([*LEARN, "-o", str(file), *words], cwd=folder)
    assert (status, err) == (0, "")
    return out, file.read_text() if file.exists() else ""


def uncommented(folder: Path, scenario: str, name: str) -> str:
    """Take the mark of one fault away; return the file."""
    before, mark, after = scenario.partition(f"# - {{name: {name},")
    assert mark, f"no {name} in {scenario}"
    file = folder / f"{name}.yaml"
    file.write_text(f"{before}{mark.removeprefix('# ')}{after}")
    return str(file)


def test_a_database_is_learned_and_meets_a_full_disk(tmp_path: Path) -> None:
    sql = "create table t(x); insert into t values(7); select x from t"
    out, scenario = learn(tmp_path, "--", "sqlite3", "t.db", sql)
    own, _, report = out.partition("\n")
    assert own == "7"
    assert report.startswith("sqlite3 exited with 0 after ")
    rows = {line.split()[-1]: line for line in report.splitlines() if line.strip()}
    assert f"{tmp_path}/t.db" in rows
    assert f"{tmp_path}/t.db-journal" in rows
    assert "pwrite64" in report
    assert f"inject run {tmp_path}/scenario.yaml -- sqlite3 t.db '{sql}'" in report
    # As it is, it is no scenario, and says what to do.
    status, _, err = finish([*INJECT, "check", str(tmp_path / "scenario.yaml")])
    assert status == 125
    assert "uncomment one" in err
    file = uncommented(tmp_path, scenario, "t.db-full")
    (tmp_path / "t.db").unlink()
    status, _, err = finish(
        [*INJECT, "run", "-q", file, "--", "sqlite3", "t.db", sql], cwd=tmp_path
    )
    assert status not in (0, 125)
    assert "full" in err


def test_every_fault_of_a_scenario_is_right_once_its_mark_is_gone(tmp_path: Path) -> None:
    _, scenario = learn(tmp_path, "--", "git", "init", "-q", "repo")
    everything = tmp_path / "all.yaml"
    everything.write_text(scenario.replace("  # - {", "  - {"))
    status, out, err = finish([*INJECT, "check", str(everything)])
    assert (status, err) == (0, "")
    count = scenario.count("\n  # - {")
    assert count > 10
    assert f"ok: {count} rules" in out


NETWORK = """
import os, socket, sys, threading
served = socket.create_server(("127.0.0.1", 0))
def serve():
    end, _ = served.accept()
    end.sendall(end.recv(5))
    end.close()
thread = threading.Thread(target=serve)
thread.start()
print(served.getsockname()[1], flush=True)
client = socket.create_connection(served.getsockname())
client.sendall(b"hello")
assert client.recv(5) == b"hello"
thread.join()
named = socket.socket(socket.AF_UNIX)
named.bind("u.sock")
named.listen()
other = socket.socket(socket.AF_UNIX)
other.connect("u.sock")
end, _ = named.accept()
other.sendall(b"x")
assert end.recv(1) == b"x"
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.sendto(b"x", ("127.0.0.1", 9))
"""


def test_peers_and_what_is_served_are_told(tmp_path: Path) -> None:
    out, scenario = learn(tmp_path, "--", sys.executable, "-c", NETWORK)
    port = out.split()[0]
    network = out.partition("\nNetwork\n")[2].partition("\n\n")[0]
    rows = {line.split("  ")[1]: line for line in network.splitlines()}
    assert "connect" in rows[f"peer 127.0.0.1:{port}"]
    assert "accept" in rows[f"served at 127.0.0.1:{port}"]
    assert "recv" in rows[f"served at 127.0.0.1:{port}"]
    assert "sendto" in rows["peer 127.0.0.1:9"]
    assert "accept" in rows[f"served at unix:{tmp_path}/u.sock"]
    assert "2 threads" in out
    (tmp_path / "u.sock").unlink()
    file = uncommented(tmp_path, scenario, "u.sock-refused")
    words = [*INJECT, "run", "-q", file, "--", sys.executable, "-c", NETWORK]
    status, _, err = finish(words, cwd=tmp_path)
    assert status == 1
    assert "ConnectionRefusedError" in err
    # Of accept the address is the descriptor's, a relative path as it was bound.
    (tmp_path / "u.sock").unlink()
    file = uncommented(tmp_path, scenario, "serve-u.sock-full")
    everytime = Path(file).read_text().replace("probability: 10%, error: EMFILE", "error: EMFILE")
    Path(file).write_text(everytime)
    words = [*INJECT, "run", "-q", file, "--", sys.executable, "-c", NETWORK]
    status, _, err = finish(words, cwd=tmp_path)
    assert status == 1
    assert "Too many open files" in err


def test_processes_are_told_with_their_ends(tmp_path: Path) -> None:
    # Forked by the shell, which execve is told of too.
    script = "/bin/true; /bin/true; sh -c 'kill -9 $$' 2>/dev/null; exit 3"
    out, _ = learn(tmp_path, "--", "sh", "-c", script)
    assert out.startswith("sh exited with 3 after ")
    assert "4 processes, 4 threads" in out
    processes = out.partition("\nProcesses\n")[2].partition("\n\n")[0].splitlines()
    rows = [line.split() for line in processes]
    assert any(
        row[0] == "2" and row[1].endswith("/true") and "exit 0" in " ".join(row) for row in rows
    )
    assert any("SIGKILL" in row for row in rows)


def test_call_sites_are_told(tmp_path: Path) -> None:
    source = tmp_path / "sites.c"
    source.write_text(
        "#include <fcntl.h>\n#include <unistd.h>\n"
        "__attribute__((noinline)) void look(void) { for (int i = 0; i < 5; i++)"
        ' close(open("/etc/passwd", O_RDONLY)); }\n'
        '__attribute__((noinline)) void say(void) { write(1, "said\\n", 5); }\n'
        "int main(void) { look(); say(); return 0; }\n"
    )
    program = str(tmp_path / "sites")
    subprocess.run(["gcc", "-O1", "-o", program, str(source)], check=True)
    out, _ = learn(tmp_path, "--stacks", "--", program)
    sites = out.partition("\nCall sites\n")[2].partition("\n\n")[0]
    rows = {line.split()[1]: line.split() for line in sites.splitlines()}
    assert rows["look"][0] == "10"
    assert rows["look"][2] == "sites"
    assert "write" in rows["say"]
    assert out.startswith("said\n")


def test_the_report_can_go_elsewhere(tmp_path: Path) -> None:
    out, _ = learn(tmp_path, "--report", str(tmp_path / "r"), "--", "printf", "bare")
    assert out == "bare"
    assert (tmp_path / "r").read_text().startswith("printf exited with 0")


def test_standard_streams_are_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    words = [
        *LEARN,
        "-o",
        str(file),
        "--report",
        str(tmp_path / "r"),
        "--",
        "sh",
        "-c",
        "cat; echo x >&2",
    ]
    with open(tmp_path / "out", "w") as target:
        done = subprocess.run(
            words, stdout=target, stderr=subprocess.PIPE, input=b"in\n", timeout=60
        )
    assert (done.returncode, done.stderr) == (0, b"x\n")
    report = (tmp_path / "r").read_text()
    for stream in ("stdin", "stdout", "stderr"):
        assert f"\n  {stream} " in report
    assert str(tmp_path / "out") not in report
    assert "# - {name: stdout-full, syscalls: write, fd: 1, error: ENOSPC}" in file.read_text()


def test_no_file_is_overwritten_and_then_nothing_is_run(tmp_path: Path) -> None:
    (tmp_path / "touch.learned.yaml").write_text("mine")
    (tmp_path / "report").write_text("mine")
    for words in ([], ["-o", "x.yaml", "--report", "report"], ["-o", "none/x.yaml"]):
        status, out, err = finish([*LEARN, *words, "--", "touch", "made"], cwd=tmp_path)
        assert (status, out) == (125, "")
        assert "there already" in err or "no folder" in err
    assert not (tmp_path / "made").exists()
    assert (tmp_path / "touch.learned.yaml").read_text() == "mine"
    assert (tmp_path / "report").read_text() == "mine"


def test_the_name_of_the_command_names_the_scenario(tmp_path: Path) -> None:
    status, out, _ = finish([*LEARN, "--", "/bin/cat", "/etc/passwd"], cwd=tmp_path)
    assert status == 0
    assert "\n  cat.learned.yaml has " in out
    text = (tmp_path / "cat.learned.yaml").read_text()
    assert "# - {name: passwd-denied, syscalls: openat, path: /etc/passwd, error: EACCES}" in text


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--", "nonesuch"], 127, "command not found"),
        (["--", "/etc/passwd"], 126, "/etc/passwd"),
        ([], 125, "no command to watch"),
        (["--timeout", "soon", "--", "true"], 125, "--timeout"),
        (["cat", "/etc/passwd"], 125, "--"),
    ],
)
def test_our_own_errors(tmp_path: Path, words: list[str], status: int, said: str) -> None:
    path = {"PATH": "/usr/bin:/bin"}  # all of it may be searched, whoever runs this
    found, out, err = finish([*LEARN, *words], cwd=tmp_path, env=path)
    assert (found, out) == (status, "")
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    out, _ = learn(
        tmp_path, "--timeout", "1s", "--", "sh", "-c", "trap '' TERM; cat /etc/passwd; sleep 600"
    )
    assert f"sh was killed by {signal.SIGKILL.name} after" in out or "its time was up" in out


def test_hostile_names_are_told_and_can_be_used(tmp_path: Path) -> None:
    name = "a #b: {c}\n- d'\""
    (tmp_path / name).write_text("text")
    raw = b"raw\xff"
    (tmp_path / raw.decode(errors="surrogateescape")).write_text("text")
    out, scenario = learn(tmp_path, "--", "cat", name, raw.decode(errors="surrogateescape"))
    assert "a #b: {c}\\n- d'\"" in out
    everything = tmp_path / "all.yaml"
    everything.write_text(scenario.replace("  # - {", "  - {"))
    status, _, err = finish([*INJECT, "check", str(everything)])
    assert (status, err) == (0, "")
    file = uncommented(tmp_path, scenario, "a-b-c-d-denied")
    status, _, err = finish([*INJECT, "run", "-q", file, "--", "cat", name], cwd=tmp_path)
    assert status == 1
    assert "Permission denied" in err


def test_ctrl_c_ends_the_target_and_is_learned_from(tmp_path: Path) -> None:
    words = [*LEARN, "-o", str(tmp_path / "s.yaml"), "--", "sh", "-c", "echo up; exec sleep 600"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        out = process.stdout.read()
    assert process.returncode == 0
    assert out.startswith("sh was killed by SIGINT after ")
