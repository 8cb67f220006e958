"""The bundled teacher of the lab: a small language model that writes varied rationales and makes
real mistakes.
"""

from cotdistill.teachers.local import LocalTeacher


class LabTeacher(LocalTeacher):
    """The bundled small teacher for the lab's generated tasks: needs no key, no network, no GPU."""

    model: str = "lab-teacher"
