"""One measurement in a process of its own: `measure.py JSON` prints a line of JSON.

Training: a randomly initialised model (weights do not change the time) takes `1 + steps` steps of
`batch` examples, D targets to each prompt, lengths drawn around P and R; the first step is not
counted. Ours is what a recipe runs (the student's own trainer with its settings); the peers are
the transformers Trainer with padded batches and trl's SFTTrainer with its defaults, of which
bfloat16 alone is set as ours. Answering: SmolLM2-135M, greedy unless samples are asked for.
"""

from __future__ import annotations

import json
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from cotdistill.contracts import TrainSettings
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.records import Completion, Example, Request
from cotdistill.students._data import TokenizedExample
from cotdistill.students._training import TrainingJob, make_trainer
from cotdistill.students.transformers import TransformersStudent

SMOLLM2 = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
T5_SMALL = {
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "vocab_size": 32128,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.0,
}


def model_of(what: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    if what["shape"] == "t5":
        return transformers.T5ForConditionalGeneration(transformers.T5Config(**T5_SMALL)).train()
    shape = SMOLLM2 | {"num_hidden_layers": what.get("layers", 30)}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape)).train()


def rows_of(what: dict[str, Any]) -> list[TokenizedExample]:
    draw, rows = random.Random(0), list[TokenizedExample]()
    questions = what["batch"] * (1 + what["steps"]) // what["d"]

    def tokens(mean: int) -> tuple[int, ...]:
        length = draw.randint(round(0.65 * mean), round(1.35 * mean))
        return tuple(draw.randrange(10, 30_000) for _ in range(length))

    for number in range(questions):
        prompt = tokens(what["p"])
        for _ in range(what["d"]):
            target = tokens(what["r"])
            example = Example("student", str(number), "")
            rows.append(TokenizedExample(example, prompt, (target,), 1.0, len(target)))
    return rows


class Clock(transformers.TrainerCallback):
    """Notes wall and processor time after every step."""

    def __init__(self) -> None:
        self.times = list[tuple[float, float]]()

    def on_step_end(self, *arguments: Any, **keywords: Any) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def per_step(self) -> tuple[float, ...]:
        steps = len(self.times) - 1
        return tuple((b - a) / steps for a, b in zip(self.times[0], self.times[-1], strict=True))


def ours(what: dict[str, Any], rows: list[TokenizedExample], folder: Path) -> Any:
    settings = TrainSettings(
        epochs=1,
        batch_size=what["batch"],
        selection="last",
        precision="bfloat16" if what["bf16"] else "float32",
        group_prompts=what["d"] > 1,
        batch_tokens=what.get("batch_tokens"),
        compile=what.get("compile", False),
    )
    model = model_of(what)
    job = TrainingJob(
        student=TransformersStudent(),
        examples=folder,
        out=folder / "out",
        objective={"name": "cross_entropy"},
        settings=settings,
        seed=0,
        start=None,
        validation=None,
    )
    return make_trainer(model, model, rows, CrossEntropy(), job)


def arguments(kind: Any, what: dict[str, Any], folder: Path, **more: Any) -> Any:
    return kind(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=what["batch"],
        bf16=what["bf16"],
        use_cpu=not torch.accelerator.is_available(),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        **more,
    )


def padded(items: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    width = {key: max(len(item[key]) for item in items) for key in items[0]}
    filled = {"labels": -100}
    return {
        key: torch.tensor(
            [item[key] + [filled.get(key, 0)] * (width[key] - len(item[key])) for item in items]
        )
        for key in items[0]
    }


def plain(what: dict[str, Any], rows: list[TokenizedExample], folder: Path) -> Any:
    two_parts = what["shape"] == "t5"
    items = []
    for row in rows:
        prompt, target = list(row.prompt), list(row.targets[0])
        ids = prompt if two_parts else prompt + target
        labels = target if two_parts else [-100] * len(prompt) + target
        items.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    kind, settings = transformers.Trainer, transformers.TrainingArguments
    if two_parts:
        kind, settings = transformers.Seq2SeqTrainer, transformers.Seq2SeqTrainingArguments
    return kind(
        model=model_of(what),
        args=arguments(settings, what, folder),
        train_dataset=items,
        data_collator=padded,
    )


def trl_trainer(what: dict[str, Any], rows: list[TokenizedExample], folder: Path) -> Any:
    import trl
    from datasets import Dataset

    from cotdistill.checkpoints.loading import load_tokenizer

    tokenizer = load_tokenizer("smollm2")
    items = [
        {
            "input_ids": [*row.prompt, *row.targets[0]],
            "completion_mask": [0] * len(row.prompt) + [1] * len(row.targets[0]),
        }
        for row in rows
    ]
    settings = arguments(trl.SFTConfig, what, folder, completion_only_loss=True)
    data = Dataset.from_list(items)
    return trl.SFTTrainer(model_of(what), settings, train_dataset=data, processing_class=tokenizer)


def operations(what: dict[str, Any], rows: list[TokenizedExample], model: Any) -> float:
    """Floating-point operations of a mean step: products and attention, prompts read once."""
    head = model.get_output_embeddings().weight.numel()
    weights = sum(one.numel() for one in model.parameters()) - head
    prompts = {row.prompt for row in rows}
    read, learnt = sum(map(len, prompts)), sum(row.learnt for row in rows)
    attention = 0.0
    if (
        what["shape"] == "t5"
    ):  # the encoder, and keys and values of what it wrote, read prompts alone
        encoder = re.compile(r"^encoder\.|EncDecAttention\.[kv]")
        named = model.named_parameters()
        of_prompts = sum(one.numel() for name, one in named if encoder.search(name))
        layers = of_prompts * read + (weights - of_prompts) * learnt
    else:
        layers = weights * (read + learnt)
        width = SMOLLM2["hidden_size"] * what.get("layers", 30)
        seen = sum(len(p) ** 2 / 2 for p in prompts)
        seen += sum(row.learnt * (len(row.prompt) + row.learnt / 2) for row in rows)
        attention = 12 * width * seen
    whole = 6 * layers + 6 * head * learnt + attention
    return whole / (1 + what["steps"])


def rate(bf16: bool) -> float:
    """Operations/s of a product with a usual layer's shape."""
    kind = torch.bfloat16 if bf16 else torch.float32
    left, right = torch.randn(1024, 576).to(kind), torch.randn(576, 1536).to(kind)

    def once() -> float:
        began = time.perf_counter()
        for _ in range(8):
            left @ right
        return time.perf_counter() - began

    return 8 * 2 * 1024 * 576 * 1536 / min(once() for _ in range(6))


def rates(what: dict[str, Any]) -> dict[str, Any]:
    return {"float32": rate(False), "bfloat16": rate(True)}


def training(what: dict[str, Any]) -> dict[str, Any]:
    makers: dict[str, Callable[..., Any]] = {"ours": ours, "trainer": plain, "trl": trl_trainer}
    rows, clock = rows_of(what), Clock()
    with tempfile.TemporaryDirectory() as place:
        trainer = makers[what["who"]](what, rows, Path(place))
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(clock)
        trainer.train()
    wall, processor = clock.per_step()
    possible = operations(what, rows, trainer.model) / rate(what["bf16"])
    return {
        "examples_per_s": what["batch"] / wall,
        "examples_per_processor_s": what["batch"] / processor,
        "share_of_rate": possible / wall,
    }


def questions(what: dict[str, Any]) -> list[str]:
    if what.get("file"):
        lines = Path(what["file"]).read_text("utf-8").splitlines()[: what["questions"]]
        return [json.loads(line)["question"] for line in lines]
    from cotdistill.contracts import Task
    from cotdistill.plugins import build

    found = build("tasks", "word_problems", Task).questions("test")
    return [question.text for question, _ in zip(found, range(what["questions"]), strict=False)]


def answering(what: dict[str, Any]) -> dict[str, Any]:
    from cotdistill.contracts import EnginePlugin
    from cotdistill.plugins import build

    own = what["who"] != "generate"
    entry = what["who"] if own else {"name": "transformers"}
    engine: Any = build("engines", entry, EnginePlugin).load("smollm2", chat=True)
    texts, samples = questions(what), what.get("samples", 1)
    heat = 0.7 if samples > 1 else 0.0
    batch = [
        (Request(text, max_tokens=what["limit"], temperature=heat), index)
        for text in texts
        for index in range(samples)
    ]
    began, processor = time.perf_counter(), time.process_time()
    made = list[str]()
    tokens = 0
    if own:
        for one in engine.generate(batch):
            assert isinstance(one, Completion)
            made.append(one.text)
            tokens += one.completion_tokens
    else:
        made, tokens = generated(engine, texts, what)
    wall = time.perf_counter() - began
    result = {"tokens_per_s": tokens / wall, "seconds": wall, "tokens": tokens}
    result["tokens_per_processor_s"] = tokens / (time.process_time() - processor)
    return {**result, "texts": made} if samples == 1 else result


def generated(engine: Any, texts: list[str], what: dict[str, Any]) -> tuple[list[str], int]:
    """`generate` of transformers in batches of 32, sorted by length."""
    codec, model = engine.codec, engine.model
    prompts = [codec.prompt_ids(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda place: len(prompts[place]))
    made, tokens, pad = [""] * len(texts), 0, codec.tokenizer.eos_token_id
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        width = max(len(prompts[place]) for place in part)
        ids = torch.tensor([[pad] * (width - len(prompts[p])) + prompts[p] for p in part])
        mask = torch.tensor([[0] * (width - len(prompts[p])) + [1] * len(prompts[p]) for p in part])
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=what["limit"],
            pad_token_id=pad,
        )[:, width:]
        for place, row in zip(part, output.tolist(), strict=True):
            end = row.index(pad) if pad in row else len(row)
            tokens += min(end + 1, len(row))
            made[place] = codec.decode(row[:end])
    return made, tokens


def main() -> None:
    what = json.loads(sys.argv[1])
    transformers.utils.logging.set_verbosity_error()
    if what.get("threads"):
        torch.set_num_threads(what["threads"])
    kinds = {"rate": rates, "training": training, "answering": answering}
    result = kinds[what["kind"]](what)
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    result["threads"] = torch.get_num_threads()
    print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
