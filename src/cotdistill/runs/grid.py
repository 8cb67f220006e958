"""The grid of a recipe: cells, the questions of each split, methods with their exemplars."""

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.contracts import Filter, Method, Split
from cotdistill.errors import DataError, RecipeError
from cotdistill.prompting.exemplars import draw_exemplars, refuse_test_exemplars
from cotdistill.recipe import Entry, MethodEntry, Recipe
from cotdistill.records import Question
from cotdistill.util.files import read_records


@dataclass(frozen=True)
class Cell:
    """One trained (or prompted) model of the grid: trained once, answered with every strategy."""

    task: Entry
    method: MethodEntry
    student: Entry
    seed: int

    @property
    def label(self) -> str:
        """The name in progress lines."""
        own = self.method.plugin.prompted_role not in ("teacher", "guide")
        student = [self.student.label] if own else []
        return " · ".join([self.task.label, self.method.label, *student, f"seed {self.seed}"])

    def labels(self, split: Split, strategy: Entry) -> dict[str, Any]:
        """Return the columns that tell a row of results from the others."""
        return {
            "task": self.task.label,
            "method": self.method.label,
            "student": self.student.label,
            "seed": self.seed,
            "split": split,
            "strategy": strategy.label,
        }


class Grid:
    """A recipe as the things to do: tasks × methods × students × seeds × splits × strategies."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def trained(self) -> Iterator[tuple[Entry, MethodEntry]]:
        """Yield every task with every method that trains: one set of rationales each."""
        for task, method in itertools.product(self.recipe.tasks, self.recipe.methods):
            if method.plugin.rounds:
                yield task, method

    def cells(self) -> Iterator[Cell]:
        """Yield the grid; what a student or a seed cannot change is there once."""
        for task, method, student, seed in itertools.product(
            self.recipe.tasks, self.recipe.methods, self.recipe.students, self.recipe.seeds
        ):
            trained = bool(method.plugin.rounds)
            first_seed = seed == self.recipe.seeds[0]
            first_student = student is self.recipe.students[0]
            if trained or (first_seed and (first_student or method.plugin.prompted_role == "base")):
                yield Cell(task, method, student, seed)

    def answered(self) -> Iterator[tuple[Cell, Split, Entry]]:
        """Yield every cell with every evaluated split and strategy: one file of answers each."""
        yield from itertools.product(self.cells(), self.recipe.evaluate_on, self.recipe.strategies)

    def evaluated(self) -> Iterator[tuple[Entry, Split]]:
        """Yield every task with every evaluated split."""
        yield from itertools.product(self.recipe.tasks, self.recipe.evaluate_on)

    @property
    def baseline(self) -> str:
        """Label of the method that the others are compared with: answer-only where there is one."""
        methods = self.recipe.methods
        return next((one.label for one in methods if one.name == "answer_only"), methods[0].label)

    def questions(self, task: Entry, split: Split) -> Iterator[Question]:
        """Yield the questions of a split that this run uses, in order.

        Raises:
            DataError: the split is empty, and it is not the validation split.
        """
        found = False
        for question in itertools.islice(task.plugin.questions(split), self.recipe.limit.of(split)):
            found = True
            yield question
        if not found and split != "validation":
            raise DataError(
                f"task {task.label}: the {split} split is empty; check the task's files and splits"
            )

    @functools.cache  # noqa: B019  a grid lives as long as its process
    def digest(self, task_label: str, split: Split) -> tuple[str, int]:
        """Return the hash of all content of a split and its size: changed data is noticed."""
        (task,) = (entry for entry in self.recipe.tasks if entry.label == task_label)
        sha, count = hashlib.sha256(), 0
        for question in self.questions(task, split):
            sha.update(json.dumps(question.to_json(), ensure_ascii=False).encode())
            count += 1
        return sha.hexdigest()[:32], count

    def method(self, task: Entry, method: MethodEntry) -> Method:
        """Return the method with its exemplars in its prompts."""
        plugin: Method = method.plugin
        exemplars = self.exemplars(task, method)
        return plugin.with_exemplars(exemplars) if exemplars else plugin

    def exemplars(self, task: Entry, method: MethodEntry) -> Sequence[Question]:
        """Return the exemplars of a method, drawn from the training split alone.

        Raises:
            RecipeError: the recipe's exemplars are in the test split, or too few are worked out.
        """
        return self._exemplars(task.label, method.label)

    @functools.cache  # noqa: B019  drawn once: three passes over the task's questions
    def _exemplars(self, task_label: str, method_label: str) -> Sequence[Question]:
        (task,) = (one for one in self.recipe.tasks if one.label == task_label)
        (method,) = (one for one in self.recipe.methods if one.label == method_label)
        plugin: Method = method.plugin
        if plugin.exemplar_count == 0:
            return ()
        given = self.recipe.exemplars
        pool = read_records(given, Question) if given is not None else self.questions(task, "train")
        chosen = draw_exemplars(pool, plugin.exemplar_count, plugin.exemplar_draw)
        refuse_test_exemplars(chosen, self.questions(task, "test"))
        if len(chosen) < plugin.exemplar_count:
            raise RecipeError(
                f"method {method.label} shows {plugin.exemplar_count} exemplars and "
                f"{given or task.label} has {len(chosen)} with an answer: lower `shots`, "
                "or name a JSONL file of worked questions as `exemplars`"
            )
        return chosen

    def selection_split(self, method: MethodEntry) -> Split:
        """Return the split whose accuracy chooses the epoch that is kept."""
        return "test" if method.train.selection == "oracle_test" else "validation"

    def filters(self, method: MethodEntry) -> list[tuple[str, Filter]]:
        """Return a method's filters with their names, in the order they apply."""
        return [(entry.name, entry.plugin) for entry in method.filters]
