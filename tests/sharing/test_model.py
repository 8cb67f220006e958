"""`cotdistill export model`: the folder answers as the run did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
import yaml
from safetensors import safe_open
from typer.testing import CliRunner

from cotdistill.checkpoints.loading import load_checkpoint
from cotdistill.cli.app import app
from cotdistill.errors import UserError
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_jsonl

HOSTILE = "`x` | <script>alert(1)</script>\n# [no](http://x)"


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def run(folder: Path, student: dict[str, Any], methods: list[Any], **entries: Any) -> Path:
    """A run of few steps on ten questions."""
    steps = "How many more? ** One more.\nHow many then? ** {n} and 1 are {more}.\n#### {more}"
    rows = [
        {
            "question": f"What is {n} plus 1?",
            "answer": str(n + 1),
            "rationale": steps.format(n=n, more=n + 1),
        }
        for n in range(20)
    ]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "small",
        "output": str(folder),
        "task": {"name": "custom", "path": str(folder / "q.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": " It is one more. The answer is 3."},
        "student": student,
        "methods": methods,
        "filters": [],
        "train": {"max_steps": 2, "learning_rate": 1e-3, "selection": "last"},
        **entries,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    invoke("run", str(folder / "recipe.yaml"))
    return folder / "small"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    base = str(tiny_checkpoint(folder / "base", "llama"))
    methods = [
        {"name": "answer_only", "label": "answers", "student_max_tokens": 8},
        {"name": "fine_tune_cot", "label": HOSTILE, "answer_call": False, "student_max_tokens": 9},
        {"name": "socratic_cot", "label": "two", "source": "gold", "step_max_tokens": 6},
    ]
    return run(folder, {"model": base, "label": "tiny"}, methods)


def said(run: Path, method: str, role: str) -> dict[str, str]:
    """What the run's model of a role wrote, by prompt."""
    (path,) = run.rglob(f"{method}/*/*/infer/test-greedy/answers.jsonl")
    asks = [ask for row in read_jsonl(path) for ask in row["trace"] if ask["role"] == role]
    assert asks
    return {ask["prompt"]: ask["text"] for ask in asks}


def written(folder: Path, prompt: str, kind: Any = transformers.AutoModelForCausalLM) -> str:
    """What an exported folder writes, asked as its card says."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = kind.from_pretrained(folder)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    start = 0 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    text = tokenizer.decode(model.generate(**inputs)[0, start:], skip_special_tokens=True)
    return str(text)


def converted_writes(folder: Path, prompt: str) -> str:
    """What an exported folder writes through CTranslate2, asked as the documentation says."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    limit = json.loads((folder / "generation_config.json").read_text())["max_new_tokens"]
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
    )
    place, tokens = str(folder / "ctranslate2"), tokenizer.convert_ids_to_tokens(ids)
    if tokenizer.bos_token is None:  # T5
        model = ctranslate2.Translator(place)
        (made,) = model.translate_batch([tokens], beam_size=1, max_decoding_length=limit)
        return str(tokenizer.decode(tokenizer.convert_tokens_to_ids(made.hypotheses[0])))
    (made,) = ctranslate2.Generator(place).generate_batch(
        [tokens], max_length=limit, include_prompt_in_result=False
    )
    return str(tokenizer.decode(made.sequences_ids[0], skip_special_tokens=True))


def run_code(folder: Path, prompt: str) -> None:
    """Run the code of a card with a question of ours."""
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert "'content': 'QUESTION'" in code
    exec(code.replace("PATH", str(folder)).replace("'QUESTION'", repr(prompt)), {})


def test_the_exported_student_answers_as_in_the_run(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = invoke("export", "model", str(made), "--method", "answers", "--dtype", "fp32",
                  "--out", str(out))  # fmt: skip
    assert "wrote" in told and "bf16" not in told
    for prompt, text in said(made, "answers", "student").items():
        assert written(out, prompt).removeprefix(" ") == text
    config = json.loads((out / "config.json").read_text())
    generation = json.loads((out / "generation_config.json").read_text())
    assert config["use_cache"] is True and generation["use_cache"] is True
    assert generation["do_sample"] is False and generation["max_new_tokens"] == 8
    assert generation["eos_token_id"] == [1]
    leaks = [path.name for path in out.iterdir() if str(made.parent).encode() in path.read_bytes()]
    assert leaks == []


def test_bf16_by_default_and_said_so(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "out"
    assert "bf16 rounds" in invoke(
        "export", "model", str(made), "--method", "answers", "--gguf", "--out", str(out)
    )
    assert "  model.gguf\n" in (out / "SHA256SUMS").read_text()
    theirs = load_checkpoint(out / "model.gguf", torch.float32)[0].state_dict()
    with safe_open(out / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
        assert {weights.get_tensor(name).dtype for name in names} == {torch.bfloat16}
        assert all(torch.equal(weights.get_tensor(name).float(), theirs[name]) for name in names)
    assert "rounded to bfloat16" in (out / "README.md").read_text()


def test_a_folder_for_each_model_of_a_method(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    invoke("export", "model", str(made), "--method", "two", "--dtype", "fp32", "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "decomposer", "solver"]
    for role in ("decomposer", "solver"):
        for prompt, text in list(said(made, "two", role).items())[:3]:
            assert written(out / role, prompt).removeprefix(" ") == text
    card = (out / "README.md").read_text()
    assert "QUESTION | REPLY OF decomposer **" in card


def test_the_card_is_valid_and_others_text_has_no_meaning_in_it(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    invoke("export", "model", str(made), "--method", HOSTILE, "--license", "mit",
           "--out", str(out))  # fmt: skip
    data = huggingface_hub.ModelCard.load(out / "README.md").data
    assert data.license == "mit" and data.pipeline_tag == "text-generation"
    assert data.eval_results[0].metric_type == "accuracy"
    card = (out / "README.md").read_text()
    body = card.split("---\n", 2)[2]
    assert "<script" not in body.replace("\\<script", "") and "\n# [no]" not in body
    assert "majority answer" in body and "| answers |" in body and "[0.0, " in body
    assert "20" in body and "at most 9 new tokens" in body


def test_the_code_of_the_card_runs_and_prints_the_answer(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    invoke("export", "model", str(made), "--method", "answers", "--dtype", "fp32",
           "--out", str(out))  # fmt: skip
    prompt, text = next(iter(said(made, "answers", "student").items()))
    run_code(out, prompt)
    assert capsys.readouterr().out.strip() == text.strip()


def test_ctranslate2_beside_it_writes_the_same(made: Path, tmp_path: Path) -> None:
    for dtype in ("fp32", "bf16"):
        out = tmp_path / dtype
        invoke("export", "model", str(made), "--method", "two", "--dtype", dtype, "--ctranslate2",
               "--out", str(out))  # fmt: skip
        sums = (out / "solver" / "ctranslate2" / "SHA256SUMS").read_text()
        assert {"model.bin", "config.json"} <= {line.split()[1] for line in sums.splitlines()}
    for prompt, text in list(said(made, "two", "solver").items())[:4]:
        for writes in (converted_writes, written):
            assert writes(tmp_path / "fp32" / "solver", prompt).removeprefix(" ") == text
    sizes = [(tmp_path / dtype / "solver/ctranslate2/model.bin").stat().st_size
             for dtype in ("bf16", "fp32")]  # fmt: skip
    assert sizes[0] < 0.6 * sizes[1]


def test_an_encoder_decoder(tmp_path: Path) -> None:
    base = str(tiny_checkpoint(tmp_path / "base", "t5"))
    made = run(tmp_path, {"model": base}, [{"name": "answer_only", "student_max_tokens": 7}])
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"its architecture is t5.*convert_hf_to_gguf\.py"):
        invoke("export", "model", str(made), "--gguf", "--out", str(out))
    assert not out.exists()
    invoke("export", "model", str(made), "--dtype", "fp32", "--ctranslate2", "--out", str(out))
    for prompt, text in said(made, "answer_only*", "student").items():
        assert written(out, prompt, transformers.AutoModelForSeq2SeqLM) == text
        assert converted_writes(out, prompt) == text
    assert "AutoModelForSeq2SeqLM" in (out / "README.md").read_text()


def test_adapters_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(tiny_checkpoint(tmp_path / "base", "llama"))
    student = {"model": base, "lora": {"r": 2}}
    made = run(tmp_path, student, [{"name": "answer_only", "student_max_tokens": 7}])
    out = tmp_path / "out"
    invoke("export", "model", str(made), "--adapter", "--out", str(out))
    assert not (out / "model.safetensors").exists()
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    prompt, text = next(iter(said(made, "answer_only*", "student").items()))
    capsys.readouterr()
    run_code(out, prompt)
    assert capsys.readouterr().out.strip() == text.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"several trained models.*--method 'two'"),
        (["--method", "none"], "no trained model of these labels"),
        (["--method", "two", "--adapter"], "--adapter is for students with `lora`"),
        (["--method", "two", "--adapter", "--ctranslate2"], "leave out --adapter"),
    ],
)
def test_what_cannot_be_exported(
    made: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        invoke("export", "model", str(made), *arguments, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(made: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is there already"):
        invoke("export", "model", str(made), "--method", "two", "--out", str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []
