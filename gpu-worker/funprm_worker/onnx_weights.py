"""The trainable model out of a served bundle: `onnx_graph.py` read backwards.

The graph holds every weight under the name it has in torch, int8 beside its scale, so a bundle needs no second copy of
its weights to be trained further: training starts from exactly the values that are served.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from funprm_worker.bundle import check_bundle
from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError
from funprm_worker.model import RewardModel


def model_of_bundle(folder: Path) -> tuple[RewardModel, Encoder, dict[str, object]]:
    """Model in fp32, encoder and manifest of a checked bundle, proved by its parity rows in torch.

    Raises `WorkerError("bad_bundle")` for a bundle that is not what it says, or whose graph this program did not write.
    """
    manifest = check_bundle(folder)
    encoder = Encoder.load(folder / "tokenizer.json")
    model = _model(folder, int(manifest["maxTokens"]))
    for row in manifest["parity"]["rows"]:
        parts = encoder.row(row["prompt"], row["completions"], manifest["maxTokens"])
        with torch.no_grad():
            rewards = torch.sigmoid(model(torch.tensor([parts.ids])))[0, parts.step_positions]
        worst = float((rewards - torch.tensor(row["rewards"])).abs().max())
        if worst > manifest["parity"]["tolerance"]:
            raise WorkerError(
                "bad_bundle",
                f"{folder}: parity row {row['id']} is off by {worst:.2g} in torch; it cannot be trained on",
            )
    return model, encoder, manifest


def _model(folder: Path, max_tokens: int) -> RewardModel:
    from transformers import Qwen2Config

    stored = {one.name: numpy_helper.to_array(one) for one in onnx.load(str(folder / "model.onnx")).graph.initializer}
    weights: dict[str, torch.Tensor] = {}
    try:
        for name, array in stored.items():
            if not name.startswith(("backbone.", "head.")) or name.endswith("_scale"):
                continue
            value = array.astype(np.float32)
            if f"{name}_scale" in stored:
                value = value * stored[f"{name}_scale"]
            # Matrices stand [in, out] in the graph and [out, in] in torch; the embedding stands as it is.
            turned = value.T if value.ndim == 2 and name != "backbone.embed_tokens.weight" else value
            weights[name] = torch.from_numpy(np.ascontiguousarray(turned))
        vocab, hidden = weights["backbone.embed_tokens.weight"].shape
        layers = sum(name.endswith("q_proj.weight") for name in weights)
        # [cos half | same half again], so its width is that of one head; its second entry is theta^(-2/width).
        frequency = stored["rope_frequency"][0]
        size = len(frequency)
        config = Qwen2Config(
            vocab_size=vocab,
            hidden_size=hidden,
            intermediate_size=len(weights["backbone.layers.0.mlp.gate_proj.weight"]),
            num_hidden_layers=layers,
            num_attention_heads=len(weights["backbone.layers.0.self_attn.q_proj.weight"]) // size,
            num_key_value_heads=len(weights["backbone.layers.0.self_attn.k_proj.weight"]) // size,
            max_position_embeddings=max_tokens,
            use_cache=False,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": float(round(frequency[1] ** (-size / 2)))},
        )
        model = RewardModel(config, "two-class" if len(weights["head.bias"]) == 2 else "scalar")
        model.load_state_dict(weights)
    except (KeyError, IndexError, RuntimeError) as problem:
        raise WorkerError(
            "bad_bundle",
            f"{folder}: its graph is not one that funprm-worker wrote ({str(problem).splitlines()[0][:120]});"
            " it serves, and cannot be trained on",
        ) from problem
    return model.eval()
