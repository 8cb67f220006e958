"""What the lab's models read: every prompt form exactly, and a base language without solutions."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from cotdistill.lab.generated import DRAWS
from recipes.lab.documents import FORMS, Phase, base_documents, teacher_document, teacher_documents

PROMPTS = {
    "cot": r"Q: .*\nA: Let's think step by step\.",
    "few_shot_cot": r"Q: .*\nA:",
    "hint": r"Q: .*\nAnswer: \S+\nA:",
    "direct": r"Q: .*\nA: The answer is",
    "socratic": r"Q: .*\nBreak the question into sub-questions and solve each one\.\n",
    "next_step": r"Q: .*\nSteps so far: .*\nNext step:",
    "supporting_hint": r"Question: .*\nContext: .*\n(Options: .*\n)?Answer: \S+\nSolution:",
    "supporting": r"Question: .*\nContext: .*\n(Options: .*\n)?Solution:",
    "first_subquestion": r"Q: .*\nFirst sub-question:",
}
ANSWER = r"(\d+|yes|no|\([A-D]\))"
TARGETS = {
    "cot": r" .*\.",
    "few_shot_cot": rf" .*\. The answer is {ANSWER}\.",
    "hint": rf" .*\. The answer is {ANSWER}\.",
    "direct": rf" {ANSWER}\.",
    "socratic": rf"(.*\? \*\* .*\.\n)+#### {ANSWER}",
    "next_step": r" .*\.",
    "supporting_hint": r" .*\.",
    "supporting": r" .*\.",
    "first_subquestion": r" .*\?",
}


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("task", sorted(DRAWS))
def test_every_form_is_written_exactly(task: str, form: str) -> None:
    for index in range(12):
        document = teacher_document(task, form, random.Random(index))
        prompt, target = document[0], document[1]
        assert re.fullmatch(PROMPTS[form], prompt.text, re.DOTALL) and not prompt.learn
        assert re.fullmatch(TARGETS[form], target.text, re.DOTALL) and target.learn


@pytest.mark.parametrize(
    ("documents", "fingerprint"),
    [(teacher_documents, "1f72ee0a8926e3d8"), (base_documents, "da804ebc3bd5fd96")],
)
def test_the_corpus_is_the_one_that_the_bundled_models_read(
    documents: Callable[..., Any], fingerprint: str
) -> None:
    phases = [Phase(0, dict.fromkeys(DRAWS, 1.0), 0.2, 0.1, 0.3)]
    read = hashlib.sha256()
    for document in islice(documents(0, 0, phases), 300):
        read.update("".join(f"{one.learn}{one.text}" for one in document).encode())
    assert read.hexdigest()[:16] == fingerprint


def test_shares_of_the_forms_sum_to_one() -> None:
    assert sum(share for share, _ in FORMS.values()) == pytest.approx(1.0)


def test_a_document_does_not_depend_on_those_before_it() -> None:
    phases = [Phase(0, dict.fromkeys(DRAWS, 1.0), 0.5)]
    assert (
        list(islice(teacher_documents(1, 5, phases), 3))
        == list(islice(teacher_documents(1, 0, phases), 8))[5:]
    )
    assert (
        list(islice(base_documents(1, 5, phases), 3))
        == list(islice(base_documents(1, 0, phases), 8))[5:]
    )


def test_the_base_reads_no_solution_and_no_answer() -> None:
    for (segment,) in islice(base_documents(3, 0, [Phase(0, dict.fromkeys(DRAWS, 1.0), 1.0)]), 400):
        assert "The answer is" not in segment.text
        if "?" in segment.text:
            assert not re.search(r"\d+ [-+*] \d+ (=|-->)", segment.text)
            assert ", so " not in segment.text
