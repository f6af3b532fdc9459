"""Ask transformers 4.57.6, the last line of versions with this pipeline, and store its answers beside this file.

    python tests/data/question_answering.py make FOLDER      with tinybert: the checkpoints, from their seeds
    python tests/data/question_answering.py ask FOLDER       with transformers==4.57.6 torch==2.13.0, in an environment of its own
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from checkpoints import draw_text, save_checkpoint

ANSWERS = Path(__file__).with_name("question_answering.json")
LONG = draw_text(1300, 7)  # more than 2,000 tokens
CONTEXTS = {"short": draw_text(9, 1), "medium": draw_text(60, 2), "long": LONG, "capitals": "Anna BABA, Köln-Mitte  lives\tin the\nnew city."}
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


def with_texts(call: dict) -> dict:
    "Return the keywords of a call with contexts in the place of their names."
    keys = call["context"]
    return call | {"context": CONTEXTS[keys] if isinstance(keys, str) else [CONTEXTS[key] for key in keys]}


def make(folder: Path) -> None:
    "Save the checkpoints."
    for name, settings in CHECKPOINTS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        save_checkpoint(folder / name, "BertForQuestionAnswering", **settings)


def ask(folder: Path) -> None:
    "Store transformers' answers."
    import transformers
    pipes = {name: transformers.pipeline("question-answering", model=str(folder / name), device="cpu") for name in CHECKPOINTS}
    answers = [pipes[name](**with_texts(call)) for name, call in cases()]
    rounded = json.loads(json.dumps(answers), parse_float=lambda text: float(f"{float(text):.8g}"))
    lines = ",\n".join(json.dumps(answer, ensure_ascii=False) for answer in rounded)
    ANSWERS.write_text(f'{{"transformers": "{transformers.__version__}", "answers": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__": {"make": make, "ask": ask}[sys.argv[1]](Path(sys.argv[2]))
