"""A model in memory as a folder of CTranslate2, the runtime; its own converter does the work."""

from pathlib import Path
from typing import Any

from ctranslate2.converters import TransformersConverter

from cotdistill.checkpoints.auto import one_line


class _Converter(TransformersConverter):  # type: ignore[misc]
    """The package's converter on a model that is loaded already, from safetensors alone."""

    def __init__(self, place: str | Path, model: Any, tokenizer: Any) -> None:
        super().__init__(str(place))
        self._model, self._tokenizer = model, tokenizer

    def load_model(self, *args: Any, **kwargs: Any) -> Any:
        return self._model

    def load_tokenizer(self, *args: Any, **kwargs: Any) -> Any:
        return self._tokenizer

    def _load(self) -> Any:
        spec = super()._load()
        # Written as they are, tokens that a tokenizer lacks could not be read again.
        for name in ("bos_token", "eos_token", "unk_token"):
            if spec.config.to_dict().get(name, "") is None:
                setattr(spec.config, name, "")
        config = self._model.config
        if config.is_encoder_decoder and "scale_decoder_outputs" in config.to_dict():
            # transformers decides it by a field of its own, the package by tied embeddings.
            scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0
            spec.decoder.scale_outputs = scale
        return spec


def write_ctranslate2(
    model: Any, tokenizer: Any, place: str | Path, folder: Path, dtype: str
) -> None:
    """Write the new folder: weights as `dtype` (int8, float32, bfloat16 …) and vocabulary.

    Args:
        model: a model of transformers; the converter takes it apart, so it is of no use afterwards.
        tokenizer: its tokenizer.
        place: the checkpoint folder or hub id of its configuration, which errors name.
        folder: the folder to be.
        dtype: number format of the weights.

    Raises:
        UserError: CTranslate2 does not know the architecture.
    """
    with one_line(f"{place}: CTranslate2 cannot convert it"):
        quantization = None if dtype == "float32" else dtype
        _Converter(place, model, tokenizer).convert(str(folder), quantization=quantization)
