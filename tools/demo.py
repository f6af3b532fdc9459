"Tell the story of the course's section on a genuine checkpoint, offline: make demo"

import os
from pathlib import Path

import matplotlib
import torch
import torch.nn.functional as F

from tinybert import AutoConfig, AutoModel, AutoTokenizer
from tools.course import ROOT, settings

SEQUENCES = ["Hello!", "Cool.", "Nice!"]
SENTENCES = SEQUENCES + ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Stocks fell sharply today.",
                         "Share prices dropped this morning."]


def show(code: str, result) -> None:
    "Print a line of code and what it gave."
    print(f">>> {code}\n{result}\n")


def draw(table: torch.Tensor, path: Path) -> None:
    "Write a table of cosines as a picture."
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(figsize=(8, 5), facecolor="white")
    ax.imshow(table, cmap="Blues", vmin=0, vmax=1.2)
    for row, column in torch.cartesian_prod(*[torch.arange(len(table))] * 2).tolist():
        cosine = table[row, column].item()
        ax.text(column, row, f"{cosine:.2f}", ha="center", va="center", fontsize=9, color="white" if cosine > .7 else "black")
    ax.set_xticks(range(len(table)), SENTENCES, rotation=25, ha="right")
    ax.set_yticks(range(len(table)), SENTENCES)
    ax.spines[:].set_visible(False)
    ax.set_title("Which sentences are close? Cosine of mean-pooled vectors", fontsize=10)
    fig.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    checkpoint, out = settings()["checkpoint"], ROOT / "demo"
    out.mkdir(exist_ok=True)
    torch.set_grad_enabled(False)
    print(f"checkpoint = {checkpoint!r}\n")
    show("AutoConfig.from_pretrained(checkpoint)", AutoConfig.from_pretrained(checkpoint))

    model = AutoModel.from_pretrained(checkpoint)
    show("model = AutoModel.from_pretrained(checkpoint)", f"{type(model).__name__} with {model.num_parameters():,} weights")

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = tokenizer(SEQUENCES)["input_ids"]
    show(f"tokenizer({SEQUENCES})['input_ids']", "\n".join(f"{row}  {' '.join(tokenizer.convert_ids_to_tokens(row))}" for row in ids))

    output = model(torch.tensor(ids))
    show("output = model(torch.tensor(ids))", "\n".join(f"{name}: {tuple(value.shape)}" for name, value in output.items()))

    encoded = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    vectors = model(**encoded).last_hidden_state.sum(dim=1) / encoded.attention_mask.sum(dim=1, keepdim=True)  # (B, C)
    table = F.normalize(vectors, dim=1) @ F.normalize(vectors, dim=1).T  # (B, B)
    width = max(map(len, SENTENCES))
    print("Which sentences are close? (padded places are zero, so a sum over the tokens needs no mask)")
    for sentence, row in zip(SENTENCES, table): print(f"{sentence:>{width}}  " + "  ".join(f"{cosine:5.2f}" for cosine in row))
    draw(table, out / "similarity.png")
    print("as a picture: demo/similarity.png\n")

    folder = out / "directory_on_my_computer"
    model.save_pretrained(folder)
    show(f"model.save_pretrained('demo/{folder.name}')", f"$ ls demo/{folder.name}\n{' '.join(sorted(os.listdir(folder)))}")
    reloaded = AutoModel.from_pretrained(folder)(torch.tensor(ids))
    show("torch.equal(reloaded.last_hidden_state, output.last_hidden_state)",
         torch.equal(reloaded.last_hidden_state, output.last_hidden_state))


if __name__ == "__main__": main()
