"""docs/faults.md names tests; they must be there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "faults.md"


def test_every_test_that_the_document_names_exists() -> None:
    quoted = re.findall(r"`([^`]+)`", DOCUMENT.read_text())
    file, named = None, 0
    for text in quoted:
        path, _, test = text.partition("::")
        if path.endswith(".py") and not path.startswith("benchmarks/"):
            file = (TESTS / path).read_text()
        if test:
            assert file is not None
            # "…" stands for what is left out of a long name.
            pattern = ".*".join(re.escape(part) for part in test.split("…"))
            assert re.search(rf"def (test_)?{pattern}", file), text
        named += 1
    assert named > 100
