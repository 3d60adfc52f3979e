"""Qwen3-MoE in plain PyTorch, for training on a CPU: the arithmetic of transformers' Qwen3MoeForCausalLM.

Sequences of a batch are padded on the right; with causal attention the padding cannot reach a real token, so no mask.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    vocab_size: int = 4096
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    num_experts: int = 16
    num_experts_per_tok: int = 2
    moe_intermediate_size: int = 96
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


def rotary_tables(shape: Shape, tokens: int) -> tuple[Tensor, Tensor]:
    inv_freq = 1.0 / (shape.rope_theta ** (torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim))
    angles = torch.arange(tokens, dtype=torch.float32)[:, None] * inv_freq
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.q_proj = nn.Linear(s.hidden_size, s.num_attention_heads * s.head_dim, bias=False)
        self.k_proj = nn.Linear(s.hidden_size, s.num_key_value_heads * s.head_dim, bias=False)
        self.v_proj = nn.Linear(s.hidden_size, s.num_key_value_heads * s.head_dim, bias=False)
        self.o_proj = nn.Linear(s.num_attention_heads * s.head_dim, s.hidden_size, bias=False)
        self.q_norm = RMSNorm(s.head_dim, s.rms_norm_eps)
        self.k_norm = RMSNorm(s.head_dim, s.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        heads = (batch, tokens, -1, self.s.head_dim)
        q = rotate(self.q_norm(self.q_proj(x).view(heads)).transpose(1, 2), cos, sin)
        k = rotate(self.k_norm(self.k_proj(x).view(heads)).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(heads).transpose(1, 2)
        group = self.s.num_attention_heads // self.s.num_key_value_heads
        # The query heads of a group stand below each other. Plain products: at these lengths faster than PyTorch's
        # flash attention on a CPU, whose backward pass took a third of a step.
        stacked = (q * self.s.head_dim**-0.5).reshape(batch, -1, group * tokens, self.s.head_dim)
        future = torch.full((tokens, tokens), float("-inf")).triu(1).repeat(group, 1)
        mixed = torch.softmax(stacked @ k.transpose(2, 3) + future, dim=-1) @ v
        mixed = mixed.view(batch, -1, tokens, self.s.head_dim)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))


class Experts(nn.Module):
    """Router and experts of one layer. `shares` and `probability` are of the last call, for the balance loss."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.gate = nn.Linear(s.hidden_size, s.num_experts, bias=False)
        self.gate_up = nn.Parameter(torch.empty(s.num_experts, 2 * s.moe_intermediate_size, s.hidden_size))
        self.down = nn.Parameter(torch.empty(s.num_experts, s.hidden_size, s.moe_intermediate_size))
        self.shares = torch.zeros(s.num_experts)
        self.probability = torch.zeros(s.num_experts)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        probs = F.softmax(self.gate(flat).float(), dim=-1)
        weight, expert = probs.topk(self.s.num_experts_per_tok, dim=-1)
        weight = (weight / weight.sum(-1, keepdim=True))
        chosen, order = expert.flatten().sort(stable=True)
        token = order // self.s.num_experts_per_tok
        counts = torch.bincount(chosen, minlength=self.s.num_experts).tolist()
        # unbind, not indexing: the gradient of an index is a whole tensor of zeros for every expert.
        outputs = []
        groups = flat.index_select(0, token).split(counts)
        for rows, gate_up, down in zip(groups, self.gate_up.unbind(), self.down.unbind(), strict=True):
            gate, up = F.linear(rows, gate_up).chunk(2, dim=-1)
            outputs.append(F.linear(F.silu(gate) * up, down))
        scaled = torch.cat(outputs) * weight.flatten()[order, None]
        keep = real.flatten()
        self.shares = torch.bincount(expert[keep].flatten(), minlength=self.s.num_experts) / max(1, int(keep.sum()))
        self.probability = probs[keep].mean(0)
        return torch.zeros_like(flat).index_add_(0, token, scaled).view_as(x)

    def balance_loss(self) -> Tensor:
        """Switch Transformer's: experts * sum(share * probability), k when the load is even."""
        return self.s.num_experts * (self.shares * self.probability).sum()


class Layer(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(s.hidden_size, s.rms_norm_eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = RMSNorm(s.hidden_size, s.rms_norm_eps)
        self.mlp = Experts(s)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, real: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x), real)


class TinyMoe(nn.Module):
    """Embedding, layers and final norm; the embedding is the output projection too (tied)."""

    def __init__(self, s: Shape, dropout: float) -> None:
        super().__init__()
        self.s = s
        self.dropout = dropout
        self.embed_tokens = nn.Embedding(s.vocab_size, s.hidden_size)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.num_hidden_layers))
        self.norm = RMSNorm(s.hidden_size, s.rms_norm_eps)
        cos, sin = rotary_tables(s, s.max_position_embeddings)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(("o_proj.weight", "down"))
                nn.init.normal_(parameter, std=0.04 / ((2 * s.num_hidden_layers) ** 0.5 if residual else 1.0))

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """tokens, real: [batch, tokens] -> normalised hidden states [batch, tokens, hidden]."""
        x = F.dropout(self.embed_tokens(tokens), self.dropout, self.training)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin, real)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embed_tokens.weight)

    def balance_loss(self) -> Tensor:
        return torch.stack([layer.mlp.balance_loss() for layer in self.layers]).mean()
