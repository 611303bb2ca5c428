"""What a run leaves in its first process: the descriptors open at its end.

Read while it stands at exit_group(2), the only moment at which all that it opened and did not
close is still there and nothing more comes.
"""

from __future__ import annotations

from injector.engines.call import StoppedCall
from injector.linux import procfs
from injector.rules.decide import Order, RulesDecider
from injector.words.call import Call
from injector.words.model import Scenario

END = "exit_group"
_STANDARD = 3


class Witness(RulesDecider):
    """Decides by rules, and looks at the first process when it ends."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        super().__init__(scenario, seed)
        self.descriptors: tuple[str, ...] | None = None

    def decide(self, call: Call) -> Order | None:
        """Answer as the rules say."""
        if call.name == END and call.task.process_lineage == "0":
            assert isinstance(call, StoppedCall)  # an engine's own
            pid = call.task.process.pid
            self.descriptors = tuple(
                procfs.fd_target(pid, fd) or "?"
                for fd in procfs.descriptors(pid)
                if fd >= _STANDARD
            )
        return super().decide(call)
