"""The program that is installed as `trailkeep`."""

import gc
from collections.abc import Iterator

import pytest

from entrypoints.start import main


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
