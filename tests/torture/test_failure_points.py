"""The failure points have a name for everything that happens, and the docs have it too."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.campaign import TOP
from tests.torture.failure_points import EFFECTS, UNNAMED

WATCHED = """
import os, sys
from pathlib import Path
from tests.torture.instrument import Watch, watching
root = Path(sys.argv[1])
with watching(Watch(root)):
    {call}
"""


@pytest.mark.parametrize(
    "call",
    [
        "os.mkdir(root / 'news')",
        "os.unlink(root / 'file')",
        "(root / 'file').write_text('more')",
        "os.truncate(root / 'file', 0)",
        "(root / 'file').replace(root / 'other')",
    ],
)
def test_what_has_no_name_ends_the_process(arena: Path, call: str) -> None:
    (arena / "file").write_text("content")
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED.format(call=call), str(arena)],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == UNNAMED, ended.stderr
    assert "has no name" in ended.stderr
    assert (arena / "file").read_text() == "content"


def test_the_reference_has_every_effect_in_order() -> None:
    text = (TOP / "docs" / "reference" / "torture.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z-]+\.[A-Za-z-]+)` \| (.+) \|$", text, re.MULTILINE) == list(EFFECTS.items())
