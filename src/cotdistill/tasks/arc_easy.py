"""ARC-Easy of the AI2 Reasoning Challenge (Clark et al. 2018): 2,251 / 570 / 2,376 easier
questions, official split.

{"question": "Which ...", "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "B"}

Local files: `arc_easy/train.jsonl`, `validation`, `test` with these columns. Labels may be letters
or digits.
"""

from cotdistill.answers.choice import Choice
from cotdistill.tasks._benchmark import OFFICIAL, Benchmark, Hub


class ArcEasy(Benchmark):
    """ARC-Easy: questions of school science with their official split."""

    answers = Choice()
    source = Hub("allenai/ai2_arc", "ARC-Easy", OFFICIAL)
