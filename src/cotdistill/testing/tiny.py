"""Tiny, randomly initialised checkpoints of every family: the public fakes for tests and dry runs.

`tiny_checkpoint(folder, "gpt2")` writes a complete Hugging Face checkpoint (config, tokenizer
trained on a few texts, safetensors) of about 50,000 parameters in a fraction of a second. Families
differ where students differ: GPT-2 has no padding token and absolute positions, Llama adds a begin
token and has grouped heads, Qwen2 has neither begin token nor padding equal to its end, T5 is an
encoder-decoder whose tokenizer lacks newline, `<` and `{`.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from cotdistill.checkpoints.auto import auto_class
from cotdistill.contracts import Objective, Student, TrainResult, TrainSettings
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.records import Example
from cotdistill.util.files import write_jsonl

Family = Literal["gpt2", "llama", "qwen2", "t5"]

_TEXTS = (
    "Q: Ana has 3 apples and buys 8 more. How many apples does she have now?",
    "A: Let's think step by step. Ana starts with 3 apples. 3 + 8 = 11. The answer is 11.",
    "Q: A coin is heads up. Ben flips the coin. Cleo does not flip the coin. Is the coin still "
    "heads up?",
    "A: The coin was flipped once. So it is tails up. The answer is no. --> no ### 0 1 2 3 4 5 6 7 "
    "8 9",
)


def tiny_checkpoint(
    folder: Path, family: Family, *, texts: Sequence[str] = (), seed: int = 0
) -> Path:
    """Write a checkpoint whose tokenizer is trained on `texts` (and a few of ours)."""
    transformers.utils.logging.disable_progress_bar()
    tokenizer = _tokenizer(family, [*_TEXTS, *texts])
    torch.manual_seed(seed)
    config = _config(family, tokenizer)
    model = auto_class(config).from_config(config)
    _enliven(model, tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train_on(
    examples: Iterable[Example],
    student: Student,
    settings: TrainSettings,
    out: Path,
    *,
    objective: Objective | None = None,
    **more: Any,
) -> TrainResult:
    """Train a student on examples in memory, which are written beside the checkpoint `out`."""
    path = out.with_name(f"{out.name}-examples.jsonl")
    write_jsonl(path, (example.to_json() for example in examples))
    objective = objective or CrossEntropy()
    return student.train(path, out, objective=objective, settings=settings, **more)


def _enliven(model: Any, tokenizer: Any) -> None:
    """Make answers differ: larger weights, and no bytes that are no text by themselves."""
    readable = [
        token.isascii() or token[0] in "Ġ▁"
        for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    ]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "relative_attention_bias" not in name:
                # T5's own scale is right: its attention is not divided by the width of a head.
                parameter.mul_(6.0 if parameter.std() < 0.05 else 1.0)
        head = model.get_output_embeddings().weight
        head.mul_(0.3 if head.std() > 0.5 else 1.0)
        head[~torch.tensor(readable)] = 0.0
        head[sorted(set(tokenizer.all_special_ids) - {tokenizer.eos_token_id})] = 0.0


def _tokenizer(family: Family, texts: Sequence[str]) -> Any:
    if family == "t5":
        core = tokenizers.Tokenizer(models.Unigram())
        core.normalizer = normalizers.Replace(tokenizers.Regex(r"[\n<{]"), " ")
        core.pre_tokenizer = pre_tokenizers.Metaspace()
        core.decoder = decoders.Metaspace()
        special = ["<pad>", "</s>", "<unk>"]
        options: Any = {"vocab_size": 220, "unk_token": "<unk>", "show_progress": False}
        core.train_from_iterator(texts, trainers.UnigramTrainer(special_tokens=special, **options))
        core.model = models.Unigram(_scored(core.get_vocab(), special, texts), unk_id=2)
        around: Any = {"single": "$A </s>", "special_tokens": [("</s>", 1)]}
        core.post_processor = processors.TemplateProcessing(**around)
        named = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
        return transformers.PreTrainedTokenizerFast(tokenizer_object=core, **named)
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if family == "qwen2":  # transformers has its rule for cutting words in code
        own = transformers.Qwen2Tokenizer()._tokenizer
        core.normalizer, core.pre_tokenizer = own.normalizer, own.pre_tokenizer
    core.decoder = decoders.ByteLevel()
    named = {
        "gpt2": {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"},
        "llama": {"bos_token": "<s>", "eos_token": "</s>"},
        "qwen2": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    }[family]
    special, letters = list(dict.fromkeys(named.values())), pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": 420, "initial_alphabet": letters, "show_progress": False}
    core.train_from_iterator(texts, trainers.BpeTrainer(special_tokens=special, **options))
    if family == "llama":
        around = {"single": "<s> $A", "special_tokens": [("<s>", 0)]}
        core.post_processor = processors.TemplateProcessing(**around)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, **named)


def _scored(
    pieces: Iterable[str], special: Sequence[str], texts: Sequence[str]
) -> list[tuple[str, float]]:
    """Return pieces in a fixed order with the logarithms of their shares of the texts.

    The trainer adds up in hash order: its scores, and the order by them, differ between processes.
    """
    spaced = "".join(f"▁{text}" for text in texts).replace(" ", "▁")
    counts = {piece: max(1, spaced.count(piece)) for piece in sorted({*pieces} - {*special})}
    total = sum(counts.values())
    shares = [(piece, math.log(count / total)) for piece, count in counts.items()]
    return [*((piece, 0.0) for piece in special), *shares]


def _config(family: Family, tokenizer: Any) -> Any:
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    ids |= {"vocab_size": len(tokenizer), "tie_word_embeddings": family == "qwen2"}
    if family == "t5":
        shape: Any = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        start = {"decoder_start_token_id": tokenizer.pad_token_id, "dropout_rate": 0.0}
        return transformers.T5Config(**shape, **start, **ids)
    if family == "gpt2":
        shape = {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 4}
        return transformers.GPT2Config(**shape, bos_token_id=None, **ids)
    shape = {"hidden_size": 32, "intermediate_size": 64, "max_position_embeddings": 256}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    if family == "llama":
        return transformers.LlamaConfig(**shape, bos_token_id=tokenizer.bos_token_id, **ids)
    return transformers.Qwen2Config(**shape, bos_token_id=None, **ids)
