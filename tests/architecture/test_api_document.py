"""docs/api.md names tests that pin what it says; they exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "api.md"


def test_every_test_that_the_api_document_names_exists():
    named = re.findall(r"`(test_\w+)::(test_\w+)`", DOCUMENT.read_text())
    there = {
        (path.stem, test)
        for path in TESTS.rglob("test_*.py")
        for test in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert len(named) > 30
    assert set(named) <= there
