"""Writes the tokenizer of this folder and what the Rust library and transformers make of some texts (cases.json).

    python test/model/tokenizer/make.py

Built as Qwen's: NFC, Qwen2's split pattern, byte-level BPE; trained on a few sentences, so that it stays small.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).resolve().parent
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SENTENCES = [
    "Classify the text. Answer with one of these words: yes, no, spam, ham.\n\nText:\nThe quick brown fox\n\nAnswer: yes",
    "Does the evidence support the claim? Answer: no. Does the candidate fit the query? Answer: yes. Answer: spam",
    "yes no spam ham only: yes\nno\nspam\nGrüße aus München, naïve café, 日本語のテキスト",
]
CHAT = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
TEXTS = [
    "yes", " yes", "Answer: yes", "Answer: ", "  two  spaces  ", "tab\tand\r\nline\n\n\nends\n", "don't WE'LL I'M they'd",
    "2026 costs 1,234.50", "Grüße, naïve café", "nai\u0308ve cafe\u0301 (decomposed)", "日本語のテキスト", "👩‍👩‍👧 family, 🇩🇪 flag", "مرحبا",
    "zero\u200bwidth\u00a0nbsp\u3000wide", "<|im_start|>user\nhi<|im_end|>\n", "<think>\n\n</think>\n\n", "a<|endoftext|>b", "<|im_sta", "\u0000\u0007",
]


def train() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 50, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    return tokenizer


def main() -> None:
    tokenizer = train()
    tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)
    config = {
        "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
        "chat_template": CHAT, "clean_up_tokenization_spaces": False, "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    fast = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "spam?\nyes or no"}]
    cases = {
        "texts": [{"text": text, "tokens": fast(text)["input_ids"], "decoded": fast.decode(fast(text)["input_ids"])} for text in TEXTS],
        "messages": messages,
        "chat": fast.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False, tokenize=False),
    }
    (FOLDER / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


main()
