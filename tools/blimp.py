"""Score minimal pairs of BLiMP with a masked-language model: python -m tools.blimp FOLDER PAIRS.

A pair (Warstadt et al. 2020) is correct if the good sentence has the higher pseudo-log-likelihood:
mask each token in turn, and add up the log-probabilities of what was there (Salazar et al. 2020).
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import torch

from tinybert import AutoModelForMaskedLM, AutoTokenizer
from tinybert.training import in_mode


@torch.no_grad()
def log_likelihoods(model, tokenizer, sentences: list[str], size: int = 256) -> list[float]:
    "Return the pseudo-log-likelihood of each sentence."
    rows, positions, owners = [], [], []
    for owner, ids in enumerate(tokenizer(sentences)["input_ids"]):
        for position in range(1, len(ids) - 1):
            rows.append(ids)
            positions.append(position)
            owners.append(owner)
    sums, order = torch.zeros(len(sentences)), sorted(range(len(rows)), key=lambda i: len(rows[i]))
    with in_mode(model, training=False):
        for start in range(0, len(order), size):
            chosen = order[start:start + size]
            batch = tokenizer.pad({"input_ids": [rows[i] for i in chosen]}, return_tensors="pt")
            each, position = torch.arange(len(chosen)), torch.tensor([positions[i] for i in chosen])
            labels = torch.full_like(batch["input_ids"], -100)
            labels[each, position] = batch["input_ids"][each, position]
            batch["input_ids"][each, position] = tokenizer.mask_token_id
            logits = model(**batch, labels=labels).logits  # (N, V): the masked positions alone
            found = logits.log_softmax(-1).gather(1, labels[each, position, None])[:, 0]
            sums.index_add_(0, torch.tensor([owners[i] for i in chosen]), found)
    return sums.tolist()


def score(model, tokenizer, pairs: Path, every: int = 1) -> dict[str, float]:
    "Return the accuracy for each paradigm, from every so many pairs of it."
    rows = [json.loads(line) for line in pairs.read_text().splitlines()][::every]
    good = log_likelihoods(model, tokenizer, [row["good"] for row in rows])
    bad = log_likelihoods(model, tokenizer, [row["bad"] for row in rows])
    correct = defaultdict(list)
    for row, better, worse in zip(rows, good, bad): correct[row["paradigm"]].append(better > worse)
    return {name: fmean(found) for name, found in sorted(correct.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("pairs", type=Path)
    args = parser.parse_args()
    found = score(AutoModelForMaskedLM.from_pretrained(args.checkpoint),
                  AutoTokenizer.from_pretrained(args.checkpoint), args.pairs)
    for name, accuracy in found.items(): print(f"{accuracy:6.1%}  {name}")
    print(f"{fmean(found.values()):6.1%}  all")


if __name__ == "__main__": main()
