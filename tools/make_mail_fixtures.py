"""Writes the fixtures of the demo model, models/spam-mail:

    python tools/make_mail_fixtures.py

test/fixtures/spam-mail/cases.json: held-out mails with the rendered prompt, its token ids and the logits of the labels
and of other candidates at the last position (Hugging Face transformers, float32, CPU, eager attention), as base64 of
little-endian float32 in the order of "candidates".

test/fixtures/tokenizer/cases.json: strings with their token ids.
"""

import hashlib
import json
import random

import torch
import transformers
from evaluate_demo_model import FOLDER, held_out, label_ids, render
from make_fixtures import FIXTURES, SMALLEST_GAP, encode_logits, last_logits, load, write_cases
from transformers import AutoTokenizer, PreTrainedTokenizerFast

MAILS = 24
OTHER_CANDIDATES = 64
DRAWN_STRINGS = 160

WRITTEN_STRINGS = [
    "", " ", "  ", "\n", "\n\n", "\r\n", "\t", " \n \n ", "a", " a", "a ", "a b", "  a  b  ", "Answer:", " spam", " ham",
    "spam", "ham", "Spam HAM", "I'm, you're, it's, they'LL, we'd, WE'VE, don't", "'s 't 're", "’s curly", "1234567890",
    "3.14159 1,000,000 $19.99 100%", "x" * 300, " " * 200, "a" + " " * 50 + "b", "\n" * 40, "-" * 80, "!?" * 30,
    "http://www.example.com/a?b=c&d=%20e#f", "someone@example.com", "<html><body>&nbsp;&amp;</body></html>",
    "naïve café résumé", "nai\u0308ve cafe\u0301 re\u0301sume\u0301", "Ångström A\u030angstro\u0308m", "ﬁne ﬂow", "Straße",
    "Ελληνικά", "Русский язык", "עברית", "العربية", "हिन्दी", "ไทย", "한국어 메일", "\u1112\u1161\u11ab", "中文邮件", "日本語のメール",
    "ｆｕｌｌ　ｗｉｄｔｈ", "🙂", "👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪", "a🙂b 🙂 c", "\u200b\u200d\ufeff", "\u00a0non\u00a0breaking", "\u2028line\u2029",
    "\x00\x01\x07\x1b[0m\x7f", "tab\tand\tnewline\nand\rreturn", "\x85\x0b\x0c", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "१२३ ٣٤٥ ⅷ ½ ²", "…—–“”‘’«»", "€£¥₹",
    "<|endoftext|>", "a<|endoftext|>b", "<|im_start|>user\nhi<|im_end|>", "{{ text }} {% if x %}", "Ġ Ċ ĉ",
    "Subject: Re: [ILUG] test\n\nOn Mon, someone wrote:\n> quoted\n>> twice\n\n-- \nsignature",
]  # fmt: skip


def by_hash(mails: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(mails, key=lambda m: hashlib.sha256(m["id"].encode()).hexdigest())


def choose_mails(mails: list[dict[str, str]]) -> list[dict[str, str]]:
    """The shortest and the longest mail of each label, the others in the order of a hash, as many of each label."""
    chosen = []
    for label in ("ham", "spam"):
        of = sorted((m for m in mails if m["label"] == label), key=lambda m: (len(m["text"].encode()), m["id"]))
        ends = [of[0], of[-1]]
        chosen += ends + [m for m in by_hash(of) if m not in ends][: MAILS // 2 - 2]
    return chosen


def mail_cases(tokenizer: PreTrainedTokenizerFast) -> None:
    model = load(FOLDER)
    labels = label_ids(tokenizer)
    step = model.config.vocab_size // OTHER_CANDIDATES
    others = [i for i in range(step // 2, model.config.vocab_size, step) if i not in labels.values()]
    candidates = [*labels.values(), *others]
    cases = []
    for mail in choose_mails(held_out(FOLDER)):
        prompt = render(FOLDER, mail["text"])
        tokens = tokenizer.encode(prompt)
        logits, gap, _ = last_logits(model, tokens)
        cases.append(
            {"name": mail["id"], "label": mail["label"], "prompt": prompt, "tokens": tokens,
             "logits": encode_logits(logits[candidates])}
        )  # fmt: skip
        if gap <= SMALLEST_GAP:
            print(f"{mail['id']}: a token's k-th and next expert are nearly tied ({gap:.1e})")
    head = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
        "source": "tools/make_mail_fixtures.py: Qwen3MoeForCausalLM, float32, CPU, eager attention",
        "model": "models/spam-mail",
        "labels": labels,
        "candidates": candidates,
    }
    folder = FIXTURES / "spam-mail"
    folder.mkdir(parents=True, exist_ok=True)
    write_cases(folder / "cases.json", head, cases)


def drawn_strings(mails: list[dict[str, str]]) -> list[str]:
    """Pieces of mails, and strings of characters drawn from several ranges of Unicode."""
    rng = random.Random(11)
    ranges = [(32, 126), (9, 13), (160, 591), (768, 879), (1024, 1279), (0x4E00, 0x4E80), (0x1F600, 0x1F640), (0x2000, 0x206F)]
    strings = []
    for _ in range(DRAWN_STRINGS // 2):
        text = rng.choice(mails)["text"]
        start = rng.randrange(len(text))
        strings.append(text[start : start + rng.randint(1, 120)])
        strings.append("".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 24))))
    return strings


def tokenizer_cases(tokenizer: PreTrainedTokenizerFast) -> None:
    strings = WRITTEN_STRINGS + drawn_strings(by_hash(held_out(FOLDER)))
    cases = [{"text": text, "tokens": tokenizer.encode(text)} for text in strings]
    head = {
        "transformers": transformers.__version__,
        "source": "tools/make_mail_fixtures.py: AutoTokenizer, encode",
        "model": "models/spam-mail",
    }
    folder = FIXTURES / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    write_cases(folder / "cases.json", head, cases)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    fast = AutoTokenizer.from_pretrained(FOLDER)
    tokenizer_cases(fast)
    mail_cases(fast)
    for name in ("spam-mail", "tokenizer"):
        print(name, (FIXTURES / name / "cases.json").stat().st_size, "bytes")
