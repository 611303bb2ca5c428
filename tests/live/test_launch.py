"""A program is started under a filter and its listener taken."""

import os
import sys

import pytest

from injector.linux import seccomp
from injector.linux.launch import Started, exec_state, launch
from injector.linux.slate import Slate
from injector.words.errors import InjectError
from injector.words.subscription import Subscription
from injector.words.syscalls import X86_64

EXECVE, GETPPID = X86_64.numbers["execve"], X86_64.numbers["getppid"]
PROGRAM = seccomp.build({X86_64: [Subscription(EXECVE), Subscription(GETPPID)]})


@pytest.mark.timeout(20)
def test_named_calls_stop_and_get_our_answer() -> None:
    code = "import os, sys; sys.exit(os.getppid() - 4200)"
    launched = launch([sys.executable, "-c", code], PROGRAM)
    listener = seccomp.Listener(launched.listener, Slate())
    seen = []
    for _ in range(2):
        cookie, tid, _, number, *_ = listener.receive()
        assert tid == launched.pid
        seen.append(number)
        if number == EXECVE:
            assert exec_state(launched) is None
            assert listener.valid(cookie)
            assert listener.proceed(cookie)
        else:
            assert isinstance(exec_state(launched), Started)
            assert listener.reply(cookie, 4217, 0)
    assert seen == [EXECVE, GETPPID]
    _, status = os.waitpid(launched.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 17
    # Before Linux 6.11 not before it is reaped, and no receive would end by it.
    assert seccomp.deserted(launched.listener, 10)
    for fd in (launched.listener, launched.pidfd, launched.report):
        os.close(fd)


@pytest.mark.parametrize(
    ("command", "status"), [("/no/such", 127), ("no-such-command-here", 127), ("/etc", 126)]
)
def test_what_cannot_be_started_says_so(
    command: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder that may not be searched makes it 126, as execvp(3) has it.
    monkeypatch.setenv("PATH", os.defpath)
    with pytest.raises(InjectError) as caught:
        launch([command], PROGRAM)
    assert caught.value.status == status
