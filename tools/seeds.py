"""Compute the results of the fine-tuning lesson that no single run can show, tinybert/course/fine_tuning.json:
python -m tools.seeds computes what is missing, of all groups of runs or of those that are named; --again computes them anew."""

import argparse, json, random

import torch
from torch.utils.data import DataLoader

from tinybert import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from tinybert.collators import DataCollatorWithPadding
from tinybert.training import evaluate, train
from tools.reviews import TARGET as REVIEWS, load

TARGET = REVIEWS.with_name("fine_tuning.json")
MINILM, MINI = "sentence-transformers/all-MiniLM-L6-v2", "tinybert-mini"
SEEDS, FEW = range(5), range(3)
BASE = dict(checkpoint=MINILM, learning_rate=1e-4, epochs=2, texts=None, pretrained=True, test=True)
TRIAL = BASE | dict(test=False)  # choices are made on the validation part
SMALL = BASE | dict(checkpoint=MINI, learning_rate=1e-3, epochs=3)
# Each group of runs: its settings, and the seeds of head, dropout and order of the texts. Those of `BASE` and `SMALL` are the lesson's.
GROUPS = {
    "MiniLM": (BASE, SEEDS),
    "tinybert-mini": (SMALL, SEEDS),
    "from scratch": (SMALL | dict(pretrained=False, learning_rate=5e-4), SEEDS),
    "learning rate 1e-05": (TRIAL | dict(learning_rate=1e-5), FEW),
    "learning rate 1e-03": (TRIAL | dict(learning_rate=1e-3), FEW),
    "texts 125": (TRIAL | dict(texts=125), FEW),
    "texts 500": (TRIAL | dict(texts=500), FEW),
}


def batches(tokenizer, rows: list[dict], shuffle: bool = False) -> DataLoader:
    "Return sentences as padded batches of 32 with their labels."
    features = [{**tokenizer(row["text"], truncation=True, max_length=64), "label": int(row["label"])} for row in rows]
    return DataLoader(features, batch_size=32, shuffle=shuffle, collate_fn=DataCollatorWithPadding(tokenizer))


@torch.no_grad()
def probabilities(model, loader: DataLoader) -> list[float]:
    "Return the probability of the label 1 for each sentence."
    return [round(value, 3) for batch in loader for value in model(**batch).logits.softmax(-1)[:, 1].tolist()]


def run(checkpoint: str, learning_rate: float, epochs: int, texts: int | None, pretrained: bool, test: bool, seed: int) -> dict:
    "Train with a seed; return the accuracy on the validation part and, for the final table, the probabilities on the test part."
    tokenizer, rows = AutoTokenizer.from_pretrained(checkpoint), load("train")
    if texts: rows = random.Random(seed).sample(rows, texts)
    torch.manual_seed(seed)
    if pretrained: model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=2)
    else: model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(checkpoint, num_labels=2))
    loader = batches(tokenizer, rows, shuffle=True)
    steps = max(40, epochs * len(loader))  # a few texts are gone through more often
    train(model, loader, max_steps=steps, learning_rate=learning_rate, seed=seed, disable_tqdm=True)
    model.eval()
    found = {"seed": seed, "validation": round(evaluate(model, batches(tokenizer, load("validation")))["accuracy"], 4)}
    return found | ({"test": probabilities(model, batches(tokenizer, load("test")))} if test else {})


def save(known: dict[str, list[dict]]) -> None:
    "Write the file, a line for each run."
    groups = [f'{json.dumps(name)}: [\n' + ",\n".join(map(json.dumps, known[name])) + "\n]" for name in GROUPS if known.get(name)]
    TARGET.write_text("{" + ",\n".join(groups) + "}\n")


def main(names: list[str], again: bool) -> None:
    "Compute runs, and write the file after each."
    known = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    for name in names or GROUPS:
        settings, seeds = GROUPS[name]
        found = known[name] = [] if again else known.get(name, [])
        for seed in seeds[len(found):]:
            found.append(run(**settings, seed=seed))
            print(f"{name}, seed {seed}: validation accuracy {found[-1]['validation']:.3f}", flush=True)
            save(known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(GROUPS))
    parser.add_argument("--again", action="store_true", help="compute them anew")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - GROUPS.keys(): parser.error(f"no group {', '.join(unknown)}; give some of {', '.join(GROUPS)}")
    main(arguments.names, arguments.again)
