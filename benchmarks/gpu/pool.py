"""An executor for many small trainings on one GPU: `executor: {name: "pool:Pool", workers: 8}`.

A model of 135M parameters leaves most of a large GPU idle while Python launches its kernels, so
several models train side by side, each in a process that is kept for the whole run. A job that
fails is reported and stops no other.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import traceback
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed

from cotdistill.contracts import Executor, Job

__all__ = ["Pool"]

_GPU_STAGES = ("train", "infer")
"""The stages that are spread over the processes; the others are quick."""


class Pool(Executor):
    """Train and answer in several processes at once."""

    workers: int = 8

    def run(self, jobs: Iterable[Job]) -> None:
        waiting = list(jobs)
        if not waiting or waiting[0].stage not in _GPU_STAGES:
            for job in waiting:
                job()
            return
        # Methods are listed from the quickest training to the longest: the long ones start first.
        pool = _pool(self.workers)
        futures = {pool.submit(job): job for job in reversed(waiting)}
        for future in as_completed(futures):
            job = futures[future]
            if (error := future.exception()) is not None:
                lines = "".join(traceback.format_exception(error)).strip()
                print(f"FAILED {job.stage} {job.key}: {lines}", file=sys.stderr, flush=True)


@functools.cache
def _pool(workers: int) -> ProcessPoolExecutor:
    # One thread each: the processes together have more work than the machine has cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    # A forked process cannot use CUDA.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
