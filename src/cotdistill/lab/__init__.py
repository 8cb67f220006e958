"""The embedded default: generated tasks, a small teacher and a small student base that ship with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["student_path", "teacher_path"]

_WEIGHTS = Path(__file__).parent / "weights"


def teacher_path() -> Path:
    """Folder of the lab teacher, in Hugging Face format."""
    return _WEIGHTS / "teacher"


def student_path() -> Path:
    """Folder of the lab student base, in Hugging Face format."""
    return _WEIGHTS / "student"
