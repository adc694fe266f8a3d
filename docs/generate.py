"""Writes the generated parts of the docs: the lifecycle diagrams, from the tables in domain/lifecycle.py."""

import sys
from pathlib import Path
from types import SimpleNamespace

from transitions.extensions import GraphMachine

from domain.lifecycle import BATCH_TABLE, SESSION_TABLE, BatchState, Row, SessionState

DOCS = Path(__file__).parent
TARGETS = (DOCS / "explanation" / "lifecycle.md", DOCS.parent / "README.md")


def diagram(states: type[SessionState] | type[BatchState], initial: str, table: tuple[Row, ...]) -> str:
    """A table as a Mermaid state diagram, drawn by transitions itself."""
    model = SimpleNamespace()
    GraphMachine(
        model=model,
        states=[str(state) for state in states],
        transitions=[
            {"trigger": str(trigger), "source": [str(source) for source in sources], "dest": str(dest)}
            for trigger, sources, dest in table
        ],
        initial=str(initial),
        auto_transitions=False,
        graph_engine="mermaid",
    )
    drawn: str = model.get_graph().source
    moves = [line for line in drawn.splitlines() if "-->" in line]
    return "\n".join(["```mermaid", "stateDiagram-v2", "  direction LR", *moves, "```"])


def blocks() -> dict[str, str]:
    """Every generated block by its name."""
    return {
        "session": diagram(SessionState, SessionState.IDLE, SESSION_TABLE),
        "batch": diagram(BatchState, BatchState.GENERATING, BATCH_TABLE),
    }


def filled(text: str) -> str:
    """The text with what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` made again."""
    for name, block in blocks().items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n{block}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for target in TARGETS:
        target.write_text(filled(target.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{target.relative_to(DOCS.parent)}\n")
