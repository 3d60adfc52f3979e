"""Writes the fixtures of the demo model, models/spam-mail:

    python tools/make_mail_fixtures.py

test/fixtures/spam-mail/cases.json: held-out mails with the rendered prompt, its token ids and the logits of the labels
and of other candidates at the last position (Hugging Face transformers, float32, CPU, eager attention), as base64 of
little-endian float32 in the order of "candidates". "routerGap" is the smallest relative distance of any token's k-th and
next router probability: an engine that computes in less than float32 may choose another expert at such a token.

test/fixtures/tokenizer/cases.json: strings with their token ids.
"""

import hashlib
import itertools
import random

import torch
import transformers
from evaluate_demo_model import FOLDER, held_out, label_ids, render
from make_fixtures import FIXTURES, encode_logits, last_logits, load, write_cases
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3MoeForCausalLM

Case = dict[str, object]

MAILS = 24
SMALLEST_MAIL_GAP = 2e-5  # relative, between the k-th and the next router probability of any token
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


def mail_case(model: Qwen3MoeForCausalLM, tokens: list[int], candidates: list[int], mail: dict[str, str]) -> Case | None:
    """None where some token's k-th and next expert are so nearly tied that rounding decides between them."""
    logits, gap, _ = last_logits(model, tokens)
    if gap <= SMALLEST_MAIL_GAP:
        return None
    case = {"name": mail["id"], "label": mail["label"], "prompt": render(FOLDER, mail["text"]), "tokens": tokens}
    return case | {"routerGap": float(f"{gap:.1e}"), "logits": encode_logits(logits[candidates])}


def mail_cases(tokenizer: PreTrainedTokenizerFast) -> None:
    """Of each label as many mails: the shortest, the longest, and others in the order of a hash."""
    model = load(FOLDER)
    labels = label_ids(tokenizer)
    step = model.config.vocab_size // OTHER_CANDIDATES
    others = [i for i in range(step // 2, model.config.vocab_size, step) if i not in labels.values()]
    candidates = [*labels.values(), *others]
    cases: dict[str, Case] = {}
    for label in labels:
        of = by_hash([m for m in held_out(FOLDER) if m["label"] == label])
        shortest = sorted(of, key=lambda m: len(m["text"].encode()))
        for order, count in ((shortest, 1), (shortest[::-1], 1), (of, MAILS // len(labels) - 2)):
            fresh = (m for m in order if m["id"] not in cases)
            made = (mail_case(model, tokenizer.encode(render(FOLDER, m["text"])), candidates, m) for m in fresh)
            cases |= {case["name"]: case for case in itertools.islice(filter(None, made), count)}
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
    write_cases(folder / "cases.json", head, list(cases.values()))


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
