"""The program that is installed as `trailkeep`."""

import gc
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoints.start import main
from tests.acceptance.command_line import TRAILKEEP


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_the_program_runs_the_command_line_and_looks_for_garbage_from_then_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["trailkeep", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "[OPTIONS] COMMAND [ARGS]" in capsys.readouterr().out
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_an_interrupt_while_it_is_imported_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "structlog.py").write_text(
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nsignal.raise_signal(signal.SIGINT)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([TRAILKEEP, "plan"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
