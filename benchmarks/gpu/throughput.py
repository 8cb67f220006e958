"""Measures training and answering of the real student's shape on one GPU, through a recipe.

    python3 gpu/throughput.py --seconds 120 --out "$OUT"      # in the unpacked project
    python3 gpu/throughput.py --rehearse --out out             # a tiny shape on a CPU

The student is randomly initialised, in the shape and with the tokenizer of the real one: weights
do not change the time. Training: GSM8K with D = 1 and D = 4 rationales, through our recipe and
through the transformers Trainer and trl on the same texts, same batch, bfloat16. Seconds a step are
the mean between the first tenth of the steps and the last. FLOPs are those of separate rows without
padding: 6 for each body parameter and token (2 forward, 4 backward), 12 x layers x width x context
for attention, and the head at target tokens only. One JSON line a result, also in throughput.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml

from cotdistill.checkpoints.loading import load_tokenizer
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.records import Rationale
from cotdistill.util.progress import SilentProgress

METHODS = {1: "CoT D=1", 4: "CoT D=4"}


class Steps(SilentProgress):
    """Notes when each step of a training was done."""

    def __init__(self) -> None:
        self.times = list[float]()
        self.notes = list[str]()

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Callable[..., None]]:
        def advance(count: int = 1, note: str = "") -> None:
            self.times.append(time.perf_counter())
            self.notes.append(note)

        yield advance


class Bench:
    """The measurements; each returns its figures."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.small = arguments.rehearse
        self.runs = arguments.runs
        self.shape = self._random_student(arguments.runs / "random")
        self.batch = 4 if self.small else 64
        self.steps = 4 if self.small else 60
        self.cuda = torch.cuda.is_available()

    def _random_student(self, folder: Path) -> Path:
        config = transformers.AutoConfig.from_pretrained("shape")
        if self.small:
            config.num_hidden_layers = 2
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained("shape").save_pretrained(folder)
        self.config = config
        self.body = sum(p.numel() for p in model.model.layers.parameters())
        self.tokenizer: Any = load_tokenizer(folder)
        return folder

    def recipe(self, method: str, batch: int, **changes: Any) -> dict[str, Any]:
        """The recipe of GSM8K with one method and the random student."""
        data: dict[str, Any] = yaml.safe_load(Path("recipes/gsm8k.yaml").read_text("utf-8"))
        data |= {"output": str(self.runs), "student": str(self.shape), "strategies": ["greedy"]}
        data["limit"] = {"train": 2000}
        data["methods"] = [one for one in data["methods"] if one["label"] == method]
        data["train"] |= {"max_steps": self.steps, "batch_size": batch, "precision": "bfloat16"}
        data["train"]["group_prompts"] = method == METHODS[4]
        return data | changes

    def pairs(self, samples: int) -> list[tuple[str, str]]:
        """Prompts and targets as the recipe trains on them."""
        run = run_recipe(
            parse_recipe(self.recipe(METHODS[samples], 1)), stages=["generate", "curate"]
        )
        (task,), (method,) = run.recipe.tasks, run.recipe.methods
        questions = {one.id: one for one in run.questions(task, "train")}
        kept = list(run.rationales())
        pairs = []
        for row in kept:
            if row.pop("dropped_by") is None:
                fields = {k: v for k, v in row.items() if k not in ("task", "method", "reason")}
                rationale = Rationale.from_json(fields)
                question = questions[rationale.question_id]
                for example in method.plugin.examples(question, rationale):
                    pairs.append((example.prompt + " ###", " " + example.target))
        return pairs[: 64 if self.small else None]

    def matrix_rate(self) -> dict[str, Any]:
        """The rate of a large bfloat16 product, in TFLOP/s: what the machine can do."""
        size = 512 if self.small else 8192
        device = "cuda" if self.cuda else "cpu"
        a = torch.randn(size, size, dtype=torch.bfloat16, device=device)
        self._sync(lambda: a @ a)
        seconds = min(self._sync(lambda: a @ a) for _ in range(5))
        self.rate = 2 * size**3 / seconds / 1e12
        return {"tflops": round(self.rate, 1)}

    def _sync(self, work: Callable[[], Any]) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def training(self, samples: int, batch: int, peers: tuple[str, ...]) -> dict[str, Any]:
        """Our recipe against `peers`, the transformers Trainer and trl."""
        batch = batch // 16 if self.small else batch
        pairs = self.pairs(samples)
        prompt, target = self._lengths(pairs)
        tokens = prompt + target
        head = self.config.vocab_size * self.config.hidden_size
        attention = 12 * self.config.num_hidden_layers * self.config.hidden_size * tokens
        flops = tokens * (6 * self.body + attention / 2) + 6 * head * target
        row: dict[str, Any] = {
            "batch": batch,
            "prompt_tokens": round(prompt, 1),
            "target_tokens": round(target, 1),
        }
        members: dict[str, Callable[[], float]] = {
            "ours": lambda: self._ours(samples, batch),
            "trainer": lambda: self._peer(pairs, batch, trl=False),
            "trl": lambda: self._peer(pairs, batch, trl=True),
        }
        for who in ("ours", *peers):
            if self.cuda:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            try:
                seconds = members[who]()
            except Exception as error:  # noqa: BLE001  one peer that fails stops no other
                row[f"{who}_failed"] = f"{type(error).__name__}: {error!s:.200}"
                continue
            row[f"{who}_step_ms"] = round(1000 * seconds, 1)
            row[f"{who}_tokens_per_s"] = round(batch * tokens / seconds)
            row[f"{who}_share_of_matrix_rate"] = round(
                batch * flops / seconds / 1e12 / self.rate, 3
            )
            if self.cuda:
                row[f"{who}_peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
        return row

    def _lengths(self, pairs: list[tuple[str, str]]) -> tuple[float, float]:
        sides = [self.tokenizer([pair[side] for pair in pairs])["input_ids"] for side in (0, 1)]
        prompt, target = (sum(map(len, side)) / len(side) for side in sides)
        return prompt, target + 1

    def _ours(self, samples: int, batch: int) -> float:
        progress = Steps()
        run_recipe(parse_recipe(self.recipe(METHODS[samples], batch)), progress, ["train"])
        return self._mean(progress.times)

    def _mean(self, times: list[float]) -> float:
        first = max(1, len(times) // 10)
        return (times[-1] - times[first]) / (len(times) - 1 - first)

    def _peer(self, pairs: list[tuple[str, str]], batch: int, *, trl: bool) -> float:
        end = self.tokenizer.eos_token_id
        rows = list[dict[str, list[int]]]()
        for prompt, target in pairs:
            ids, answer = self.tokenizer(prompt)["input_ids"], self.tokenizer(target)["input_ids"]
            answer = [*answer, end]
            learnt: dict[str, list[int]] = (
                {"completion_mask": [0] * len(ids) + [1] * len(answer)}
                if trl
                else {"labels": [-100] * len(ids) + answer}
            )
            rows.append({"input_ids": ids + answer, **learnt})
        times = list[float]()

        class Clock(transformers.TrainerCallback):
            def on_step_end(self, *arguments: Any, **keywords: Any) -> None:
                times.append(time.perf_counter())

        settings: dict[str, Any] = {
            "output_dir": str(self.runs / "trainer"),
            "per_device_train_batch_size": batch,
            "max_steps": self.steps,
            "bf16": True,
            "use_cpu": not self.cuda,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "logging_steps": self.steps,
            "learning_rate": 5e-4,
        }
        model = transformers.AutoModelForCausalLM.from_pretrained(self.shape, dtype=torch.float32)
        if trl:
            trainer = self._trl(model, settings, rows, Clock())
        else:
            trainer = transformers.Trainer(
                model=model,
                args=transformers.TrainingArguments(**settings),
                train_dataset=rows,
                data_collator=transformers.DataCollatorForSeq2Seq(self.tokenizer, padding=True),
                callbacks=[Clock()],
            )
        trainer.train()
        return self._mean(times)

    def _trl(self, model: Any, settings: dict[str, Any], rows: Any, clock: Any) -> Any:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        return SFTTrainer(
            model,
            SFTConfig(**settings, completion_only_loss=True),
            train_dataset=Dataset.from_list(rows),
            processing_class=self.tokenizer,
            callbacks=[clock],
        )

    def answering(self) -> dict[str, Any]:
        """Answers a second at a batch of 512, loading included."""
        engine = {"name": "transformers", "batch_size": 512, "max_batch_tokens": 262_144}
        limit = {"train": 2000, "test": 4 if self.small else None}
        recipe = parse_recipe(self.recipe(METHODS[4], self.batch, engine=engine, limit=limit))
        run = run_recipe(recipe, stages=["train", "infer"])
        (one,) = run.answered()
        seconds = (run.infer_artifact(*one).metadata or {})["seconds"]
        rows = list(run.answers())
        tokens = sum(row["completion_tokens"] for row in rows)
        return {
            "answers": len(rows),
            "tokens": tokens,
            "seconds": round(seconds, 1),
            "answers_per_s": round(len(rows) / seconds, 1),
            "tokens_per_s": round(tokens / seconds),
        }

    def equality(self) -> dict[str, Any]:
        """How many greedy answers of a batch equal those of its items alone, in float32."""
        texts = []
        for batch in (16, 1):
            engine = {"name": "transformers", "batch_size": batch, "dtype": "float32"}
            recipe = self.recipe(
                METHODS[4], self.batch, engine=engine, limit={"train": 2000, "test": 12}
            )
            recipe["methods"][0]["student_max_tokens"] = 48
            # Its setting is the method's: all four stages.
            run = run_recipe(parse_recipe(recipe), stages=["generate", "curate", "train", "infer"])
            texts.append([row["text"] for row in run.answers()])
        equal = sum(a == b for a, b in zip(*texts, strict=True))
        return {"equal": equal, "of": len(texts[0])}

    def resume(self) -> dict[str, Any]:
        """A training that is killed goes on at a step above zero and is finished."""
        recipe = self.recipe(METHODS[1], 8)
        recipe["train"]["save_minutes"] = 0.02
        recipe["limit"] = {"train": 64}
        recipe["name"] = "resume"
        path = self.runs / "resume.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        stages = ["generate", "curate", "train"]
        program = (
            "import sys; from pathlib import Path; from cotdistill.pipeline import run_recipe;"
            "from cotdistill.recipe import load_recipe;"
            f"run_recipe(load_recipe(Path(sys.argv[1])), stages={stages})"
        )
        command = [sys.executable, "-c", program, str(path)]
        process = subprocess.Popen(command, start_new_session=True)
        while process.poll() is None and not list(self.runs.glob("resume/**/trainer_state.json")):
            time.sleep(0.05)
        killed = process.poll() is None
        if killed:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        progress = Steps()
        run_recipe(parse_recipe(recipe), progress, stages)
        resumed = [note for note in progress.notes if note == "resumed"]
        return {"killed": killed, "resumed": bool(resumed), "steps_after": len(progress.times) - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + arguments.seconds
    bench = Bench(arguments)
    plan: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("matrix rate", bench.matrix_rate),
        ("training D=4", lambda: bench.training(4, 64, ("trainer", "trl"))),
        ("answering", bench.answering),
        ("training D=4, large steps", lambda: bench.training(4, 256, ("trainer",))),
        ("training D=1", lambda: bench.training(1, 64, ("trainer", "trl"))),
        ("equality", bench.equality),
        ("resume", bench.resume),
    ]
    with (arguments.out / "throughput.jsonl").open("a", encoding="utf-8") as out:
        for name, measure in plan:
            if time.monotonic() > deadline:
                print(f"{name}: not run, out of time", flush=True)
                continue
            began = time.monotonic()
            try:
                row = {"what": name, **measure()}
            except Exception as error:  # noqa: BLE001  one failure stops no other measurement
                traceback.print_exc()
                row = {"what": name, "failed": f"{type(error).__name__}: {error}"}
            row["wall_s"] = round(time.monotonic() - began, 1)
            print(json.dumps(row), flush=True)
            out.write(json.dumps(row) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
