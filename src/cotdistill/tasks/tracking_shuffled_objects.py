"""Tracking shuffled objects (BIG-bench, three objects): 750 questions; Ho et al. deal 525/225.

{"question": "Three people hold a pen, a cup and a hat ... Answer choices: (A) pen, ...",
"answer": "C"}
"""

from cotdistill.tasks._benchmark import Hub
from cotdistill.tasks._bigbench import BigBench


class TrackingShuffledObjects(BigBench):
    """Tracking shuffled objects: who holds what after three swaps."""

    source = Hub(
        "tasksource/bigbench",
        "tracking_shuffled_objects",
        (("train", "train"), ("validation", "validation")),
    )
