"""MAWPS (Koncel-Kedziorski et al. 2016): 1,921 word problems in the five folds of Patel et al.
2021, which take the numbers out of the text; fold k tests on `cv_mawps/fold<k>/dev.csv`. The hub's
MAWPS is another selection.

    Question: "Ina packs number0 boxes of number1 pens ...", Numbers: "6.0 4.0", Answer: "24.0"
"""

from cotdistill.tasks._benchmark import OFFICIAL, Hub
from cotdistill.tasks._folds import FoldedBenchmark


class Mawps(FoldedBenchmark):
    """MAWPS: word problems of one equation, five-fold."""

    folder_name = "cv_mawps"
    source = Hub("MU-NLPC/Calc-mawps", splits=OFFICIAL)
