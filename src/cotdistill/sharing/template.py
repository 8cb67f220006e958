"""A chat template that is the very format a student was trained in.

A student reads `{question} ###` and no chat: through its base's template it answers otherwise. The
template made here renders one user message to the tokens of a training prompt, special tokens
included, and an assistant message behind it to the target, for further training. It refuses system
messages and earlier turns, which no training prompt had.

    {{- messages[0].content + " ###" }}
"""

import json
from collections.abc import Iterable

from cotdistill.checkpoints.text import TextCodec
from cotdistill.errors import UserError

RULE = (
    "this model was trained on one question at a time: send one user message of plain text, "
    "without a system message and without earlier turns"
)
"""What the template refuses, in the words of its error."""


def chat_template(codec: TextCodec, prompts: Iterable[str]) -> str:
    """Return the template of a student's format; a student trained in chats keeps its own.

    Args:
        prompts: training prompts, each of which must come out as the very tokens of training.

    Raises:
        UserError: no template makes the tokens of a training prompt.
    """
    prompts = list(prompts)
    content = "messages[0].content"
    # Some tokenizers begin a text with a space of their own, but not behind a special token.
    spaced = f"('' if {content}[:1] == ' ' else ' ') + {content}"
    made = [_made(codec, shown) for shown in (content, spaced)]
    for template in [codec.tokenizer.chat_template] if codec.chat else made:
        if all(_ids(codec, template, prompt) == codec.prompt_ids(prompt) for prompt in prompts):
            return str(template)
    raise UserError(
        "no chat template makes the tokens that this student was trained on, so others would not "
        "get its answers"
    )


def _ids(codec: TextCodec, template: str, prompt: str) -> list[int]:
    ids: list[int] = codec.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        chat_template=template,
        add_generation_prompt=True,
        return_dict=False,
    )
    return ids


def _made(codec: TextCodec, content: str) -> str:
    before, behind = _special_tokens(codec)
    second = "messages | length == 2"  # the target, which an encoder's prompt has no room for
    pair = f"({second} and messages[1].role == 'assistant')"
    other = "" if codec.encoder_decoder else f" and not {pair}"
    parts = [
        f"{{%- if messages | length != 1{other} or messages[0].role != 'user'"
        " or messages[0].content is not string %}",
        f"{{{{- raise_exception({_literal(RULE)}) }}}}{{%- endif %}}",
        f"{{{{- {_literal(before)} + {content} + {_literal(codec.prompt_end + behind)} }}}}",
    ]
    if not codec.encoder_decoder:
        lead = codec.target_lead("") if codec.prompt_end else codec.target_begin
        target = f"{_literal(lead)} + messages[1].content + eos_token"
        parts.append(f"{{%- if {second} %}}{{{{- {target} }}}}{{%- endif %}}")
    return "".join(parts)


def _literal(text: str) -> str:
    """Return a Jinja string: Jinja reads JSON's escapes, and other letters as they are."""
    return json.dumps(text, ensure_ascii=False)


def _special_tokens(codec: TextCodec) -> tuple[str, str]:
    """Return the special tokens that stand before and behind every prompt."""
    text = f"a{codec.prompt_end}"
    inner = codec.tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = codec.prompt_ids("a")
    starts = [place for place in range(len(ids)) if ids[place : place + len(inner)] == inner]
    if not starts:
        return "", ""  # the comparison of tokens will tell
    tokens = codec.tokenizer.convert_ids_to_tokens(ids)
    return "".join(tokens[: starts[0]]), "".join(tokens[starts[0] + len(inner) :])
