"""Three people have a card each and swap in pairs; which color does one of them have at the end?

2 or 3 swaps, "ood" 4 to 6.

    Ana has red, Bo has gold, Cal has blue. First Ana and Bo swap. Then Bo and Cal swap.
    What does Bo have at the end?   Options: (A) red (B) blue (C) gold
    -> First Ana has red, Bo has gold, then Ana has gold, Bo has red. ...
    So Bo has blue: (A) red is blue no, (B) blue is blue yes.   [B]

The kind of question is that of BIG-bench "tracking shuffled objects" (Srivastava et al. 2022); the
wordings are our own.
"""

import random

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, Problem, compared, option_facts, shape_of, templates


def draw(rng: random.Random, split: Split) -> Problem:
    """Draw one game."""
    words = templates("shuffled_objects")
    wording, colors = rng.choice(words["wordings"]), words["things"]
    people, things = rng.sample(NAMES, 3), rng.sample(colors, 3)
    swaps = _swaps(rng, people, rng.randint(4, 6) if split == "ood" else rng.randint(2, 3))
    holder = dict(zip(people, things, strict=True))
    moves = []
    for p, q in swaps:
        holder[p], holder[q] = holder[q], holder[p]
        state = ", ".join(holder[name] for name in people)
        moves.append(("swap", {"p": p, "q": q, "u": holder[p], "v": holder[q], "result": state}))
    asked = rng.choice(people)
    options, right = rng.sample(things, 3), holder[asked]
    fill = {"n": asked, "o": right, "l": compared(options, right), "result": right}
    frames = [rng.choice(wording["then" if i else "first"]) for i in range(len(swaps))]
    told = [frame.format(a=a, b=b) for frame, (a, b) in zip(frames, swaps, strict=True)]
    start = wording["start"].format_map(dict(zip("abcxyz", [*people, *things], strict=True)))
    text = " ".join([start, *told, wording["ask"].format(n=asked)])
    held = zip(people, things, strict=True)
    facts = [
        *(rng.choice(words["facts"]["held"]).format(n=n, t=t) for n, t in held),
        *(rng.choice(words["facts"]["swapped"]).format(p=p, q=q) for p, q in swaps),
    ]
    return Problem.solved(
        words,
        [*moves, ("last", fill)],
        text=text,
        answer="ABC"[options.index(right)],
        template=shape_of(" ".join([text, *options]), {*NAMES, *colors}),
        content=" ".join([*people, *things, asked, *(f"{a}-{b}" for a, b in swaps)]),
        facts=(*facts, *option_facts(rng, options)),
        options=tuple(options),
    )


def _swaps(rng: random.Random, people: list[str], count: int) -> list[tuple[str, str]]:
    """Draw pairs; no pair swaps twice in a row."""
    swaps: list[tuple[str, str]] = []
    while len(swaps) < count:
        first, second = rng.sample(people, 2)
        if not swaps or {first, second} != set(swaps[-1]):
            swaps.append((first, second))
    return swaps
