from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import whisper
from ct2_writer import ct2_bytes, ct2_variables, int8
from safetensors.torch import save_file
from small_whisper import CPU
from torch import Tensor
from whisper.model import ModelDimensions

import consumer
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import ConfigError
from consumer.inference.checkpoint import Checkpoint, load, usual_heads
from consumer.inference.layouts import place, shapes
from consumer.inference.whisper_engine import WhisperTranscriber

WARM_UP = Path(consumer.__file__).with_name("warm_up.flac")
DIMS = ModelDimensions(8, 12, 16, 2, 3, 70, 10, 16, 4, 2)
UPPER_HALF = ((1, 0), (1, 1), (1, 2), (1, 3))
TIED = {"decoder/projection/weight": "decoder/embeddings/weight"}
EMBEDDING = "decoder.token_embedding.weight"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {name: torch.randn(shape).half() for name, shape in shapes(DIMS).items()}


def write_openai(path: Path, state: Mapping[str, Tensor], dims: ModelDimensions = DIMS) -> Path:
    torch.save({"dims": vars(dims), "model_state_dict": dict(state)}, path)
    return path


def hugging_face_config(dims: ModelDimensions) -> dict[str, int]:
    return {
        "num_mel_bins": dims.n_mels,
        "max_source_positions": dims.n_audio_ctx,
        "d_model": dims.n_audio_state,
        "encoder_attention_heads": dims.n_audio_head,
        "encoder_layers": dims.n_audio_layer,
        "vocab_size": dims.n_vocab,
        "max_target_positions": dims.n_text_ctx,
        "decoder_attention_heads": dims.n_text_head,
        "decoder_layers": dims.n_text_layer,
    }


def write_hugging_face(
    folder: Path, state: Mapping[str, Tensor], dims: ModelDimensions = DIMS, shards: int = 1
) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(hugging_face_config(dims)))
    tensors = [(place(name).hugging_face, t.contiguous()) for name, t in state.items()]
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}" if shards > 1 else "model"
        save_file(dict(tensors[shard::shards]), folder / f"{name}.safetensors")
    return folder


def write_ctranslate2(
    folder: Path, state: Mapping[str, Tensor], dims: ModelDimensions = DIMS
) -> Path:
    folder.mkdir()
    (folder / "model.bin").write_bytes(ct2_bytes(ct2_variables(state, dims), TIED))
    return folder


def assert_same(found: Checkpoint, state: Mapping[str, Tensor]) -> None:
    assert found.state.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(found.state[name], tensor), name


def test_all_formats_give_the_same_checkpoint(tmp_path: Path, state: dict[str, Tensor]):
    paths = (
        write_openai(tmp_path / "our.pt", state),
        write_hugging_face(tmp_path / "our", state),
        write_ctranslate2(tmp_path / "ours", state),
    )
    for path in paths:
        found = load(path)
        assert_same(found, state)
        assert (found.dims, found.alignment_heads) == (DIMS, UPPER_HALF)
    assert [load(path).name for path in paths] == ["our", "our", "ours"]


def test_openais_weights_are_the_same_in_every_format(tmp_path: Path, tiny_en_weights: Path):
    tiny = load(tiny_en_weights)

    for write in (write_hugging_face, write_ctranslate2):
        found = load(write(tmp_path / write.__name__, tiny.state, tiny.dims))
        assert_same(found, tiny.state)
        assert (found.dims, found.alignment_heads) == (tiny.dims, tiny.alignment_heads)


def test_base_transcribes_the_same_from_every_format(tmp_path: Path, base_weights: Path):
    base = load(base_weights)
    samples, _ = soundfile.read(WARM_UP, dtype="float32")

    def transcribed(path: Path) -> Hypothesis:
        clip = DecodeRequest(samples, ("en",), words=True)
        return WhisperTranscriber(load(path), CPU, fold=True).transcribe([clip])[0]

    writers = (write_openai, write_hugging_face, write_ctranslate2)
    one, *others = (
        transcribed(write(tmp_path / write.__name__, base.state, base.dims)) for write in writers
    )
    assert len(one.words or ()) > 10
    assert others == [one, one]


def test_known_weights_have_openais_name_and_alignment_heads(
    base_weights: Path, tiny_en_weights: Path
):
    base, tiny = load(base_weights), load(tiny_en_weights)

    assert (base.name, tiny.name) == ("base", "tiny.en")
    assert base.alignment_heads == openai_heads("base")
    assert tiny.alignment_heads == openai_heads("tiny.en")


def test_shards_are_merged(tmp_path: Path, state: dict[str, Tensor]):
    assert_same(load(write_hugging_face(tmp_path / "hf", state, shards=3)), state)


def test_a_projection_equal_to_the_embedding_is_dropped(tmp_path: Path, state: dict[str, Tensor]):
    folder = write_hugging_face(tmp_path / "hf", state)
    save_file({"proj_out.weight": state[EMBEDDING]}, folder / "model-2.safetensors")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")

    assert_same(load(folder), state)


def test_int8_weights_are_within_half_a_quantisation_step(tmp_path: Path, state: dict[str, Tensor]):
    variables = ct2_variables(state, DIMS)
    for name in [name for name in variables if name.endswith("/weight")]:
        variables[name], variables[f"{name}_scale"] = int8(variables[name])
    (tmp_path / "model.bin").write_bytes(ct2_bytes(variables, TIED))

    found = load(tmp_path).state

    for name, tensor in state.items():
        step = tensor.float().abs().max() / 127
        assert (found[name].float() - tensor.float()).abs().max() <= 0.501 * step, name
    assert found[EMBEDDING].dtype == torch.float32


@pytest.mark.parametrize("name", sorted(whisper._ALIGNMENT_HEADS))
def test_official_models_have_openais_alignment_heads(name: str):
    assert usual_heads(name, official(name)) == openai_heads(name)


@pytest.mark.parametrize("name", sorted({*whisper._ALIGNMENT_HEADS} - {"large-v1"}))
def test_fine_tuned_models_have_the_alignment_heads_of_their_size(name: str):
    assert usual_heads("fine-tuned", official(name)) == openai_heads(name)


def official(name: str) -> ModelDimensions:
    """Return the sizes of a model of OpenAI (Radford et al. 2022, table 1; release notes)."""
    layers, text_layers, heads = {
        "tiny": (4, 4, 6),
        "base": (6, 6, 8),
        "small": (12, 12, 12),
        "medium": (24, 24, 16),
        "large": (32, 32, 20),
        "turbo": (32, 4, 20),
    }["turbo" if name.endswith("turbo") else name.partition("-")[0].removesuffix(".en")]
    v3 = name in {"large", "large-v3", "large-v3-turbo", "turbo"}
    vocabulary = 51_864 if name.endswith(".en") else 51_866 if v3 else 51_865
    state = 64 * heads
    return ModelDimensions(
        128 if v3 else 80, 1500, state, heads, layers, vocabulary, 448, state, heads, text_layers
    )


def openai_heads(name: str) -> tuple[tuple[int, int], ...]:
    """Return the alignment heads that openai-whisper reads."""
    dims = official(name)
    model = whisper.Whisper(
        ModelDimensions(1, 1, 20, 20, 1, 1, 1, 20, dims.n_text_head, dims.n_text_layer)
    )
    model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    return tuple((layer, head) for layer, head in model.alignment_heads.indices().T.tolist())


@pytest.mark.parametrize("write", [write_hugging_face, write_ctranslate2])
def test_a_folder_may_list_its_alignment_heads(
    tmp_path: Path, state: dict[str, Tensor], write: Any
):
    folder = write(tmp_path / "x", state)
    name = "generation_config.json" if write is write_hugging_face else "config.json"
    (folder / name).write_text('{"alignment_heads": [[1, 2], [0, 3]]}')

    assert load(folder).alignment_heads == ((0, 3), (1, 2))


def rejected(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    return problem.removeprefix(f"{path}: ")


@pytest.mark.parametrize("heads", [[[2, 0]], [[0, 4]], [[0, -1]], [[0]], [["0", "1"]], {"a": 1}, 7])
def test_alignment_heads_must_exist_in_the_model(
    tmp_path: Path, state: dict[str, Tensor], heads: object
):
    folder = write_hugging_face(tmp_path / "hf", state)
    (folder / "generation_config.json").write_text(json.dumps({"alignment_heads": heads}))

    assert rejected(folder).startswith("alignment_heads are not (layer, head) pairs")


def test_an_untied_projection_is_rejected(tmp_path: Path, state: dict[str, Tensor]):
    variables = ct2_variables(state, DIMS)
    variables["decoder/projection/weight"] = variables["decoder/embeddings/weight"] + 1
    (tmp_path / "model.bin").write_bytes(ct2_bytes(variables, {}))

    assert "Whisper has one tensor for both" in rejected(tmp_path)


def test_a_missing_tensor_is_named(tmp_path: Path, state: dict[str, Tensor]):
    fewer = {name: tensor for name, tensor in state.items() if name != "decoder.ln.weight"}
    missing = "1 tensors missing (first: decoder.ln.weight)"

    assert missing in rejected(write_openai(tmp_path / "x.pt", fewer))
    assert missing in rejected(write_hugging_face(tmp_path / "hf", fewer))
    assert missing in rejected(write_ctranslate2(tmp_path / "ct2", fewer))


def test_an_unknown_tensor_is_named(tmp_path: Path, state: dict[str, Tensor]):
    variables = ct2_variables(state, DIMS) | {"encoder/low_rank": torch.zeros(3)}
    (tmp_path / "model.bin").write_bytes(ct2_bytes(variables, TIED))

    assert "1 tensors unknown (first: encoder/low_rank)" in rejected(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("decoder/num_heads", "decoder/num_heads is missing"),
        ("encoder/position_encodings/encodings", "encodings is missing"),
    ],
)
def test_a_ctranslate2_model_without_its_sizes_is_rejected(
    tmp_path: Path, state: dict[str, Tensor], name: str, message: str
):
    variables = ct2_variables(state, DIMS)
    del variables[name]
    (tmp_path / "model.bin").write_bytes(ct2_bytes(variables, TIED))

    assert message in rejected(tmp_path)


def test_a_tensor_of_the_wrong_rank_is_rejected(tmp_path: Path, state: dict[str, Tensor]):
    variables = ct2_variables(state, DIMS) | {"encoder/conv1/weight": torch.zeros(3)}
    (tmp_path / "model.bin").write_bytes(ct2_bytes(variables, TIED))

    assert rejected(tmp_path).startswith("not a Whisper model: a tensor has a wrong shape")


@pytest.mark.parametrize("content", [b"", b"\x80\x02not a pickle", b"PK\x03\x04 torn archive"])
def test_a_file_that_is_no_pickle_is_rejected(tmp_path: Path, content: bytes):
    (tmp_path / "x.pt").write_bytes(content)

    assert rejected(tmp_path / "x.pt").startswith("not an OpenAI Whisper checkpoint")


@pytest.mark.parametrize("content", [{"weights": 1}, [1, 2], {"dims": {}, "model_state_dict": 3}])
def test_a_pickle_without_a_model_is_rejected(tmp_path: Path, content: object):
    torch.save(content, tmp_path / "x.pt")

    assert rejected(tmp_path / "x.pt").startswith("not an OpenAI Whisper checkpoint")


def test_code_in_a_pickle_is_not_executed(tmp_path: Path, state: dict[str, Tensor]):
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"dims": vars(DIMS), "model_state_dict": {"x": Bomb()}}, tmp_path / "x.pt")

    assert rejected(tmp_path / "x.pt").startswith("not an OpenAI Whisper checkpoint")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{", "config.json is not JSON"),
        ("config.json", "[]", "config.json is not a JSON object"),
        ("config.json", "{}", "sizes are missing or implausible: n_mels=None"),
        ("model.safetensors", "torn", "model.safetensors: "),
    ],
)
def test_a_damaged_hugging_face_folder_is_rejected(
    tmp_path: Path, state: dict[str, Tensor], file: str, content: str, message: str
):
    folder = write_hugging_face(tmp_path / "hf", state)
    (folder / file).write_text(content)

    assert rejected(folder).startswith(message)


def test_a_hugging_face_folder_needs_its_config(tmp_path: Path, state: dict[str, Tensor]):
    folder = write_hugging_face(tmp_path / "hf", state)
    (folder / "config.json").unlink()

    assert "config.json" in rejected(folder)


def test_an_empty_folder_is_rejected(tmp_path: Path):
    assert rejected(tmp_path).startswith("neither a file nor a folder with")
