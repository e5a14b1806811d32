"""Write docs/supported.md."""

from pathlib import Path

from benchmarks.supported.table import document

if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs/supported.md").write_text(document())
