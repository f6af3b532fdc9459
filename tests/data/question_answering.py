"""Ask transformers 4.57.6, the last line of versions with this pipeline, and store its answers beside this file.

    python tests/data/question_answering.py train            with tinybert: the trained checkpoint, once
    python tests/data/question_answering.py make FOLDER      with tinybert: the checkpoints, from their seeds
    python tests/data/question_answering.py ask FOLDER       with transformers==4.57.6 torch==2.13.0, in an environment of its own
"""

import json
import random
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from checkpoints import SYLLABLES, draw_text, save_checkpoint

ANSWERS, TRAINED = Path(__file__).with_name("question_answering.json"), Path(__file__).with_name("trained")
LONG = draw_text(1300, 7)  # more than 2,000 tokens
CONTEXTS = {"short": draw_text(9, 1), "medium": draw_text(60, 2), "long": LONG, "capitals": "Anna BABA, Köln-Mitte  lives\tin the\nnew city."}
ASKED = {"lives in": "where is the house?", "works with": "who is the king?", "was": "when was the song?"}
CONTEXTS["told"] = "kima lives in the old river. Barora works with meno."
QUESTIONS = ["who lives in the old city?", "When was the book new", "kaba"]
CHECKPOINTS = {"random": dict(seed=3, limit=512), "narrow": dict(seed=5, limit=64)}
WINDOWS = [dict(max_seq_len=40, doc_stride=8), dict(max_seq_len=30, doc_stride=0), dict(max_seq_len=50, doc_stride=33)]
OPTIONS = [{}, dict(top_k=3), dict(top_k=7, align_to_words=False), dict(max_answer_len=1, top_k=2), dict(max_answer_len=40, top_k=4),
           dict(handle_impossible_answer=True, top_k=2), dict(handle_impossible_answer=True),
           *WINDOWS, *(window | dict(top_k=5, handle_impossible_answer=True) for window in WINDOWS)]


def cases():
    "Yield each case: the checkpoint's name, and the keywords of a call."
    for name in CHECKPOINTS:
        for options in OPTIONS:
            for question in QUESTIONS:
                for key in CONTEXTS:
                    if key != "long" or question == QUESTIONS[0]: yield name, {"question": question, "context": key} | options
        yield name, {"question": QUESTIONS, "context": "medium"}
        yield name, {"question": QUESTIONS[:1], "context": ["short"]}
        yield name, {"question": QUESTIONS[:2], "context": ["short", "medium"], "top_k": 2}
    for options in (dict(top_k=2, handle_impossible_answer=True), dict(handle_impossible_answer=True, max_seq_len=32, doc_stride=8), dict(top_k=3)):
        for question in ASKED.values(): yield "trained", {"question": question, "context": "told"} | options
        yield "trained", {"question": ASKED["was"], "context": "long"} | options


def with_texts(call: dict) -> dict:
    "Return the keywords of a call with contexts in the place of their names."
    keys = call["context"]
    return call | {"context": CONTEXTS[keys] if isinstance(keys, str) else [CONTEXTS[key] for key in keys]}


def draw_question(draw: random.Random) -> tuple[str, str, int, int]:
    "Return a question, its context, and where the answer begins and ends, both 0 if there's none."
    context, known, verbs = "", {verb: (0, 0) for verb in ASKED}, draw.sample(list(ASKED), 2)
    for verb in verbs:
        person, thing = ("".join(draw.choice(SYLLABLES) for _ in range(draw.randint(1, 3))) for _ in range(2))
        thing = draw.choice(["", "the ", "a new ", "the old "]) + draw.choice([thing, "city", "river", "house", "king", "queen", "book"])
        start = len(context) + len(f"{person} {verb} ")
        known[verb] = start, start + len(thing)
        context += f"{person} {verb} {thing}. "
    verb = draw.choice(list(ASKED))
    return ASKED[verb], context, *known[verb]


def train() -> None:
    "Train a tiny model and store it beside this file; its weights are what counts, so this runs once."
    import torch
    import tinybert
    TRAINED.mkdir(exist_ok=True)
    save_checkpoint(TRAINED, "BertForQuestionAnswering", seed=1, limit=64, deviation=0.1, hidden_size=32, num_attention_heads=4, intermediate_size=64)
    model, tokenizer = tinybert.BertForQuestionAnswering.from_pretrained(TRAINED).train(), tinybert.AutoTokenizer.from_pretrained(TRAINED)
    torch.manual_seed(0)
    draw, optimizer = random.Random(0), torch.optim.AdamW(model.parameters(), 1e-3)
    for step in range(1500):
        questions, contexts, starts, ends = zip(*(draw_question(draw) for _ in range(32)))
        batch = tokenizer(questions, contexts, padding=True, return_tensors="pt")
        at = [(batch.char_to_token(row, start, 1), batch.char_to_token(row, end - 1, 1)) if end else (0, 0)
              for row, (start, end) in enumerate(zip(starts, ends))]
        first, last = torch.tensor(at).T
        loss = model(**batch, start_positions=first, end_positions=last).loss
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        if step % 200 == 199: print(step, loss.item())
    model.eval().save_pretrained(TRAINED, safe_serialization=True)


def make(folder: Path) -> None:
    "Save the checkpoints."
    shutil.copytree(TRAINED, folder / "trained", dirs_exist_ok=True)
    for name, settings in CHECKPOINTS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        save_checkpoint(folder / name, "BertForQuestionAnswering", **settings)


def ask(folder: Path) -> None:
    "Store transformers' answers."
    import transformers
    pipes = {name: transformers.pipeline("question-answering", model=str(folder / name), device="cpu") for name in [*CHECKPOINTS, "trained"]}
    answers = [pipes[name](**with_texts(call)) for name, call in cases()]
    rounded = json.loads(json.dumps(answers), parse_float=lambda text: float(f"{float(text):.8g}"))
    lines = ",\n".join(json.dumps(answer, ensure_ascii=False) for answer in rounded)
    ANSWERS.write_text(f'{{"transformers": "{transformers.__version__}", "answers": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__": {"train": train, "make": make, "ask": ask}[sys.argv[1]](*map(Path, sys.argv[2:]))
