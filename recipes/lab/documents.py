"""Documents for the lab's two models: segments of text, some of which are learned.

The teacher reads a problem in one of the prompt forms of the methods, followed by the reply it
should write; only that is learned. The student base reads the *language* of the tasks: questions,
restatements of their facts and sums, never a worked solution or the answer to a question. Both see
the training split only.

    (Segment("Q: Ana has 3 ...\\nA: Let's think step by step."),
     Segment(" There are 3 and ...", learn=True), Segment("\\nTherefore, the answer is"),
     Segment(" 19.", learn=True))

The target of a learned segment ends with the end of text, also where more segments follow in the
document: one document teaches the rationale, that it ends there, and the second call's answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cotdistill.lab.generated import DRAWS
from cotdistill.lab.problem import NAMES, STYLES, Problem, compared, draw_item, templates
from cotdistill.methods import few_shot, few_shot_cot, sci_cot, socratic_cot
from cotdistill.methods.fine_tune_cot import first_call, second_call
from cotdistill.methods.tslm import Tslm
from cotdistill.prompting.socratic import SOCRATIC_END, pair
from cotdistill.records import Question, options_line
from cotdistill.strategies.first_step import next_step
from cotdistill.strategies.quest_cot import first_sub_question

__all__ = [
    "FORMS",
    "Document",
    "Phase",
    "Segment",
    "base_documents",
    "recall_document",
    "sums",
    "teacher_document",
    "teacher_documents",
]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text; `learn` says that the model is trained to write it and to stop after it."""

    text: str
    learn: bool = False


Document = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Worked:
    """A problem with one wording of its solution, as the forms write it."""

    problem: Problem
    style: int

    @property
    def question(self) -> Question:
        return self.problem.question(self.style)

    @property
    def steps(self) -> tuple[str, ...]:
        return self.problem.solutions[self.style]


Form = Callable[[Worked, list[Worked], random.Random], Document]
"""Makes a document of a worked problem, of others of its task as exemplars, and of chance."""


def _cot(w: Worked, exemplars: list[Worked], rng: random.Random) -> Document:
    prompt, reply = first_call(w.question), f" {w.question.rationale}"
    conclusion = second_call(prompt, reply).removeprefix(prompt + reply)
    return (
        Segment(prompt),
        Segment(reply, True),
        Segment(conclusion),
        Segment(f" {w.question.gold}.", True),
    )


def _few_shot(query: Callable[[Question], str], target: Callable[[Question], str]) -> Form:
    def form(w: Worked, exemplars: list[Worked], rng: random.Random) -> Document:
        segments: list[Segment] = []
        for worked in [*exemplars, w]:
            before = "\n\n" if segments else ""
            segments.append(Segment(before + query(worked.question)))
            segments.append(Segment(target(worked.question), True))
        return tuple(segments)

    return form


def _reasoned(question: Question) -> str:
    return few_shot_cot.exemplar(question).removeprefix(few_shot_cot.query(question))


def _answered(question: Question) -> str:
    return few_shot.exemplar(question).removeprefix(few_shot.query(question))


def _socratic(w: Worked, exemplars: list[Worked], rng: random.Random) -> Document:
    lines = [*map(pair, w.question.steps), f"{SOCRATIC_END} {w.question.gold}"]
    return (Segment(socratic_cot.teacher_prompt(w.question)), Segment("\n".join(lines), True))


def _next_step(w: Worked, exemplars: list[Worked], rng: random.Random) -> Document:
    done = rng.randint(0, len(w.steps))
    step = w.steps[done] if done < len(w.steps) else f"The answer is {w.question.gold}."
    return (Segment(next_step(w.question, w.steps[:done])), Segment(f" {step}", True))


def _supporting(hint: bool) -> Form:
    def form(w: Worked, exemplars: list[Worked], rng: random.Random) -> Document:
        prompt = sci_cot.teacher_prompt(w.question, hint=hint)
        return (Segment(prompt), Segment(f" {w.question.rationale}", True))

    return form


def _first_subquestion(w: Worked, exemplars: list[Worked], rng: random.Random) -> Document:
    first = w.question.steps[0].question
    return (Segment(first_sub_question(w.question)), Segment(f" {first}", True))


_WORDS = [
    *NAMES,
    *templates("shuffled_objects")["things"],
    *(
        word
        for world in templates("rule_quiz")["worlds"].values()
        for word in (*world["links"], *world["ends"])
    ),
]
_WORDS = sorted(set(_WORDS))

FORMS: dict[str, tuple[float, Form]] = {
    "cot": (0.34, _cot),
    "few_shot_cot": (0.14, _few_shot(few_shot_cot.query, _reasoned)),
    "hint": (0.12, _few_shot(Tslm().query, _reasoned)),
    "direct": (0.05, _few_shot(few_shot.query, _answered)),
    "socratic": (0.12, _socratic),
    "next_step": (0.09, _next_step),
    "supporting_hint": (0.06, _supporting(hint=True)),
    "supporting": (0.05, _supporting(hint=False)),
    "first_subquestion": (0.03, _first_subquestion),
}
"""Share of the corpus and maker of every prompt form."""

EXEMPLAR_COUNTS = (0, 0, 0, 0, 0, 0, 0, 1, 2, 3)


def teacher_document(task: str, form: str, rng: random.Random) -> Document:
    """Return one document of a form, on a fresh training problem of the task."""
    draw = DRAWS[task]
    exemplar_count = (
        rng.choice(EXEMPLAR_COUNTS) if form in ("few_shot_cot", "hint", "direct") else 0
    )
    worked = [
        Worked(draw_item(draw, rng, "train"), rng.randrange(STYLES))
        for _ in range(exemplar_count + 1)
    ]
    return FORMS[form][1](worked[-1], worked[:-1], rng)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a corpus, from document `first` on, with the shares of its parts.

    The parts are the tasks, plain language, and recall exercises.

    `options` is the share of the recall exercises that compare options with a word.
    """

    first: int
    tasks: dict[str, float]
    language: float
    recall: float = 0.0
    options: float = 0.0


def teacher_documents(seed: int, first: int, phases: Sequence[Phase]) -> Iterator[Document]:
    """Yield the teacher's corpus from document `first` on; each is drawn from its own seed."""
    forms, shares = list(FORMS), [share for share, _ in FORMS.values()]
    index = first
    while True:
        phase = _phase(phases, index)
        rng = random.Random(f"teacher/{seed}/{index}")
        if phase.recall and rng.random() < phase.recall:
            yield recall_document(rng, phase.options)
        elif phase.language and rng.random() < phase.language:
            yield _language(rng, phase.tasks, question_learned=False)
        else:
            task = rng.choices(list(phase.tasks), list(phase.tasks.values()))[0]
            yield teacher_document(task, rng.choices(forms, shares)[0], rng)
        index += 1


def base_documents(seed: int, first: int, phases: Sequence[Phase]) -> Iterator[Document]:
    """Yield the student base's corpus, all language, from document `first` on, without end."""
    index = first
    while True:
        phase, rng = _phase(phases, index), random.Random(f"base/{seed}/{index}")
        if phase.recall and rng.random() < phase.recall:
            yield recall_document(rng, phase.options)
        else:
            yield _language(rng, phase.tasks, question_learned=True)
        index += 1


def recall_document(rng: random.Random, options_share: float) -> Document:
    """Return an exercise: options compared with a word, or pairs of words some of which change.

    Looking up a word by what stood beside it last is what chained facts and swaps have in common.
    Real documents ask for it a few times each, too rarely for so small a model to learn it soon.
    """
    if options_share and rng.random() < options_share:
        options = rng.sample(_WORDS, rng.randint(3, 4))
        segments = [Segment(options_line(options))]
        for _ in range(rng.randint(2, 3)):
            right = rng.choice(options)
            segments += [Segment(f"\n{right}:"), Segment(f" {compared(options, right)}.", True)]
        return tuple(segments)
    return _changing_pairs(rng)


def _changing_pairs(rng: random.Random) -> Document:
    words = rng.sample(_WORDS, 2 * rng.randint(3, 7))
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    link = rng.choice(
        (" has", " has", " has", " is", " gets", " is in", " likes", " is a", " gives")
    )
    told = (
        link
        if rng.random() < 0.6
        else rng.choice((" is in the", " holds the", " has the", " plays", " wants"))
    )
    segments = [Segment(" ".join(f"{key}{told} {value}." for key, value in pairs.items()) + "\n")]
    for number in range(rng.randint(6, 12)):
        before = " " if number else ""
        if number and rng.random() < 0.5:
            first, second = rng.sample(list(pairs), 2)
            pairs[first], pairs[second] = pairs[second], pairs[first]
            segments.append(
                Segment(f"{before}{first}{link} {pairs[first]}. {second}{link} {pairs[second]}.")
            )
            before = " "
        key = rng.choice(list(pairs))
        segments += [Segment(f"{before}{key}{link}"), Segment(f" {pairs[key]}.", True)]
    return tuple(segments)


def _phase(phases: Sequence[Phase], index: int) -> Phase:
    return max((phase for phase in phases if phase.first <= index), key=lambda phase: phase.first)


def _language(rng: random.Random, tasks: dict[str, float], question_learned: bool) -> Document:
    """Return sums, or a training question with its facts restated; the facts are learned."""
    if rng.random() < 0.3:
        question, facts = "", " ".join(sums(rng))
    else:
        question, facts = _restated(
            draw_item(DRAWS[rng.choices(list(tasks), list(tasks.values()))[0]], rng, "train"), rng
        )
    if rng.random() < 0.06:
        made: dict[str, str] = {}
        question, facts = _renamed(question, made, rng), _renamed(facts, made, rng)
    if question_learned or not question:
        return (Segment(question + facts, True),)
    return (Segment(question), Segment(facts, True))


def _restated(problem: Problem, rng: random.Random) -> tuple[str, str]:
    block = problem.question(0).block
    facts = " ".join(problem.facts)
    shape = rng.randrange(6)
    if shape == 0:
        return f"{block}\n", facts
    if shape == 1:
        return f"Q: {block}\nFacts:", f" {facts}"
    if shape == 2:
        return f"Q: {block}\nA: Let's think step by step. ###", f" {facts}"
    if shape == 3:
        return f"Facts: {facts}\n", f"Q: {block}"
    return f"{block} ###", f" {facts}"


def sums(rng: random.Random) -> list[str]:
    """Return unrelated sums, differences and products in the sizes of the stories."""
    arrow = rng.choice(("=", "=", "=", "-->"))
    lines = []
    for _ in range(rng.randint(5, 12)):
        kind = rng.randrange(7)
        if kind <= 2:
            a, b = rng.randint(1, 99), rng.randint(2, 45)
            a, b = (a, b) if kind else (b, a)
            lines.append(f"{a} + {b} {arrow} {a + b}.")
        elif kind <= 4:
            a = rng.randint(3, 110)
            b = rng.randint(1, min(a - 1, 35))
            lines.append(f"{a} - {b} {arrow} {a - b}.")
        else:
            a, b = (
                (rng.randint(2, 5), rng.randint(2, 9))
                if kind == 5
                else (rng.randint(1, 80), rng.randint(2, 4))
            )
            lines.append(f"{a} * {b} {arrow} {a * b}.")
    return lines


_SYLLABLES = [
    "ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu", "an", "el", "or", "is", "der",
    "ton",
]  # fmt: skip


def _renamed(text: str, made: dict[str, str], rng: random.Random) -> str:
    """Replace names by made-up ones: a base should learn to copy words of several tokens too."""
    words = text.split(" ")
    for place, word in enumerate(words):
        stem = word.rstrip(".,?:")
        if stem in NAMES:
            if stem not in made:
                syllables = rng.choices(_SYLLABLES, k=rng.randint(2, 3))
                made[stem] = "".join(syllables).capitalize()
            words[place] = made[stem] + word[len(stem) :]
    return " ".join(words)
