#!/bin/sh
# Trains the student base and the lab teacher again from nothing; see README.md here for figures and times.
set -e
out=${1:-runs/lab}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
python -m cotdistill.lab.train base --out "$out/base"
python -m cotdistill.lab.train teacher --start "$out/base" --out "$out/teacher"
python -m cotdistill.lab.measure "$out/teacher" --items 200 --forms all --sampled
