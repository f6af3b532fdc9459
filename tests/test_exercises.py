"""Answers that learners give: the wrong ones fail, with a cause that is true, and the right ones pass in whatever style.

The known mistakes of the table are not repeated here; test_course.py goes through them.
"""

import inspect
import json
import math
import pickletools
import re
import statistics
import struct
import zipfile
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from tinybert.auto import AutoModel
from tinybert.check import EXERCISES, judge

WRONG, RIGHT = [], []


def wrong(what: str, says: str | None = None):
    "Note a wrong answer to the exercise of its name, and a part of its cause; None: the cause must be no known mistake, as it is none of them."
    return lambda function: WRONG.append(pytest.param(function, says, id=f"{function.__name__}: {what}"))


def right(what: str): return lambda function: RIGHT.append(pytest.param(function, id=f"{function.__name__}: {what}"))


@pytest.mark.parametrize("function, says", WRONG)
def test_wrong_answer_fails_and_its_cause_is_true(function, says):
    verdict = judge(function.__name__, EXERCISES[function.__name__], function)
    assert not verdict.passed
    if says is None: assert verdict.cause not in EXERCISES[function.__name__].mistakes, verdict
    else: assert says in verdict.cause, verdict


@pytest.mark.parametrize("function", RIGHT)
def test_right_answer_of_another_style_passes(function):
    assert (verdict := judge(function.__name__, EXERCISES[function.__name__], function)).passed, verdict


def test_every_exercise_has_answers_here():
    for answers in (WRONG, RIGHT): assert {case.values[0].__name__ for case in answers} == set(EXERCISES)


def test_inputs_are_small_enough_to_be_shown():
    for name, exercise in EXERCISES.items():  # the first of the inputs, which is what most wrong answers fail on
        text = re.sub(r"\n {12}", " ", judge(name, exercise, lambda *arguments: 1j).text)
        assert not re.search(r"tensor \([\d, ]+\) \w+(?! \[)\b$|…$", text, flags=re.M), text


# Lesson 01

def cosines(vectors, number):
    directions = F.normalize(vectors, dim=1)
    return directions @ directions[number]


@wrong("0 for itself", "the cosine 0")
def nearest(vectors, number):
    values = cosines(vectors, number)
    values[number] = 0
    return values.argmax().item()


@wrong("a loop that starts at 0", "the cosine 0")
def nearest(vectors, number):
    best, value = 0, 0
    for n, cosine in enumerate(cosines(vectors, number).tolist()):
        if n != number and cosine > value: best, value = n, cosine
    return best


@wrong("the second largest", "the second of the sorted")
def nearest(vectors, number): return cosines(vectors, number).argsort(descending=True, stable=True)[1].item()


@wrong("counts from 1")
def nearest(vectors, number):
    values = cosines(vectors, number)
    values[number] = -2
    return values.argmax().item() + 1


@wrong("columns of length 1")
def nearest(vectors, number):
    values = F.normalize(vectors, dim=0) @ F.normalize(vectors, dim=0)[number]
    values[number] = -2
    return values.argmax().item()


@wrong("the own row taken out", "counts the others alone")
def nearest(vectors, number):
    values = cosines(vectors, number)
    return torch.cat([values[:number], values[number + 1:]]).argmax().item()


@wrong("a constant")
def nearest(vectors, number): return 2


@wrong("a float", "expected int")
def nearest(vectors, number): return float(EXERCISES["nearest"].answer(vectors, number))


@right("a loop")
def nearest(vectors, number):
    return max((n for n in range(len(vectors)) if n != number), key=lambda n: F.cosine_similarity(vectors[n], vectors[number], dim=0).item())


def store(cache, name): return cache / ("models--" + name.replace("/", "--"))
def snapshot(cache, name): return store(cache, name) / "snapshots" / (store(cache, name) / "refs/main").read_text()
def listed(folder, paths): return sorted(path.relative_to(folder).as_posix() for path in paths)


@wrong("the last snapshot", "the last of the snapshots")
def snapshot_files(cache, name):
    folder = sorted((store(cache, name) / "snapshots").iterdir())[-1]
    return listed(folder, (path for path in folder.rglob("*") if path.is_file()))


@wrong("whichever snapshot comes first")
def snapshot_files(cache, name):
    folder = next((store(cache, name) / "snapshots").iterdir())
    return listed(folder, (path for path in folder.rglob("*") if path.is_file()))


@wrong("the newest folder", "refs/main")
def snapshot_files(cache, name):
    folder = max((store(cache, name) / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime)
    return listed(folder, (path for path in folder.rglob("*") if path.is_file()))


@wrong("only names with a dot", "'LICENSE'")
def snapshot_files(cache, name): return listed(snapshot(cache, name), snapshot(cache, name).rglob("*.*"))


@wrong("folders, too", "'1_Pooling'")
def snapshot_files(cache, name): return listed(snapshot(cache, name), snapshot(cache, name).rglob("*"))


@wrong("the order of paths", "sorts paths")
def snapshot_files(cache, name):
    return [path.relative_to(snapshot(cache, name)).as_posix() for path in sorted(snapshot(cache, name).rglob("*")) if path.is_file()]


@wrong("the blobs that the links lead to", "follows the links")
def snapshot_files(cache, name): return sorted(path.resolve().name for path in snapshot(cache, name).rglob("*") if path.is_file())


@right("what is no folder")
def snapshot_files(cache, name): return listed(snapshot(cache, name), (path for path in snapshot(cache, name).glob("**/*") if not path.is_dir()))


@wrong("the part anywhere", "anywhere in a name. encoder.pooler")
def count_in(state, part): return sum(tensor.numel() for name, tensor in state.items() if f".{part}." in f".{name}.")


@wrong("the letters anywhere", "letters of the part")
def count_in(state, part): return sum(tensor.numel() for name, tensor in state.items() if part in name)


@wrong("as many words as both have")
def count_in(state, part):
    return sum(tensor.numel() for name, tensor in state.items() if all(one == other for one, other in zip(name.split("."), part.split("."))))


@wrong("a dot that stands for any letter")
def count_in(state, part): return sum(tensor.numel() for name, tensor in state.items() if re.match(part + r"(\.|$)", name))


@wrong("the first tensor alone")
def count_in(state, part): return next((tensor.numel() for name, tensor in state.items() if f"{name}.".startswith(f"{part}.")), 0)


@right("words")
def count_in(state, part):
    words = part.split(".")
    return sum(math.prod(tensor.shape) for name, tensor in state.items() if name.split(".")[:len(words)] == words)


@wrong("the sum", "adds the vectors up")
def text_vectors(model, encoded_sequences): return model(torch.tensor(encoded_sequences)).last_hidden_state.sum(dim=1)


@wrong("3 tokens in every text")
def text_vectors(model, encoded_sequences): return model(torch.tensor(encoded_sequences)).last_hidden_state.sum(dim=1) / 3


@wrong("without the first token and the last")
def text_vectors(model, encoded_sequences): return model(torch.tensor(encoded_sequences)).last_hidden_state[:, 1:-1].mean(dim=1)


@right("text by text")
def text_vectors(model, encoded_sequences):
    with torch.inference_mode(): return torch.stack([model(torch.tensor([ids]))[0][0].mean(0) for ids in encoded_sequences])


# Lesson 02

@wrong("biases of widen", "The first has an output for each neuron")
def count_layer(width, neurons): return 4 * (width**2 + width) + 2 * width * neurons + 2 * width + 4 * width


@wrong("biases of narrow", "The second leads back")
def count_layer(width, neurons): return 4 * width * (width + 1) + 2 * neurons * (width + 1) + 4 * width


@wrong("^ for a power")
def count_layer(width, neurons): return 4 * (width ^ 2 + width) + 2 * width * neurons + neurons + width + 4 * width


@right("factors")
def count_layer(width, neurons): return 4 * width * (width + 1) + neurons * (width + 1) + width * (neurons + 1) + 4 * width


def normed(total, weight, bias, dim=-1, eps=1e-12, outside=0.):
    return (total - total.mean(dim, keepdim=True)) / ((total.var(dim, keepdim=True, correction=0) + eps).sqrt() + outside) * weight + bias


@wrong("the function that the task excludes", "without torch.nn.functional.layer_norm")
def add_and_normalise(vectors, change, weight, bias): return F.layer_norm(vectors + change, weight.shape, weight, bias, eps=1e-12)


@wrong("the module that calls it", "without torch.nn.functional.layer_norm")
def add_and_normalise(vectors, change, weight, bias): return torch.nn.LayerNorm(len(weight), eps=1e-12)(vectors + change) * weight + bias


@wrong("1e-5", "It adds 1e-5")
def add_and_normalise(vectors, change, weight, bias): return normed(vectors + change, weight, bias, eps=1e-5)


@wrong("1e-12 outside of the root", "to the root")
def add_and_normalise(vectors, change, weight, bias): return normed(vectors + change, weight, bias, eps=0., outside=1e-12)


@wrong("no change", "does not add the change")
def add_and_normalise(vectors, change, weight, bias): return normed(vectors, weight, bias)


@wrong("the first dimension", "first dimension")
def add_and_normalise(vectors, change, weight, bias): return normed(vectors + change, weight, bias, dim=0)


@wrong("the second dimension", "dim=1")
def add_and_normalise(vectors, change, weight, bias): return normed(vectors + change, weight, bias, dim=1)


@wrong("no keepdim", "keepdim=True")
def add_and_normalise(vectors, change, weight, bias):
    total = vectors + change
    return (total - total.mean(-1)) / (total.var(-1, correction=0) + 1e-12).sqrt() * weight + bias


@wrong("four numbers in every vector")
def add_and_normalise(vectors, change, weight, bias):
    total = vectors + change
    centred = total - total.sum(-1, keepdim=True) / 4
    return centred / (centred.square().sum(-1, keepdim=True) / 4 + 1e-12).sqrt() * weight + bias


@right("mean of squares minus square of mean")
def add_and_normalise(vectors, change, weight, bias):
    total = vectors + change
    mean = total.mean(-1, keepdim=True)
    return (total - mean) * torch.rsqrt(total.square().mean(-1, keepdim=True) - mean.square() + 1e-12) * weight + bias


def fits(query, key): return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


for filler in (-20., -100.):
    @wrong(f"{filler} for minus infinity")
    def masked_shares(query, key, mask, filler=filler): return fits(query, key).masked_fill(mask[:, None, None, :] == 0, filler).softmax(-1)


@wrong("0 times minus infinity", "which is nan")
def masked_shares(query, key, mask): return (fits(query, key) + (1 - mask[:, None, None, :]) * -math.inf).softmax(-1)


@wrong("a dimension too few", "texts meet heads")
def masked_shares(query, key, mask): return fits(query, key).masked_fill(mask[:, None] == 0, -math.inf).softmax(-1)


@wrong("two dimensions too few")
def masked_shares(query, key, mask): return fits(query, key).masked_fill(mask == 0, -math.inf).softmax(-1)


@wrong("rows of padding", "left as they come")
def masked_shares(query, key, mask): return fits(query, key).masked_fill(mask[:, None, None, :] == 0, -math.inf).softmax(-1) * mask[:, None, :, None]


@wrong("keys that ask", "lets the keys ask")
def masked_shares(query, key, mask): return fits(key, query).masked_fill(mask[:, None, None, :] == 0, -math.inf).softmax(-1)


for size in (1, 2):
    @wrong(f"the root of dimension {size}")
    def masked_shares(query, key, mask, size=size):
        return (query @ key.transpose(-2, -1) / math.sqrt(query.shape[size])).masked_fill(mask[:, None, None, :] == 0, -math.inf).softmax(-1)


for filler in (-1e4, -1e9):
    @right(f"{filler} for minus infinity")
    def masked_shares(query, key, mask, filler=filler): return (fits(query, key) + (1 - mask[:, None, None, :]) * filler).softmax(-1)


@right("the logarithm of the mask")
def masked_shares(query, key, mask): return (torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1]**-.5 + mask[:, None, None, :].log()).softmax(-1)


@right("torch's attention, with the identity for values")
def masked_shares(query, key, mask):
    eye = torch.eye(mask.shape[1]).expand(*query.shape[:2], -1, -1)
    return F.scaled_dot_product_attention(query, key, eye, attn_mask=mask[:, None, None, :].bool())


@wrong("head 0 throughout", "the part of head 0")
def change_by_head(collected, weight, head): return collected[:, 0] @ weight[:, :collected.shape[-1]].T


@wrong("a text", "takes a text")
def change_by_head(collected, weight, head):
    D = collected.shape[-1]
    return collected[head] @ weight[:, head * D:(head + 1) * D].T


@wrong("no transpose", "without transpose(1, 2)")
def change_by_head(collected, weight, head):
    B, H, T, D = collected.shape
    kept = torch.zeros_like(collected)
    kept[:, head] = collected[:, head]
    return kept.reshape(B, T, H * D) @ weight.T


@wrong("two numbers in every head")
def change_by_head(collected, weight, head): return collected[:, head] @ weight[:, head * 2:(head + 1) * 2].T


@wrong("the mean over the heads")
def change_by_head(collected, weight, head): return collected.transpose(1, 2).flatten(2) @ weight.T / collected.shape[1]


@right("the whole without the others")
def change_by_head(collected, weight, head):
    others = collected.clone()
    others[:, head] = 0
    return (collected - others).transpose(1, 2).flatten(2) @ weight.T


@right("einsum")
def change_by_head(collected, weight, head):
    return torch.einsum("btd,cd->btc", collected[:, head], weight.view(len(weight), collected.shape[1], -1)[:, head])


# Lesson 03

def header(path, remarks=False):
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
    return ({name: entry for name, entry in entries.items() if remarks or name != "__metadata__"}, 8 + length)


@wrong("the last tensor alone")
def count_numbers(path): return math.prod(list(header(path)[0].values())[-1]["shape"])


@wrong("remarks", "__metadata__")
def count_numbers(path): return sum(math.prod(entry["shape"]) for entry in header(path, remarks=True)[0].values())


@wrong("the size of the file", "divides the bytes by 4")
def count_numbers(path): return (path.stat().st_size - header(path)[1]) // 4


@right("a loop")
def count_numbers(path):
    total = 0
    for entry in header(path)[0].values():
        numbers = 1
        for size in entry["shape"]: numbers *= size
        total += numbers
    return total


for way, clamp in {"as it is": lambda missing: missing, "not below 0": lambda missing: max(0, missing)}.items():
    @wrong(f"the last entry, {way}", "the last entry")
    def bytes_missing(path, clamp=clamp): return clamp(header(path)[1] + list(header(path)[0].values())[-1]["data_offsets"][1] - path.stat().st_size)

    @wrong(f"no start, {way}", "before the numbers")
    def bytes_missing(path, clamp=clamp): return clamp(max(entry["data_offsets"][1] for entry in header(path)[0].values()) - path.stat().st_size)

    @wrong(f"no eight bytes, {way}", "eight bytes in front")
    def bytes_missing(path, clamp=clamp):
        return clamp(header(path)[1] - 8 + max(entry["data_offsets"][1] for entry in header(path)[0].values()) - path.stat().st_size)

    @wrong(f"the last of the alphabet, {way}")
    def bytes_missing(path, clamp=clamp): return clamp(header(path)[1] + header(path)[0][max(header(path)[0])]["data_offsets"][1] - path.stat().st_size)

    @wrong(f"4 bytes for a number, {way}", "counts 4 bytes")
    def bytes_missing(path, clamp=clamp):
        return clamp(header(path)[1] + 4 * sum(math.prod(entry["shape"]) for entry in header(path)[0].values()) - path.stat().st_size)

    @wrong(f"remarks, {way}", "__metadata__")
    def bytes_missing(path, clamp=clamp):
        return clamp(header(path)[1] + max(entry["data_offsets"][1] for entry in header(path, remarks=True)[0].values()) - path.stat().st_size)

    @right(f"lengths added up, {way}")
    def bytes_missing(path, clamp=clamp):
        sizes = [entry["data_offsets"][1] - entry["data_offsets"][0] for entry in header(path)[0].values()]
        return clamp(header(path)[1] + sum(sizes) - path.stat().st_size)


@wrong("a file that is filled up", "what the call does to its arguments")
def bytes_missing(path):
    missing = header(path)[1] + max(entry["data_offsets"][1] for entry in header(path)[0].values()) - path.stat().st_size
    with open(path, "ab") as file: file.write(bytes(missing))
    return missing


@wrong("a list of two", "makes a tuple")
def which_missing(file_keys, model_keys): return [sorted(set(model_keys) - set(file_keys)), sorted(set(file_keys) - set(model_keys))]


@wrong("list.sort()", "list.sort()")
def which_missing(file_keys, model_keys): return list(set(model_keys) - set(file_keys)).sort(), list(set(file_keys) - set(model_keys)).sort()


@right("lists")
def which_missing(file_keys, model_keys):
    return sorted(key for key in model_keys if key not in file_keys), sorted(key for key in file_keys if key not in model_keys)


def modern(state, prefix=lambda name: name.removeprefix("bert."), dropped="^embeddings.position_ids$", gamma=r"\.gamma$", beta=r"\.beta$"):
    names = {name: re.sub(beta, ".bias", re.sub(gamma, ".weight", prefix(name))) for name in state}
    return {new: state[name] for name, new in names.items() if not re.search(dropped, new)}


@wrong("all words anywhere", "wherever the words stand")
def modern_names(state):
    return {name.replace("bert.", "").replace("gamma", "weight").replace("beta", "bias"): tensor
            for name, tensor in state.items() if "position_ids" not in name}


@wrong("gamma and beta without a dot", "alphabeta stays")
def modern_names(state):
    return {re.sub("beta$", "bias", re.sub("gamma$", "weight", name.removeprefix("bert."))): tensor for name, tensor in state.items()
            if name.removeprefix("bert.") != "embeddings.position_ids"}


@wrong("gamma and beta after a dot, anywhere")
def modern_names(state): return modern(state, gamma=r"\.gamma", beta=r"\.beta")


@wrong("LayerNorm alone", "of LayerNorm alone")
def modern_names(state): return modern(state, gamma=r"(?<=LayerNorm)\.gamma$", beta=r"(?<=LayerNorm)\.beta$")


@wrong("four letters and whatever follows")
def modern_names(state): return modern(state, prefix=lambda name: name[5:] if name.startswith("bert") else name)


@wrong("what stands behind bert.")
def modern_names(state): return modern(state, prefix=lambda name: name.split("bert.")[-1])


@wrong("lstrip", "It uses lstrip")
def modern_names(state): return modern(state, prefix=lambda name: name.lstrip("bert."))


@wrong("position_ids anywhere", "every name that ends in position_ids")
def modern_names(state): return modern(state, dropped="position_ids$")


@wrong("position_ids before the prefix", "before it removes bert.")
def modern_names(state): return modern({name: tensor for name, tensor in state.items() if name != "embeddings.position_ids"}, dropped="^$")


@wrong("gamma and beta swapped")
def modern_names(state): return modern(state, gamma=r"\.beta$", beta=r"\.gamma$")


@right("patterns")
def modern_names(state): return modern(state, prefix=lambda name: re.sub(r"^bert\.", "", name))


def steps(path, ending="/data.pkl"):
    with zipfile.ZipFile(path) as archive: program = archive.read(next(name for name in archive.namelist() if name.endswith(ending)))
    return [(step.name, argument) for step, argument, _ in pickletools.genops(program)]


HIDDEN = {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}


def safe(path, is_allowed, hidden=HIDDEN, ending="/data.pkl"):
    return all(name not in hidden and (name not in ("GLOBAL", "INST") or is_allowed(argument)) for name, argument in steps(path, ending))


@wrong("no EXT", "EXT1, EXT2 and EXT4")
def is_safe(path, allowed): return safe(path, lambda name: name in allowed, hidden={"STACK_GLOBAL"})


for left_out in sorted(HIDDEN):
    @wrong(f"no {left_out}", None if left_out != "STACK_GLOBAL" else "")
    def is_safe(path, allowed, left_out=left_out): return safe(path, lambda name: name in allowed, hidden=HIDDEN - {left_out})


@wrong("the module alone", "only a part of a name")
def is_safe(path, allowed): return safe(path, lambda name: name.split()[0] in {item.split()[0] for item in allowed})


@wrong("a part of the list's text", "only a part of a name")
def is_safe(path, allowed): return safe(path, lambda name: name in str(allowed))


@wrong("the first entry", "whose name only ends alike, or the first")
def is_safe(path, allowed): return safe(path, lambda name: name in allowed, ending="")


@wrong("an entry without the slash", "whose name only ends alike, or the first")
def is_safe(path, allowed): return safe(path, lambda name: name in allowed, ending="data.pkl")


@wrong("another list", "no notice of `allowed`")
def is_safe(path, allowed):
    return safe(path, lambda name: name in ("torch._utils _rebuild_tensor_v2", "torch FloatStorage", "torch LongStorage", "collections OrderedDict"))


@wrong("no call at all")
def is_safe(path, allowed): return not any(name == "REDUCE" for name, _ in steps(path))


@wrong("torch.load", "without torch.load")
def is_safe(path, allowed):
    torch.load(path, weights_only=False)
    return True


@wrong("None for False", "is None")
def is_safe(path, allowed): return safe(path, lambda name: name in allowed) or None


@right("sets")
def is_safe(path, allowed):
    return not HIDDEN & {name for name, _ in steps(path)} and {argument for name, argument in steps(path) if name in ("GLOBAL", "INST")} <= set(allowed)


# Lesson 04

def cut(word, vocabulary, candidates=lambda start, end: range(end, start, -1), mark="##", unknown=lambda pieces: ["[UNK]"]):
    pieces, start = [], 0
    while start < len(word):
        end = next((end for end in candidates(start, len(word)) if (mark if start else "") + word[start:end] in vocabulary), None)
        if end is None: return unknown(pieces)
        pieces.append((mark if start else "") + word[start:end])
        start = end
    return pieces


@wrong("another way if the longest leads nowhere", "goes back to a shorter piece")
def word_pieces(word, vocabulary):
    def rest(start):
        if start == len(word): return []
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary and (pieces := rest(end)) is not None: return [piece, *pieces]
    return rest(0) or ["[UNK]"]


@wrong("no single letter", "never tries a single letter")
def word_pieces(word, vocabulary): return cut(word, vocabulary, lambda start, end: range(end, start + 1, -1))


@wrong("never the whole rest", "never tries the whole rest")
def word_pieces(word, vocabulary): return cut(word, vocabulary, lambda start, end: range(end - 1, start, -1))


@wrong("no ##", "leaves ## out")
def word_pieces(word, vocabulary): return cut(word, vocabulary, mark="")


@wrong("## as a part of the rest", "cuts both as one text")
def word_pieces(word, vocabulary):
    pieces = []
    for _ in range(20):
        end = next((end for end in range(len(word), 0, -1) if word[:end] in vocabulary), None)
        if not end: return ["[UNK]"]
        pieces.append(word[:end])
        if end == len(word): return pieces
        word = "##" + word[end:]


@right("recursion")
def word_pieces(word, vocabulary):
    def rest(word, mark):
        if not word: return []
        end = next(end for end in range(len(word), 0, -1) if mark + word[:end] in vocabulary)
        return [mark + word[:end], *rest(word[end:], "##")]
    try: return rest(word, "")
    except StopIteration: return ["[UNK]"]


@wrong("the mask first", "the mask first")
def pad_rows(rows, pad_id): return EXERCISES["pad_rows"].answer(rows, pad_id)[::-1]


@wrong("a mask of numbers", "dtype")
def pad_rows(rows, pad_id):
    ids, mask = EXERCISES["pad_rows"].answer(rows, pad_id)
    return ids, mask.float()


@right("pad_sequence")
def pad_rows(rows, pad_id):
    rows, pad = list(map(torch.tensor, rows)), torch.nn.utils.rnn.pad_sequence
    return pad(rows, batch_first=True, padding_value=pad_id), pad([torch.ones_like(row) for row in rows], batch_first=True)


@wrong("half of the row")
def pair_types(input_ids): return [int(place > len(input_ids) // 2) for place in range(len(input_ids))]


@wrong("0 and 1 in turn")
def pair_types(input_ids): return [input_ids[:place].count(102) % 2 for place in range(len(input_ids))]


@right("a count")
def pair_types(input_ids):
    return [int(input_ids[:place].count(102) == 1 and input_ids.count(102) > 1) for place in range(len(input_ids))]


def pair(first, second, max_length, take):
    first, second = list(first), list(second)
    while len(first) + len(second) + 3 > max_length: take(first, second)
    return [101, *first, 102, *second, 102]


@wrong("both where they are equal", "one id from each")
def truncate_pair(first, second, max_length):
    def take(first, second):
        longest = max(len(first), len(second))
        for text in [text for text in (first, second) if len(text) == longest]: text.pop()
    return pair(first, second, max_length, take)


@wrong("the first where they are equal", "from the first text where both are equally long")
def truncate_pair(first, second, max_length):
    return pair(first, second, max_length, lambda first, second: (first if len(first) >= len(second) else second).pop())


@wrong("one too many", "one id too many")
def truncate_pair(first, second, max_length):
    return pair(first, second, max_length - 1, lambda first, second: (first if len(first) > len(second) else second).pop())


@wrong("lists compared", "Compare the lengths")
def truncate_pair(first, second, max_length): return pair(first, second, max_length, lambda first, second: (first if first > second else second).pop())


@wrong("the one that was longer", "longer at the beginning")
def truncate_pair(first, second, max_length):
    excess = max(0, len(first) + len(second) + 3 - max_length)
    if len(first) > len(second): first = first[:len(first) - excess]
    else: second = second[:len(second) - excess]
    return [101, *first, 102, *second, 102]


@wrong("no last [SEP]", "the last [SEP]")
def truncate_pair(first, second, max_length):
    return pair(first, second, max_length + 1, lambda first, second: (first if len(first) > len(second) else second).pop())[:-1]


@wrong("padded")
def truncate_pair(first, second, max_length):
    row = pair(first, second, max_length, lambda first, second: (first if len(first) > len(second) else second).pop())
    return row + [0] * (max_length - len(row))


@right("lengths first")
def truncate_pair(first, second, max_length):
    one, other = len(first), len(second)
    while one + other > max_length - 3:
        if one > other: one -= 1
        else: other -= 1
    return [101] + first[:one] + [102] + second[:other] + [102]


@wrong("padding on the right", "may stand on the left")
def mean_of_tokens(vectors, attention_mask): return torch.stack([rows[:mask.sum()].mean(0) for rows, mask in zip(vectors, attention_mask)])


@wrong("the mask as numbers", "make it Boolean")
def mean_of_tokens(vectors, attention_mask): return torch.stack([rows[mask].mean(0) for rows, mask in zip(vectors, attention_mask)])


@wrong("zeros at padding")
def mean_of_tokens(vectors, attention_mask):
    vectors[attention_mask == 0] = 0
    return vectors.sum(1) / attention_mask.sum(1, keepdim=True)


@right("nanmean")
def mean_of_tokens(vectors, attention_mask): return vectors.masked_fill(attention_mask[..., None] == 0, math.nan).nanmean(1)


@right("a product of matrices")
def mean_of_tokens(vectors, attention_mask): return ((attention_mask / attention_mask.sum(1, keepdim=True))[:, None] @ vectors)[:, 0]


# Lesson 05

@wrong("one place", "in one place only")
def rename_key(name, pairs):
    for old, new in pairs: name = f".{name}".replace(f".{old}", f".{new}", 1)[1:]
    return name


@wrong("the beginning or else after a dot", "in one place only")
def rename_key(name, pairs):
    for old, new in pairs: name = new + name[len(old):] if name.startswith(old) else name.replace(f".{old}", f".{new}")
    return name


@wrong("anywhere if somewhere")
def rename_key(name, pairs):
    for old, new in pairs:
        if name.startswith(old) or f".{old}" in name: name = name.replace(old, new)
    return name


@wrong("again and again")
def rename_key(name, pairs):
    for old, new in pairs:
        for _ in range(9): name = f".{name}".replace(f".{old}", f".{new}")[1:]
    return name


@wrong("a dot that stands for any letter")
def rename_key(name, pairs):
    for old, new in pairs: name = re.sub(r"(^|\.)" + old, r"\1" + new, name)
    return name


@wrong("the name as it was", "as it was at first")
def rename_key(name, pairs):
    result = name
    for old, new in pairs: result = f".{name}".replace(f".{old}", f".{new}")[1:]
    return result


@wrong("after a dot", "after a dot only")
def rename_key(name, pairs):
    for old, new in pairs: name = name.replace(f".{old}", f".{new}")
    return name


@wrong("word by word")
def rename_key(name, pairs):
    for old, new in pairs: name = ".".join(new.rstrip(".") if word == old.rstrip(".") else word for word in name.split("."))
    return name


@right("a pattern")
def rename_key(name, pairs):
    for old, new in pairs: name = re.sub(rf"(?<![^.]){re.escape(old)}", new, name)
    return name


@wrong("an empty list")
def asked_class(settings):
    names = settings.get("architectures")
    return names[0] if names is not None else AutoModel.classes[settings["model_type"]].__name__


@wrong("an entry that is added", "what the call does to its arguments")
def asked_class(settings):
    if not settings.get("architectures"): settings["architectures"] = [AutoModel.classes[settings["model_type"]].__name__]
    return settings["architectures"][0]


@right("an exception")
def asked_class(settings):
    try: return settings["architectures"][0]
    except (KeyError, TypeError, IndexError): return AutoModel.classes[settings["model_type"]].__name__


@wrong("a tensor in the dictionary", ".item()")
def named_answers(logits, id2label): return [(id2label[row.argmax()], row.max().item()) for row in logits.softmax(-1)]


@wrong("one softmax", "the whole table")
def named_answers(logits, id2label):
    shares = logits.exp() / logits.exp().sum()
    return [(id2label[row.argmax().item()], row.max().item()) for row in shares]


@wrong("per cent")
def named_answers(logits, id2label): return [(id2label[row.argmax().item()], 100 * row.max().item()) for row in logits.softmax(-1)]


@right("plain Python")
def named_answers(logits, id2label):
    answers = []
    for row in logits.tolist():
        shares = [math.exp(number) / sum(map(math.exp, row)) for number in row]
        answers.append((id2label[shares.index(max(shares))], max(shares)))
    return answers


@wrong("the last part", "the last part of the model")
def head_weights(model): return sum(parameter.numel() for parameter in list(model.children())[-1].parameters())


@wrong("names with classifier")
def head_weights(model): return sum(parameter.numel() for name, parameter in model.named_parameters() if "classifier" in name)


@right("names")
def head_weights(model):
    return sum(parameter.numel() for name, parameter in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}."))


@wrong("the function that the task excludes", "without torch.nn.functional.cross_entropy")
def masked_loss(logits, labels): return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


@wrong("the other one", "without torch.nn.functional.nll_loss")
def masked_loss(logits, labels): return F.nll_loss(logits.log_softmax(-1).flatten(0, 1), labels.flatten())


@wrong("-100 for an index", "no such token")
def masked_loss(logits, labels): return -logits.log_softmax(-1).gather(-1, labels[..., None]).mean()


@wrong("labels above 0", "leaves out the token 0")
def masked_loss(logits, labels):
    return -logits[labels > 0].log_softmax(-1).gather(1, labels[labels > 0][:, None]).mean()


@wrong("a table", "right tokens of all positions")
def masked_loss(logits, labels): return -logits[labels != -100].log_softmax(-1)[:, labels[labels != -100]].mean()


@wrong("no logarithm", "minus the probability")
def masked_loss(logits, labels): return -logits[labels != -100].softmax(-1).gather(1, labels[labels != -100][:, None]).mean()


@wrong("the likeliest token")
def masked_loss(logits, labels): return -logits[labels != -100].log_softmax(-1).max(-1).values.mean()


@right("a loop")
def masked_loss(logits, labels):
    places = [place for place in product(*map(range, labels.shape)) if labels[place] != -100]
    return sum(-logits[place].softmax(-1)[labels[place]].log() for place in places) / len(places)


# Lesson 06

@wrong("sorted", "sorts the texts")
def padding_share(lengths, batch_size): return EXERCISES["padding_share"].answer(sorted(lengths), batch_size)


@wrong("the first text's length")
def padding_share(lengths, batch_size):
    batches = [lengths[start:start + batch_size] for start in range(0, len(lengths), batch_size)]
    return 1 - sum(lengths) / sum(len(batch) * batch[0] for batch in batches)


@right("padding over places")
def padding_share(lengths, batch_size):
    padding = places = 0
    for start in range(0, len(lengths), batch_size):
        batch = lengths[start:start + batch_size]
        padding += sum(max(batch) - length for length in batch)
        places += len(batch) * max(batch)
    return padding / places


@wrong("the text that is added", "the length of the text that is added")
def batches_of_places(lengths, places):
    batches = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if batches and lengths[number] * (len(batches[-1]) + 1) <= places: batches[-1].append(number)
        else: batches.append([number])
    return batches


@wrong("equal lengths turned round", "turns equal lengths round")
def batches_of_places(lengths, places):
    batches = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__)[::-1]:
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= places: batches[-1].append(number)
        else: batches.append([number])
    return batches


@wrong("a fixed number of texts")
def batches_of_places(lengths, places):
    order, size = sorted(range(len(lengths)), key=lambda number: -lengths[number]), max(1, places // max(lengths))
    return [order[start:start + size] for start in range(0, len(order), size)]


@right("slices")
def batches_of_places(lengths, places):
    order, batches = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True), []
    while order:
        size = max(1, places // lengths[order[0]])
        batches.append(order[:size])
        order = order[size:]
    return batches


@wrong("one matrix of C × I", "one matrix of C × I")
def forward_operations(lengths, hidden_size, intermediate_size, num_hidden_layers):
    weights = 4 * hidden_size**2 + hidden_size * intermediate_size
    return num_hidden_layers * (2 * weights * sum(lengths) + 4 * hidden_size * sum(length**2 for length in lengths))


@wrong("I is 4 C")
def forward_operations(lengths, hidden_size, intermediate_size, num_hidden_layers):
    return num_hidden_layers * (24 * hidden_size**2 * sum(lengths) + 4 * hidden_size * sum(length**2 for length in lengths))


@wrong("all tokens times the longest text")
def forward_operations(lengths, hidden_size, intermediate_size, num_hidden_layers):
    weights = 4 * hidden_size**2 + 2 * hidden_size * intermediate_size
    return num_hidden_layers * (2 * weights * sum(lengths) + 4 * hidden_size * sum(lengths) * max(lengths))


@right("text by text")
def forward_operations(lengths, hidden_size, intermediate_size, num_hidden_layers):
    C, I = hidden_size, intermediate_size
    return sum(num_hidden_layers * (8 * T * C * C + 4 * T * C * I + 4 * T * T * C) for T in lengths)


@wrong("torch.median", "the lower of the two")
def paired_ratio(ours, theirs): return torch.tensor([our / their for our, their in zip(ours[1:], theirs[1:])], dtype=torch.float64).median().item()


@wrong("the upper of the two")
def paired_ratio(ours, theirs): return statistics.median_high(our / their for our, their in zip(ours[1:], theirs[1:]))


@wrong("one warm-up alone")
def paired_ratio(ours, theirs): return statistics.median(our / their for our, their in zip(ours[1:], theirs))


@right("sorted")
def paired_ratio(ours, theirs):
    ratios = sorted(our / their for our, their in list(zip(ours, theirs))[1:])
    return (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2


@wrong("twice for one matrix", "with two names twice")
def bytes_in(model, dtype): return sum(tensor.numel() for tensor in model.state_dict().values()) * dtype.itemsize


@wrong("16 bits, or else 32")
def bytes_in(model, dtype): return sum(parameter.numel() for parameter in model.parameters()) * (2 if dtype in (torch.float16, torch.bfloat16) else 4)


@wrong("a model that is changed", "changes the model")
def bytes_in(model, dtype): return sum(parameter.numel() * parameter.element_size() for parameter in model.to(dtype).parameters())


@right("each parameter")
def bytes_in(model, dtype): return sum(parameter.numel() * torch.empty(0, dtype=dtype).element_size() for parameter in model.parameters())


def test_the_answers_here_have_the_parameters_of_the_exercise():
    for case in [*WRONG, *RIGHT]:
        function, expected = case.values[0], list(inspect.signature(EXERCISES[case.values[0].__name__].answer).parameters)
        assert list(inspect.signature(function).parameters)[:len(expected)] == expected, function.__name__
