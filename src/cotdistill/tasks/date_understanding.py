"""Date understanding (BIG-bench): 369 questions with six dates to choose from; default split
258/111, template-wise 261/108.

{"question": "In two days it will be May 3, 1999. ...? Answer choices: (A) 05/01/1999, (B) ...",
"answer": "A"}
"""

from cotdistill.tasks._benchmark import Hub
from cotdistill.tasks._bigbench import BigBench


class DateUnderstanding(BigBench):
    """Date understanding: which of six dates follows from a short description."""

    source = Hub(
        "tasksource/bigbench",
        "date_understanding",
        (("train", "train"), ("validation", "validation")),
    )
