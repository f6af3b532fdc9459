"Tell the story of the course's section on the checkpoint inside the package: make demo"

import os
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch

from tinybert import AutoConfig, AutoModel, AutoTokenizer, embed, pipeline
from tinybert.course.pictures import heatmap, number
from tools.course import ROOT, settings

SEQUENCES = ["Hello!", "Cool.", "Nice!"]
MASKED = ["The president of the united [MASK].", "She opened the [MASK] and went out.",
          "He drinks a cup of [MASK] every morning.", "A dog is an [MASK]."]
SENTENCES = [*SEQUENCES, "The cat sleeps on the sofa.", "A kitten naps on the couch.",
             "Stocks fell sharply today.", "Share prices dropped this morning."]


def show(code: str, result) -> None:
    "Print a line of code and what it gave."
    print(f">>> {code}\n{result}\n")


def draw(cosines: torch.Tensor, path: Path) -> None:
    "Write the cosines as a picture."
    fig, ax = plt.subplots(figsize=(8, 5), facecolor="white")
    heatmap(cosines, SENTENCES, title="cosine of each pair of sentences", ax=ax)
    fig.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    checkpoint, out = settings()["checkpoint"], ROOT / "demo"
    out.mkdir(exist_ok=True)
    matplotlib.use("Agg")
    torch.set_grad_enabled(False)
    print(f"checkpoint = {checkpoint!r}\n")
    show("AutoConfig.from_pretrained(checkpoint)", AutoConfig.from_pretrained(checkpoint))

    model = AutoModel.from_pretrained(checkpoint)
    show("model = AutoModel.from_pretrained(checkpoint)",
         f"{type(model).__name__} with {model.num_parameters():,} weights")

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    encoded = tokenizer(SEQUENCES, padding=True, return_tensors="pt")
    rows = (f"{row}  {' '.join(tokenizer.convert_ids_to_tokens(row))}"
            for row in encoded["input_ids"].tolist())
    show(f"encoded = tokenizer({SEQUENCES}, padding=True, return_tensors='pt')", "\n".join(rows))

    output = model(**encoded)
    show("output = model(**encoded)",
         "\n".join(f"{name}: {tuple(value.shape)}" for name, value in output.items()))

    fill = pipeline("fill-mask", model=checkpoint, top_k=4)
    print("What stands behind the mask? A random model couldn't say; this one was trained.")
    for text, answers in zip(MASKED, fill(MASKED)):
        words = ", ".join(f"{answer['token_str']} {number(answer['score'])}" for answer in answers)
        print(f"{text:>{max(map(len, MASKED))}}  {words}")
    print()

    vectors = embed(model, tokenizer, SENTENCES)  # (B, C), of length 1
    cosines = vectors @ vectors.T  # (B, B)
    width = max(map(len, SENTENCES))
    print("Which sentences are close? Cosines of the sentences' vectors:")
    for sentence, row in zip(SENTENCES, cosines):
        print(f"{sentence:>{width}}", *(f"{number(cosine):>6}" for cosine in row.tolist()))
    draw(cosines, out / "similarity.png")
    print("as a picture: demo/similarity.png\n")

    folder = out / "directory_on_my_computer"
    model.save_pretrained(folder)
    show(f"model.save_pretrained('demo/{folder.name}')",
         f"$ ls demo/{folder.name}\n{' '.join(sorted(os.listdir(folder)))}")
    reloaded = AutoModel.from_pretrained(folder)(**encoded)
    show("torch.equal(reloaded.last_hidden_state, output.last_hidden_state)",
         torch.equal(reloaded.last_hidden_state, output.last_hidden_state))


if __name__ == "__main__": main()
