"""The site of the documentation: built strictly, every page in it, nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="pip install 'cotdistill[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md")))
    # What a browser fetches by itself: scripts, styles, images, fonts; no link that one clicks.
    fetched = re.compile(
        r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?(https?:)?//", re.I
    )
    assert [page.name for page in pages if fetched.search(page.read_text("utf-8"))] == []
    help_page = (tmp_path / "commands.html").read_text("utf-8")
    assert "cotdistill export sft" in help_page and "--set" in help_page
