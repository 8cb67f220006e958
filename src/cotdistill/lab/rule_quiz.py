"""Multiple-choice questions; two or three given facts must be chained ("ood": four or five).

The facts stand in the question's context, in random order, with the chains of other names as
distractors.

    What does Bo like?
    Context: Every cook likes tea. Ana is a fox. Bo is a cook. Every fox likes milk. ...
    Options: (A) milk (B) rice (C) tea (D) cake
    -> Here Bo is a cook. So cook leads to tea: Bo likes tea: (A) milk is tea no,
    (B) rice is tea no, (C) tea is tea yes.   [C]
"""

import itertools
import random
from typing import Any

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, Problem, compared, option_facts, shape_of, templates


def draw(rng: random.Random, split: Split) -> Problem:
    """Draw one quiz question."""
    words = templates("rule_quiz")
    name = rng.choice(sorted(words["worlds"]))
    world = words["worlds"][name]
    names = world.get("names", NAMES)
    wording = rng.choice(world["wordings"])
    facts_needed = rng.randint(4, 5) if split == "ood" else rng.randint(2, 3)
    links_each = facts_needed - 1
    who = rng.sample(names, 3 if facts_needed == 2 else 2)
    links = rng.sample(world["links"], links_each * len(who))
    ends = rng.sample(world["ends"], len(who))
    chains = [links[i * links_each : (i + 1) * links_each] for i in range(len(who))]
    facts = [
        fact
        for n, chain, end in zip(who, chains, ends, strict=True)
        for fact in _facts(wording, n, chain, end)
    ]
    rng.shuffle(facts)
    options = [*ends, *rng.sample([end for end in world["ends"] if end not in ends], 4 - len(ends))]
    rng.shuffle(options)
    path = [*chains[0], ends[0]]
    ask = wording["ask"].format(n=who[0])
    about = [name, who[0], *path, *(sorted(facts) if split == "ood" else ())]
    restated = option_facts(rng, options)
    return Problem.solved(
        words,
        _moves(world, who[0], path, compared(options, ends[0])),
        text=ask,
        answer="ABCD"[options.index(ends[0])],
        template=shape_of(
            " ".join([ask, *facts, *options]), {*names, *world["links"], *world["ends"]}
        ),
        content=" ".join(about),
        facts=(*rng.sample(facts, 4), *restated),
        options=tuple(options),
        context=" ".join(facts),
    )


def _facts(wording: Any, name: str, chain: list[str], end: str) -> list[str]:
    first = wording["is_a"].format(n=name, k=chain[0])
    links = [wording["link"].format(k=k, r=r) for k, r in itertools.pairwise(chain)]
    return [first, *links, wording["end"].format(k=chain[-1], t=end)]


def _moves(world: Any, name: str, path: list[str], choice: str) -> list[tuple[str, Any]]:
    """Return the steps along the path: each link gives the next, the last one the answer."""
    found = [world["found_link"].format(n=name, k=link) for link in path[:-1]]
    found.append(world["found_end"].format(n=name, t=path[-1]))
    moves: list[tuple[str, Any]] = [("first", {"n": name, "f": found[0], "result": path[0]})]
    for k, r, f in zip(path, path[1:], found[1:], strict=False):
        kind = "last" if r == path[-1] else "next"
        moves.append((kind, {"k": k, "r": r, "f": f, "l": choice, "result": r}))
    return moves
