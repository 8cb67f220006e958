"""An exported student behind another server against the answers of its run.

    .venv/bin/python benchmarks/student/exported.py RUN --method LABEL [--student LABEL]
    … --dtype bf16
    … --server llama.cpp          # model.gguf in its own server, from the package xllamacpp

Exports the model, serves it on loopback (by default with `transformers serve`), sends every prompt
that the run's model read as one user message to /v1/chat/completions, and counts the replies that
are the run's, letter for letter.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from cotdistill.recipe import load_recipe
from cotdistill.runs.run import Run
from cotdistill.sharing.card import ExportSettings
from cotdistill.sharing.model import export_model, trained_cell
from cotdistill.util.files import read_jsonl


def post(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as reply:
        return json.load(reply)


LLAMA_CPP = """
import sys, time
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 4096, 1, 1
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
server = xllamacpp.Server(params)
time.sleep(86400)
"""


def serve(folder: Path, dtype: str, server: str) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if server == "llama.cpp":
        command = [sys.executable, "-c", LLAMA_CPP, str(folder / "model.gguf"), str(port)]
    else:
        program = str(Path(sys.executable).with_name("transformers"))
        command = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--device", "cpu", "--dtype", dtype]
    process = subprocess.Popen(
        command,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        try:
            post(f"http://127.0.0.1:{port}/health")
            return process, f"http://127.0.0.1:{port}/v1/chat/completions"
        except OSError:
            time.sleep(0.5)
    sys.exit(f"{server} ended at once: pip install 'transformers[serving]' xllamacpp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--method")
    parser.add_argument("--student")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--server", choices=["transformers", "llama.cpp"], default="transformers")
    options = parser.parse_args()
    run = Run(load_recipe(options.run / "recipe.yaml"))
    cell = trained_cell(run, method=options.method, student=options.student)
    infer = run.infer_artifact(cell, "test", run.recipe.strategies[0])
    rows = list(read_jsonl(infer.folder / "answers.jsonl"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "model"
        (role,) = export_model(
            run, cell, out, ExportSettings(options.dtype, gguf=options.server == "llama.cpp")
        )
        dtype = {"fp32": "float32", "bf16": "bfloat16"}[options.dtype]
        server, url = serve(out, dtype, options.server)
        try:
            same = answers = 0
            for row in rows:
                (ask,) = row["trace"]
                chat = [{"role": "user", "content": ask["prompt"]}]
                body = {"model": str(out), "messages": chat, "max_tokens": role.request.max_tokens}
                body["temperature"] = 0  # which llama.cpp has no file to learn from
                text = post(url, body)["choices"][0]["message"]["content"].strip()
                same += text == ask["text"].strip()
                said = cell.task.plugin.answer_type.extract(text, markers=("-->",))
                answers += said == row["answer"]
        finally:
            server.kill()
            server.wait()
    what = f"{cell.label}, {cell.student.label}, {options.dtype}, {options.server}"
    print(f"{what}: {same} of {len(rows)} texts, {answers} of {len(rows)} answers the run's")


if __name__ == "__main__":
    main()
