"""Writes a reward model as an ONNX graph, node by node.

Contract: `input_ids` int64 [batch, seq], right-padded → `rewards` float32 [batch, seq] = sigmoid(head(h_t)); both axes
dynamic, the causal mask is built in the graph, no other input. Built by hand because the exporter of torch needs
packages that nothing else here needs, and because every weight's place in the file must be known for int8.

int8 weights: symmetric, one scale per output column (per row for the embedding), stored as int8 and multiplied out by
the runtime when the session starts. Activations stay fp32, so that a reward depends on its own row alone;
`DynamicQuantizeLinear` takes one scale over the whole batch and lets neighbours and padding move a reward.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from funprm_worker.errors import WorkerError
from funprm_worker.model import RewardModel

OPSET = 17


class _Graph:
    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.count = 0

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        self.count += 1
        name = f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, array: np.ndarray, name: str) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, *values: int) -> str:
        self.count += 1
        return self.constant(np.array(values, dtype=np.int64), f"ints_{self.count}")

    def number(self, value: float) -> str:
        self.count += 1
        return self.constant(np.array(value, dtype=np.float32), f"number_{self.count}")

    def matrix(self, array: np.ndarray, name: str, axis: int) -> str:
        """A weight matrix; `axis` is the one that the int8 scales reduce over."""
        if not self.int8:
            return self.constant(array.astype(np.float32), name)
        values, scale = quantise(array, axis)
        stored = self.constant(values, name)
        return self.op("Mul", self.op("Cast", stored, to=TensorProto.FLOAT), self.constant(scale, f"{name}_scale"))


def quantise(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8: values in [-127, 127] and fp32 scales kept along the other axis."""
    scale = np.abs(array).max(axis=axis, keepdims=True).astype(np.float32) / np.float32(127)
    scale[scale == 0] = 1
    return np.clip(np.rint(array / scale), -127, 127).astype(np.int8), scale


def round_weights(model: RewardModel) -> None:
    """Replaces, in place, every matrix by the value that the int8 graph computes with."""
    matrices = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Embedding)}
    with torch.no_grad():
        for parameter in model.parameters():
            if id(parameter) in matrices:
                # Linear weights are stored [out, in] here and [in, out] in the graph: the same rows share a scale.
                values, scale = quantise(parameter.numpy(), 1)
                parameter.copy_(torch.from_numpy(values.astype(np.float32) * scale))


def write_onnx(model: RewardModel, path: Path, *, int8: bool) -> None:
    """Writes `path`. Raises `WorkerError("bad_bundle")` for an architecture that is not Qwen2 with full attention."""
    config = model.config
    if config.model_type != "qwen2" or any(kind != "full_attention" for kind in config.layer_types):
        raise WorkerError("bad_bundle", f"ONNX export knows qwen2 with full attention, not {config.model_type}")
    weights = {name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()}
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    size = config.hidden_size // heads
    g = _Graph(int8)

    def linear(x: str, name: str) -> str:
        y = g.op("MatMul", x, g.matrix(weights[f"{name}.weight"].T, f"{name}.weight", 0))
        bias = weights.get(f"{name}.bias")
        return y if bias is None else g.op("Add", y, g.constant(bias.astype(np.float32), f"{name}.bias"))

    def norm(x: str, name: str) -> str:
        mean = g.op("ReduceMean", g.op("Mul", x, x), axes=[-1], keepdims=1)
        root = g.op("Sqrt", g.op("Add", mean, g.number(config.rms_norm_eps)))
        return g.op("Mul", g.op("Div", x, root), g.constant(weights[f"{name}.weight"], f"{name}.weight"))

    def split_heads(x: str, n: int) -> str:
        shaped = g.op("Reshape", x, g.integers(0, 0, n, size))
        return g.op("Transpose", shaped, perm=[0, 2, 1, 3])

    def rotate(x: str) -> str:
        half = g.integers(size // 2)
        left = g.op("Slice", x, g.integers(0), half, g.integers(3))
        right = g.op("Slice", x, half, g.integers(size), g.integers(3))
        turned = g.op("Concat", g.op("Neg", right), left, axis=-1)
        return g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin))

    def repeat(x: str) -> str:
        if kv_heads == heads:
            return x
        grouped = g.op("Unsqueeze", x, g.integers(2))
        wide = g.op("Tile", grouped, g.integers(1, 1, heads // kv_heads, 1, 1))
        shape = g.op("Concat", g.integers(0), g.integers(heads), seq_1d, g.integers(size), axis=0)
        return g.op("Reshape", wide, shape)

    seq_1d = g.op("Shape", "input_ids", start=1, end=2)
    seq = g.op("Squeeze", seq_1d, g.integers(0))
    zero = g.constant(np.array(0, dtype=np.int64), "zero")
    one = g.constant(np.array(1, dtype=np.int64), "one")
    positions = g.op("Range", zero, seq, one)
    column = g.op("Unsqueeze", positions, g.integers(1))
    future = g.op("Less", column, g.op("Unsqueeze", positions, g.integers(0)))
    mask = g.op("Where", future, g.number(-1e9), g.number(0.0))

    theta = config.rope_parameters["rope_theta"]
    frequency = 1.0 / (theta ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size)))
    both = g.constant(np.concatenate([frequency, frequency]).astype(np.float32)[None, :], "rope_frequency")
    angle = g.op("Mul", g.op("Cast", column, to=TensorProto.FLOAT), both)
    cos, sin = g.op("Cos", angle), g.op("Sin", angle)

    x = g.op(
        "Gather", g.matrix(weights["backbone.embed_tokens.weight"], "backbone.embed_tokens.weight", 1), "input_ids"
    )
    for layer in range(config.num_hidden_layers):
        at = f"backbone.layers.{layer}"
        h = norm(x, f"{at}.input_layernorm")
        q = rotate(split_heads(linear(h, f"{at}.self_attn.q_proj"), heads))
        k = repeat(rotate(split_heads(linear(h, f"{at}.self_attn.k_proj"), kv_heads)))
        v = repeat(split_heads(linear(h, f"{at}.self_attn.v_proj"), kv_heads))
        scaled = g.op("Mul", q, g.number(size**-0.5))
        scores = g.op("Add", g.op("MatMul", scaled, g.op("Transpose", k, perm=[0, 1, 3, 2])), mask)
        context = g.op("MatMul", g.op("Softmax", scores, axis=-1), v)
        merged = g.op("Reshape", g.op("Transpose", context, perm=[0, 2, 1, 3]), g.integers(0, 0, heads * size))
        x = g.op("Add", x, linear(merged, f"{at}.self_attn.o_proj"))
        h = norm(x, f"{at}.post_attention_layernorm")
        gate = linear(h, f"{at}.mlp.gate_proj")
        silu = g.op("Mul", gate, g.op("Sigmoid", gate))
        x = g.op("Add", x, linear(g.op("Mul", silu, linear(h, f"{at}.mlp.up_proj")), f"{at}.mlp.down_proj"))
    logits = g.op("Squeeze", linear(norm(x, "backbone.norm"), "head"), g.integers(2))
    g.nodes.append(helper.make_node("Sigmoid", [logits], ["rewards"]))

    axes = ["batch", "seq"]
    graph = helper.make_graph(
        g.nodes,
        "funprm",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, axes)],
        [helper.make_tensor_value_info("rewards", TensorProto.FLOAT, axes)],
        g.constants,
    )
    # IR 8 goes with opset 17: the lowest that holds every operator used, so that older runtimes load it too.
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, str(path))
