"""CommonsenseQA (Talmor et al. 2019): 12,102 five-way questions; the official test answers are
hidden, so the validation split (1,221) is the test and training questions are set apart for
validation, as in Kojima et al. and Ho et al.

{"question": "The sanctions against the school ... Answer choices: (A) ignore, (B) enforce, ...",
"answer": "A"}
"""

from cotdistill.answers.choice import Choice
from cotdistill.tasks._benchmark import Benchmark, Hub


class CommonsenseQA(Benchmark):
    """CommonsenseQA: five-way questions of common sense; the validation split is the test."""

    answers = Choice()
    source = Hub("tau/commonsense_qa", splits=(("train", "train"), ("test", "validation")))
