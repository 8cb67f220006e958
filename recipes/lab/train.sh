#!/bin/sh
# Trains the student base and the lab teacher again from nothing, one core each; see README.md here for figures and times.
set -e
out=${1:-runs/lab}
export OMP_NUM_THREADS=1
python -m recipes.lab.train base --out "$out/base" &
python -m recipes.lab.train teacher_start --out "$out/teacher_start"
python -m recipes.lab.train teacher --start "$out/teacher_start" --out "$out/teacher"
wait $!
python -m recipes.lab.measure "$out/teacher" --items 200 --forms all --sampled
python -m recipes.lab.measure "$out/base" --forms none --language --items 50
