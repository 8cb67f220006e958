"""Measure a lab model: accuracy by prompt form and task, and the variety of its rationales.

python -m recipes.lab.measure runs/teacher --items 200 --forms all --split test --sampled
python -m recipes.lab.measure runs/base --items 200 --forms none --language
"""

from __future__ import annotations

import argparse
import random
import re
from typing import Any

import torch

from cotdistill.lab.generated import DRAWS
from cotdistill.lab.problem import problem_at
from recipes.lab.documents import FORMS, Document, Worked, recall_document, sums

__all__ = ["accuracy", "concludes", "language", "main"]

LENGTHS = {"direct": 8, "first_subquestion": 24, "next_step": 48, "socratic": 330}


def complete(
    model: Any, tokenizer: Any, prompts: list[str], length: int, temperature: float = 0.0
) -> list[str]:
    """Return the completions of a batch of prompts, greedy or sampled."""
    chosen = (
        {"do_sample": True, "temperature": temperature, "top_k": 0}
        if temperature
        else {"do_sample": False}
    )
    texts = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        batch = tokenizer(
            [prompts[i] for i in rows], return_tensors="pt", padding=True, padding_side="left"
        )
        made = model.generate(**batch, max_new_tokens=length, **chosen)
        for i, text in zip(
            rows, tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :]), strict=True
        ):
            texts[i] = text.split(tokenizer.eos_token)[0]
    return texts


def concludes(text: str, worked: Worked) -> bool:
    """Return whether the last thing in the text that looks like an answer is the gold answer."""
    if worked.problem.options:
        found = re.findall(r"\(([A-D])\)", text)
    elif worked.problem.answer in ("yes", "no"):
        found = re.findall(r"\b(yes|no)\b", text)
    else:
        found = re.findall(r"\d+", text)
    return bool(found) and found[-1] == worked.problem.answer


def accuracy(model: Any, tokenizer: Any, task: str, form: str, split: Any, items: int) -> float:
    """Return the share of items that the form's completion gets right, greedily.

    Rationale forms are asked for the answer in a second call.
    """
    worked = [Worked(*problem_at(DRAWS[task], task, split, i, 0)) for i in range(items)]
    documents: list[Document] = [
        FORMS[form][1](w, [], random.Random(i)) for i, w in enumerate(worked)
    ]
    prompts = [document[0].text for document in documents]
    texts = complete(model, tokenizer, prompts, LENGTHS.get(form, 260))
    if form in ("first_subquestion", "next_step"):
        valid = [
            _valid(text.strip(), w, form, d)
            for text, w, d in zip(texts, worked, documents, strict=True)
        ]
        return sum(valid) / items
    if form == "cot":
        asks = [p + t + "\nTherefore, the answer is" for p, t in zip(prompts, texts, strict=True)]
        texts = complete(model, tokenizer, asks, 8)
    if form.startswith("supporting"):
        valid = [
            any(text.strip() == " ".join(s) for s in w.problem.solutions)
            for text, w in zip(texts, worked, strict=True)
        ]
        return sum(valid) / items
    return sum(concludes(text, w) for text, w in zip(texts, worked, strict=True)) / items


def _valid(text: str, worked: Worked, form: str, document: Document) -> bool:
    if form == "first_subquestion":
        return text == worked.problem.subquestions[0]
    wanted = document[1].text.strip()
    if wanted.startswith("The answer is"):
        return text == wanted
    for solution in worked.problem.solutions:
        if (
            text in solution
            and wanted in worked.steps
            and solution.index(text) == worked.steps.index(wanted)
        ):
            return True
    return False


def variety(
    model: Any, tokenizer: Any, task: str, items: int, samples: int = 8, temperature: float = 0.7
) -> tuple[float, float]:
    """Return the mean share of correct samples, and of different correct rationales a question."""
    torch.manual_seed(0)
    worked = [Worked(*problem_at(DRAWS[task], task, "test", i, 0)) for i in range(items)]
    repeated = [w for w in worked for _ in range(samples)]
    prompts = [FORMS["cot"][1](w, [], random.Random(0))[0].text for w in repeated]
    rationales = complete(model, tokenizer, prompts, 260, temperature)
    asks = [p + r + "\nTherefore, the answer is" for p, r in zip(prompts, rationales, strict=True)]
    right = [
        concludes(t, w) for t, w in zip(complete(model, tokenizer, asks, 8), repeated, strict=True)
    ]
    different = 0
    for i in range(items):
        rows = range(i * samples, (i + 1) * samples)
        different += len({rationales[j] for j in rows if right[j]})
    return sum(right) / len(right), different / items


def language(model: Any, tokenizer: Any, items: int) -> dict[str, tuple[int, int]]:
    """Count right ones of all sums, looked-up words, and options compared with a word.

    A base should know them before it sees a task. They are new draws of the exercises that it was
    trained on, `items` documents of each kind.
    """
    exercises: dict[str, list[tuple[str, str]]] = {"sums": [], "words": [], "options": []}
    for item in range(items):
        lines = sums(random.Random(f"measure/{item}"))
        for place, line in enumerate(lines):
            left, arrow, result = re.split(r"(=|-->)", line)
            exercises["sums"].append((" ".join([*lines[:place], left + arrow]), result))
        for kind, options_share in (("words", 0.0), ("options", 1.0)):
            text = ""
            for segment in recall_document(random.Random(f"measure/{kind}/{item}"), options_share):
                if segment.learn:
                    exercises[kind].append((text, segment.text))
                text += segment.text
    right = {}
    for kind, asked in exercises.items():
        texts = complete(model, tokenizer, [prompt for prompt, _ in asked], 32)
        held = [text.startswith(wanted) for text, (_, wanted) in zip(texts, asked, strict=True)]
        right[kind] = sum(held), len(held)
    return right


def main() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--forms", default="cot")
    parser.add_argument("--split", default="test")
    parser.add_argument("--sampled", action="store_true")
    parser.add_argument("--language", action="store_true")
    given = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    forms = {"all": list(FORMS), "none": []}.get(given.forms, given.forms.split(","))
    with torch.inference_mode():
        for form in forms:
            figures = [
                f"{t} {accuracy(model, tokenizer, t, form, given.split, given.items):.3f}"
                for t in DRAWS
            ]
            print(f"{given.split} {form:18}", "  ".join(figures), flush=True)
        if given.language:
            for kind, (right, asked) in language(model, tokenizer, given.items).items():
                print(f"{kind:18} {right} of {asked} right", flush=True)
        if given.sampled:
            for task in DRAWS:
                share, different = variety(model, tokenizer, task, max(10, given.items // 8))
                print(
                    f"T=0.7 x 8 {task:18} correct {share:.3f}  different correct {different:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
