"""ARC-Challenge of the AI2 Reasoning Challenge (Clark et al. 2018): 1,119 / 299 / 1,172 harder
questions, official split.

{"question": "Which ...", "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "B"}

Local files: `arc_challenge/train.jsonl`, `validation`, `test` with these columns. Labels may be
letters or digits.
"""

from cotdistill.answers.choice import Choice
from cotdistill.tasks._benchmark import OFFICIAL, Benchmark, Hub


class ArcChallenge(Benchmark):
    """ARC-Challenge: questions of school science with their official split."""

    answers = Choice()
    source = Hub("allenai/ai2_arc", "ARC-Challenge", OFFICIAL)
