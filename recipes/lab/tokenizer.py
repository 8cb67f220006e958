"""The lab's tokenizer: a word of the lab's language is one token, a digit stands alone.

Byte-level byte pair encoding (Sennrich et al. 2016; GPT-2's bytes) over a split into words with the
space before them, single digits and single marks; anything else falls back to bytes. Every text is
restored exactly. `<|end|>` ends a text, `<|pad|>` fills batches.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any

from cotdistill.lab.generated import DRAWS
from recipes.lab.documents import Phase, base_documents, teacher_documents

__all__ = ["END", "PAD", "build_tokenizer"]

END, PAD = "<|end|>", "<|pad|>"
SPLIT = r" ?-->| ?#+| ?\*\*| ?\p{L}+(?:'\p{L}+)?| ?\p{N}| ?[^\s\p{L}\p{N}]|\n|[^\S\n]+|\s"
DOCUMENTS = 30000
MERGED_VOCABULARY = 640
RARE = 8


def build_tokenizer() -> Any:
    """Return the tokenizer as a `PreTrainedTokenizerFast`; the same on every machine."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = list(_texts())
    trainer = trainers.BpeTrainer(
        vocab_size=MERGED_VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END, PAD],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    data = json.loads(tokenizer.to_str())
    _add_whole_words(data["model"], _words(tokenizer.pre_tokenizer, texts))
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(data)),
        eos_token=END,
        pad_token=PAD,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def _texts() -> list[str]:
    phases = [Phase(0, dict.fromkeys(DRAWS, 1.0), language=0.0)]
    documents = [
        *islice(teacher_documents(0, 0, phases), DOCUMENTS),
        *islice(base_documents(0, 0, phases), DOCUMENTS // 3),
    ]
    return ["".join(segment.text for segment in document) for document in documents]


def _words(pre_tokenizer: Any, texts: list[str]) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in pre_tokenizer.pre_tokenize_str(text))
    return sorted(word for word, count in counts.items() if count >= RARE)


def _add_whole_words(model: dict[str, Any], words: list[str]) -> None:
    """Make words tokens without merges: `ignore_merges` looks up a whole word first."""
    model["ignore_merges"] = True
    for word in words:
        model["vocab"].setdefault(word, len(model["vocab"]))
