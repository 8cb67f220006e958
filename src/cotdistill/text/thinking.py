"""Split what a model wrote into its thinking and its reply, and drop the marks of a turn's end.

One reader for endpoints, recordings and answers, so that a text means the same wherever it comes
from:

    >>> split_thinking("<think>4 + 3 is 7.</think>The answer is 7.<|im_end|>")
    ('4 + 3 is 7.', 'The answer is 7.')

Some chat templates open the block in the prompt, so that a text has its end only. A block that
never ends was cut off: the thinking is all there is, and the reply is empty.
"""

import re

_BLOCKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
_REPLY = "<|begin_of_solution|>"
"""What begins the reply behind a thought in data sets whose marks are in the text."""
# The special tokens that chat templates begin and end a turn with ("<|im_end|>", "<|user|>",
# DeepSeek's in full width): no prose has their form. What follows one belongs to no reply.
_END_MARK = re.compile(r"<\|\w{2,40}\|>|<end_of_turn>|<start_of_turn>|<｜[\w▁]{2,40}｜>")
# How a chat template begins the model's turn, which some servers repeat.
_OPENING = re.compile(
    r"\s*(?:<\|begin_of_text\|>)?(?:<\|\w{2,40}\|>assistant|<\|assistant\|>|<start_of_turn>model)"
    r"(?:<\|end_header_id\|>)?\s*"
)
# "</s>" is a tag of HTML as well: it is a mark only at the very end, where it may be repeated.
_LAST_MARKS = re.compile(r"(?:\s|</s>|<eos>|\[/INST\])+\Z")


def without_end_marks(text: str) -> str:
    """Return the text up to the first mark of a turn's end ("<|im_end|>", "<|eot_id|>", "</s>")."""
    found = _END_MARK.search(text) if "<" in text else None
    text = text[: found.start()] if found else text
    # Looked for in the last hundred characters only: a search from every space would be quadratic.
    tail = text[-100:]
    last = (
        _LAST_MARKS.search(tail) if tail.rstrip().endswith(("</s>", "<eos>", "[/INST]")) else None
    )
    return text[: len(text) - len(tail) + last.start()] if last else text


def split_thinking(text: str) -> tuple[str, str]:
    """Return the thinking and the reply of a text; either may be empty."""
    if not ("<" in text or "[" in text or "◁" in text):  # no mark at all, as in most replies
        return "", text
    opening = _OPENING.match(text)
    text = text[opening.end() :] if opening else text
    for begin, end in _BLOCKS:
        if begin in text or end in text:
            thoughts, reply = _split(text, begin, end)
            reply = reply.lstrip().removeprefix(_REPLY) if _REPLY in reply else reply
            return without_end_marks(thoughts), without_end_marks(reply)
    return "", without_end_marks(text)


def _split(text: str, begin: str, end: str) -> tuple[str, str]:
    before, closed, after = text.partition(end)
    bare = before.lstrip()
    if bare.startswith(begin):
        if not closed:
            return bare.removeprefix(begin).strip(), ""
    elif not closed or begin in before:
        # Text stands before the block: that is part of the reply, and so is a tag that only is
        # spoken of.
        return "", text
    thoughts, said, at = [bare.removeprefix(begin).strip()], [""], 0
    rest = after.lstrip("\n")
    while (start := rest.find(begin, at)) >= 0:
        stop = rest.find(end, start)
        if stop < 0:
            # Cut off where nothing was said before it; elsewhere the tag is only spoken of.
            if not "".join((*said, rest[at:start])).strip():
                thoughts.append(rest[start + len(begin) :].strip())
                rest, at = "", 0
            break
        said.append(rest[at:start])
        thoughts.append(rest[start + len(begin) : stop].strip())
        at = stop + len(end)
    return "\n".join(thoughts), "".join((*said, rest[at:]))
