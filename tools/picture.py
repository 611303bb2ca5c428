"""Draw the dashboard of a session that runs, as a picture (SVG).

python tools/picture.py [SESSION] COLUMNSxLINES SECONDS FILE.svg [KEY]...
"""

from __future__ import annotations

import io
import re
import select
import sys
import time
from pathlib import Path

from rich.console import Console

from injector.faces.ui.client import Link, find
from injector.faces.ui.dashboard import Dashboard


def main(words: list[str]) -> None:
    """Watch for so long, press the keys, draw."""
    session = find(int(words.pop(0)) if words[0].isdecimal() else None)
    size, seconds, path, *keys = words
    columns, lines = map(int, size.split("x"))
    link = Link(session)
    dashboard = Dashboard(link, None, owner=False)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end and link.open:
        dashboard.tick(time.monotonic())
        if select.select([link], [], [], 0.1)[0]:
            dashboard.receive()
    for key in keys:
        dashboard.key(key)
    console = Console(
        file=io.StringIO(), record=True, width=columns, height=lines, force_terminal=True,
        color_system="truecolor",
    )  # fmt: skip
    for line in dashboard.drawing(columns, lines).lines:
        console.print(line, end="\n", soft_wrap=True)
    drawn = console.export_svg(title="inject watch")
    # Nothing is to be fetched to look at it: the viewer's own fonts do.
    Path(path).write_text(re.sub(r"@font-face \{.*?\}\n", "", drawn, flags=re.DOTALL))


if __name__ == "__main__":
    main(sys.argv[1:])
