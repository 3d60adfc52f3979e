"""Writes tiny random Qwen3-MoE checkpoints with the logits that Hugging Face transformers computes for them.

    python tools/make_fixtures.py [name ...]

test/fixtures/NAME/ holds config.json, the weights and cases.json:
    {"transformers": version, "source": ..., "cases": [{"name", "tokens": [...], "logits": base64}]}
`logits` are the last position's over the whole vocabulary, little-endian float32, computed in float32 on the CPU with
eager attention from the stored (rounded) weights.

Weights are large and norms away from 1, so that every feature shows: each fixture names config changes that must move
the logits. Prompts are drawn until no token's k-th and (k+1)-th router probability are nearly the same, so that a
correct engine never has to guess which expert was meant.

Two layouts of the experts' weights exist (transformers 5.23, conversion_mapping.py "qwen2_moe" and Qwen3MoeExperts):
    transformers 4, and transformers 5 unless the checkpoint it had loaded was fused, one tensor a projection and expert:
        model.layers.L.mlp.experts.E.gate_proj.weight [I, H]
        model.layers.L.mlp.experts.E.up_proj.weight   [I, H]
        model.layers.L.mlp.experts.E.down_proj.weight [H, I]
    transformers 5 in memory (and in files, as said), one tensor for all experts of a layer, without ".weight":
        model.layers.L.mlp.experts.gate_up_proj [E, 2*I, H]   rows 0..I-1 are the gate, rows I..2I-1 the up projection
        model.layers.L.mlp.experts.down_proj    [E, H, I]
The router is model.layers.L.mlp.gate.weight [E, H] in both.
"""

import base64
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen3MoeForCausalLM
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter

FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
SMALLEST_GAP = 1e-4  # between the k-th and the next router probability, relative
SMALLEST_EFFECT = 0.02  # of a config change that must matter, on some logit

Config = dict[str, object]
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Fixture:
    config: Config
    dtype: torch.dtype
    lengths: list[int]
    must_matter: list[Config] = field(default_factory=list)
    shards: int = 1
    fused: bool = False
    seed: int = 1
    shape_weights: Callable[[Tensors], None] = lambda tensors: None


def config4(**changes: object) -> Config:
    """config.json as transformers 4 writes it."""
    return {
        "architectures": ["Qwen3MoeForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "decoder_sparse_step": 1,
        "eos_token_id": 0,
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 2048,
        "max_window_layers": 2,
        "mlp_only_layers": [],
        "model_type": "qwen3_moe",
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
        "num_attention_heads": 4,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "output_router_logits": False,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "router_aux_loss_coef": 0.001,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "transformers_version": "4.57.6",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 200,
    } | changes


def config5(rope: Config, **changes: object) -> Config:
    """config.json as transformers 5 writes it.

    rope_parameters for rope_theta and rope_scaling, dtype for torch_dtype, num_local_experts for num_experts.
    """
    config = config4(**changes)
    for name in ("rope_theta", "rope_scaling", "torch_dtype", "max_window_layers"):
        config.pop(name)
    return config | {
        "bos_token_id": None,
        "dtype": "bfloat16",
        "num_local_experts": config.pop("num_experts"),
        "pad_token_id": None,
        "rope_parameters": rope,
        "transformers_version": transformers.__version__,
    }


def is_sparse(config: Config, layer: int) -> bool:
    return layer not in config["mlp_only_layers"] and (layer + 1) % config["decoder_sparse_step"] == 0


def draw_weights(config: Config, seed: int, fused: bool) -> Tensors:
    """Random float32 weights under checkpoint names: products keep their scale, norms lie in 0.5 to 1.5."""
    random = torch.Generator().manual_seed(seed)
    hidden, vocab, width = config["hidden_size"], config["vocab_size"], config["moe_intermediate_size"]
    head_dim = config.get("head_dim") or hidden // config["num_attention_heads"]
    tensors: Tensors = {}

    def matrix(name: str, *shape: int, gain: float = 1.3) -> None:
        tensors[name] = torch.randn(*shape, generator=random) * gain / shape[-1] ** 0.5

    def norm(name: str, size: int) -> None:
        tensors[name] = 0.5 + torch.rand(size, generator=random)

    tensors["model.embed_tokens.weight"] = torch.randn(vocab, hidden, generator=random)
    for layer in range(config["num_hidden_layers"]):
        stem = f"model.layers.{layer}."
        norm(stem + "input_layernorm.weight", hidden)
        norm(stem + "post_attention_layernorm.weight", hidden)
        for part in "qkvo":
            heads = config["num_key_value_heads" if part in "kv" else "num_attention_heads"] * head_dim
            shape = (hidden, heads) if part == "o" else (heads, hidden)
            matrix(f"{stem}self_attn.{part}_proj.weight", *shape)
            if config["attention_bias"]:
                tensors[f"{stem}self_attn.{part}_proj.bias"] = 0.4 * torch.randn(shape[0], generator=random)
        norm(stem + "self_attn.q_norm.weight", head_dim)
        norm(stem + "self_attn.k_norm.weight", head_dim)
        if not is_sparse(config, layer):
            dense = config["intermediate_size"]
            matrix(stem + "mlp.gate_proj.weight", dense, hidden)
            matrix(stem + "mlp.up_proj.weight", dense, hidden)
            matrix(stem + "mlp.down_proj.weight", hidden, dense)
            continue
        experts = config.get("num_experts") or config["num_local_experts"]
        matrix(stem + "mlp.gate.weight", experts, hidden, gain=1.6)
        if fused:
            matrix(stem + "mlp.experts.gate_up_proj", experts, 2 * width, hidden)
            matrix(stem + "mlp.experts.down_proj", experts, hidden, width)
            continue
        for expert in range(experts):
            matrix(f"{stem}mlp.experts.{expert}.gate_proj.weight", width, hidden)
            matrix(f"{stem}mlp.experts.{expert}.up_proj.weight", width, hidden)
            matrix(f"{stem}mlp.experts.{expert}.down_proj.weight", hidden, width)
    norm("model.norm.weight", hidden)
    if not config["tie_word_embeddings"]:
        matrix("lm_head.weight", vocab, hidden, gain=2.0)
    return tensors


def heat_experts(tensors: Tensors) -> None:
    """All embeddings share a direction; the routers send it to expert 5, mostly with 2, and away from 0, 4 and 7."""
    hidden = tensors["model.embed_tokens.weight"].shape[1]
    direction = torch.randn(hidden, generator=torch.Generator().manual_seed(99))
    direction *= hidden**0.5 / direction.norm()
    tensors["model.embed_tokens.weight"] += 4 * direction
    for name, weight in tensors.items():
        if name.endswith("mlp.gate.weight"):
            weight *= 0.5
            for expert, pull in {5: 6.0, 2: 1.0, 0: -6.0, 4: -6.0, 7: -6.0}.items():
                weight[expert] += pull / hidden * direction
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight *= 0.6


def save_checkpoint(folder: Path, config: Config, tensors: Tensors, shards: int) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if shards == 1:
        save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return
    # Dealt out in turn, so that the tensors of one expert lie in different files.
    names = list(tensors)
    where: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        own = {name: tensors[name] for name in names[shard::shards]}
        where |= dict.fromkeys(own, file)
        save_file(own, str(folder / file), metadata={"format": "pt"})
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(where.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def load(folder: Path, **changes: object) -> Qwen3MoeForCausalLM:
    model, info = Qwen3MoeForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **changes
    )
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]), info
    return model.eval()


@torch.no_grad()
def last_logits(model: Qwen3MoeForCausalLM, tokens: list[int]) -> tuple[Tensor, float, Tensor]:
    """The last position's logits, the smallest relative router gap of any token, and how often each expert was used."""
    config = model.config
    gaps = [float("inf")]
    used = torch.zeros(config.num_experts, dtype=torch.long)

    def watch(_module: object, _inputs: object, output: tuple[Tensor, ...]) -> None:
        ordered = output[0].double().softmax(-1).sort(-1, descending=True)
        kth, following = (ordered.values[:, config.num_experts_per_tok - 1 + i] for i in (0, 1))
        gaps.append(float(((kth - following) / kth).min()))
        used.add_(torch.bincount(output[2].flatten(), minlength=config.num_experts))

    hooks = [m.register_forward_hook(watch) for m in model.modules() if isinstance(m, Qwen3MoeTopKRouter)]
    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].float()
    for hook in hooks:
        hook.remove()
    return logits, min(gaps), used


def encode_logits(logits: Tensor) -> str:
    return base64.b64encode(logits.numpy().astype("<f4").tobytes()).decode()


def make_case(model: Qwen3MoeForCausalLM, length: int) -> tuple[dict[str, object], Tensor]:
    for attempt in range(200):
        random = torch.Generator().manual_seed(1000 * length + attempt)
        tokens = torch.randint(0, model.config.vocab_size, (length,), generator=random).tolist()
        logits, gap, used = last_logits(model, tokens)
        if gap > SMALLEST_GAP:
            name = f"{length} token{'s' if length > 1 else ''}"
            return {"name": name, "tokens": tokens, "logits": encode_logits(logits)}, used
    raise RuntimeError(f"no prompt of {length} tokens without near ties: take another seed")


def check_effects(folder: Path, fixture: Fixture, cases: list[dict[str, object]]) -> None:
    for change in fixture.must_matter:
        other = load(folder, **change)
        effect = 0.0
        for case in cases:
            expected = torch.frombuffer(bytearray(base64.b64decode(case["logits"])), dtype=torch.float32)
            effect = max(effect, float((last_logits(other, case["tokens"])[0] - expected).abs().max()))
        print(f"  {change} moves a logit by {effect:.3f}")
        assert effect > SMALLEST_EFFECT, f"{change} does not matter"


def write_cases(path: Path, head: dict[str, object], cases: list[dict[str, object]]) -> None:
    """One case a line."""
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    opening = json.dumps(head, ensure_ascii=False)[:-1]
    path.write_text(f'{opening}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")


def make(name: str, fixture: Fixture) -> None:
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tensors = draw_weights(fixture.config, fixture.seed, fixture.fused)
    fixture.shape_weights(tensors)
    save_checkpoint(folder, fixture.config, {n: t.to(fixture.dtype) for n, t in tensors.items()}, fixture.shards)
    model = load(folder)
    made = [make_case(model, length) for length in fixture.lengths]
    cases = [case for case, _ in made]
    head = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
        "source": "tools/make_fixtures.py: Qwen3MoeForCausalLM, float32, CPU, eager attention",
    }
    write_cases(folder / "cases.json", head, cases)
    logits = last_logits(model, cases[-1]["tokens"])[0]
    used = sum(u for _, u in made)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {size} bytes, logits std {logits.std():.2f}, experts' tokens {used.tolist()}")
    check_effects(folder, fixture, cases)


DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
YARN_MSCALE = YARN | {
    "rope_theta": 20000.0, "beta_fast": 16.0, "beta_slow": 2.0,
    "mscale": 1.5, "mscale_all_dim": 0.5, "truncate": False,
}  # fmt: skip
# An attention_factor that is given wins over mscale.
YARN_FACTOR = YARN | {"rope_theta": 20000.0, "attention_factor": 0.8, "mscale": 1.5, "mscale_all_dim": 0.5}


def without(rope: Config, *names: str) -> Config:
    return {name: value for name, value in rope.items() if name not in names}


ALL_LENGTHS = [1, 2, 15, 16, 17, 31, 33, 127, 128, 300, 1000, 2000]
SOME_LENGTHS = [1, 2, 16, 17, 33, 128, 300]
BF16 = {"torch_dtype": "bfloat16"}

CATALOGUE = {
    "base-f32": Fixture(
        config4(num_hidden_layers=3, rope_theta=1000000.0, vocab_size=256),
        torch.float32, ALL_LENGTHS, [{"norm_topk_prob": False}, {"num_experts_per_tok": 3}],
    ),
    "tied-f16": Fixture(
        config4(
            hidden_size=40, moe_intermediate_size=24, head_dim=24, num_attention_heads=3, num_key_value_heads=1,
            num_experts=10, num_experts_per_tok=3, norm_topk_prob=False, tie_word_embeddings=True, vocab_size=151,
            torch_dtype="float16",
        ),
        torch.float16, SOME_LENGTHS, [{"norm_topk_prob": True}],
    ),
    "sharded-bf16": Fixture(
        without(config4(
            hidden_size=64, moe_intermediate_size=48, num_experts=7, attention_bias=True, vocab_size=160, **BF16,
        ), "head_dim"),  # head_dim is then hidden_size / num_attention_heads
        torch.bfloat16, SOME_LENGTHS, [{"norm_topk_prob": False}], shards=3,
    ),
    "mixed-layers": Fixture(
        # Dense: 0, 2 and 4 by the step, 1 by the list. Sparse: 3 and 5.
        config4(
            hidden_size=48, num_hidden_layers=6, decoder_sparse_step=2, mlp_only_layers=[1], intermediate_size=80, **BF16,
        ),
        torch.bfloat16, SOME_LENGTHS, [{"norm_topk_prob": False}],
    ),
    "fused-v5": Fixture(
        config5(DEFAULT_ROPE, hidden_size=48, num_experts=6, num_hidden_layers=3),
        torch.bfloat16, SOME_LENGTHS, [{"norm_topk_prob": False}], fused=True,
    ),
    "rope-linear": Fixture(
        config4(rope_scaling={"type": "linear", "factor": 2.0}, **BF16),
        torch.bfloat16, [2, 17, 300, 1000], [{"rope_parameters": DEFAULT_ROPE}],
    ),
    "rope-yarn": Fixture(
        config4(rope_scaling=YARN, head_dim=32, **BF16),
        torch.bfloat16, [2, 17, 300, 1000, 2000],
        [{"rope_parameters": DEFAULT_ROPE}, {"rope_parameters": YARN | {"rope_theta": 10000.0, "attention_factor": 1.0}}],
    ),
    "rope-yarn-mscale": Fixture(
        config5(YARN_MSCALE, head_dim=32),
        torch.bfloat16, [2, 17, 300, 1000, 2000],
        [{"rope_parameters": without(YARN_MSCALE, name)} for name in ("mscale", "beta_fast", "beta_slow", "truncate")],
    ),
    "rope-yarn-factor": Fixture(
        config5(YARN_FACTOR, head_dim=32),
        torch.bfloat16, [2, 17, 300, 1000, 2000], [{"rope_parameters": without(YARN_FACTOR, "attention_factor")}],
    ),
    "head-dim-128": Fixture(
        config4(hidden_size=64, head_dim=128, num_attention_heads=2, num_key_value_heads=1, num_experts=4, **BF16),
        torch.bfloat16, SOME_LENGTHS, [{"rope_parameters": DEFAULT_ROPE | {"rope_theta": 500.0}}],
    ),
    "one-expert-hot": Fixture(
        config4(hidden_size=48, **BF16), torch.bfloat16, SOME_LENGTHS, shape_weights=heat_experts,
    ),
}  # fmt: skip

if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for wanted in sys.argv[1:] or CATALOGUE:
        make(wanted, CATALOGUE[wanted])
