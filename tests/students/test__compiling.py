"""Compiled layers learn what layers do that are not, and leave no trace in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from shutil import which

import pytest
import torch
import torch._inductor.config
import torch._inductor.utils

from cotdistill.errors import UserError
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.students._compiling import compile_layers
from cotdistill.students._data import Collator
from cotdistill.students._scoring import form_for
from cotdistill.testing.tiny import Family
from tests.students.test__scoring import assert_same, loss_and_gradients, make


@pytest.mark.skipif(not (which("g++") or which("clang++")), reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of torch's own code
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_same_loss_and_gradients(tmp_path: Path, family: Family) -> None:
    model, rows = make(tmp_path, family, CrossEntropy())
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.train()
    collator, names = Collator(True, form_for(model)), list(model.state_dict())
    batches = [[collator(rows)], [collator(rows[:4]), collator(rows[4:])]]
    truth = [loss_and_gradients(model, batch, CrossEntropy()) for batch in batches]
    torch.compiler.reset()  # type: ignore[no-untyped-call]
    compile_layers(model)
    for batch, expected in zip(batches, truth, strict=True):
        assert_same(loss_and_gradients(model, batch, CrossEntropy()), expected)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] > 0
    assert list(model.state_dict()) == names


def test_without_a_compiler_it_is_refused() -> None:
    torch.compiler.reset()  # type: ignore[no-untyped-call]
    compiler = torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")})
    with (
        torch._inductor.utils.fresh_cache(),
        compiler,
        pytest.raises(UserError, match=r"cannot compile here .* install a C\+\+ compiler"),
    ):
        compile_layers(None)
