"Pretrain tinybert-mini, the checkpoint inside the package, from packaged texts: make pretrain"

import argparse
import json
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.optim import AdamW
from torch.utils.data import DataLoader

from tinybert import AutoTokenizer, BertConfig, BertForMaskedLM, BertTokenizer
from tinybert import DataCollatorForLanguageModeling
from tinybert.training import LengthBatchSampler, evaluate, train
from tools import corpus

ROOT = Path(__file__).parents[1]
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z])")
STEPS = 100_000
SIZE = dict(vocab_size=7680, hidden_size=192, num_hidden_layers=6, num_attention_heads=3,
            intermediate_size=768, max_position_embeddings=128)


def train_tokenizer(texts: Path, folder: Path) -> BertTokenizer:
    "Learn a lower-case WordPiece vocabulary from the training part, and save its tokenizer."
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train([str(texts)], trainers.WordPieceTrainer(
        vocab_size=SIZE["vocab_size"], special_tokens=special, show_progress=False))
    words = sorted(backend.get_vocab(), key=backend.token_to_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True,
         "model_max_length": SIZE["max_position_embeddings"]}, indent=2) + "\n")
    return BertTokenizer.from_pretrained(folder)


def read_inputs(texts: Path, tokenizer: BertTokenizer) -> list[list[int]]:
    "Return the token ids of each input: one sentence, or those of a paragraph that find room."
    sentences, starts, limits = [], [], []
    for place, paragraph in enumerate(texts.read_text(encoding="utf-8").splitlines()):
        if not paragraph: continue
        parts = [part for part in SENTENCE_END.split(paragraph) if part]
        starts += [True] + [False] * (len(parts) - 1)
        limits += [(0, 0, 64, 128)[place % 4]] * len(parts)  # half of the paragraphs: sentences
        sentences += parts
    rows, longest = [], SIZE["max_position_embeddings"] - 2
    for start, limit, ids in zip(starts, limits, encode(tokenizer, sentences)):
        if not start and len(rows[-1]) + len(ids) <= limit - 2: rows[-1] += ids
        else: rows.append(ids[:longest])
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    return [[first, *ids, last] for ids in rows if len(ids) > 2]


def encode(tokenizer: BertTokenizer, sentences: list[str]) -> list[list[int]]:
    "Return the token ids of many sentences, without special tokens."
    return tokenizer(sentences, add_special_tokens=False)["input_ids"]


class MaskedInputs(DataLoader):
    "Batch and mask inputs; fewer tokens are masked from epoch to epoch."
    def __init__(self, inputs: list[list[int]], tokenizer: BertTokenizer, max_tokens: int):
        collator = DataCollatorForLanguageModeling(tokenizer)
        sampler = LengthBatchSampler([len(row) for row in inputs], max_tokens)
        super().__init__(inputs, batch_sampler=sampler, collate_fn=collator)

    def set_epoch(self, epoch: int) -> None:
        self.collate_fn.mlm_probability = max(0.15, 0.3 - 0.05 * epoch)


class Muon(AdamW):
    "Muon for matrices (Jordan et al. 2024), with AdamW's step size (Liu et al. 2025, § 2.2)."
    def __init__(self, model: BertForMaskedLM, lr: float):
        matrices = [weight for name, weight in model.named_parameters()
                    if weight.ndim == 2 and "embeddings" not in name]
        chosen = set(map(id, matrices))
        others = [weight for weight in model.parameters() if id(weight) not in chosen]
        super().__init__([{"params": matrices, "weight_decay": 0.05, "orthogonal": True},
                          {"params": others, "weight_decay": 0.0, "orthogonal": False}],
                         lr=lr, betas=(0.9, 0.98))

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            if group["orthogonal"]: self.step_matrices(group)
        super().step()  # for the others: AdamW leaves out what has no gradient

    def step_matrices(self, group: dict) -> None:
        "Take a step with the matrices of a group, those of one shape together."
        for shape in dict.fromkeys(matrix.shape for matrix in group["params"]):
            matrices = [matrix for matrix in group["params"] if matrix.shape == shape]
            updates = []
            for matrix in matrices:
                average = self.state[matrix].setdefault("average", torch.zeros_like(matrix))
                average.lerp_(matrix.grad, 0.05)
                updates.append(matrix.grad.lerp(average, 0.95))
                matrix.grad = None
            length = 0.2 * max(shape) ** 0.5 * group["lr"]
            for matrix, update in zip(matrices, orthogonal(torch.stack(updates))):
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=length)


def orthogonal(matrices: Tensor) -> Tensor:
    "Return (N, R, C) with singular values near 1, by five Newton-Schulz iterations."
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


def new_model() -> BertForMaskedLM:
    "Return a model with random weights, without dropout: every text is seen only a few times."
    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(**SIZE, hidden_dropout_prob=0.0,
                                      attention_probs_dropout_prob=0.0))


def masked_batches(inputs: list[list[int]], tokenizer: BertTokenizer, count: int) -> list[dict]:
    "Return some of the inputs, masked once and for all, to evaluate on."
    chosen = inputs[::max(1, len(inputs) // count)]
    collator = DataCollatorForLanguageModeling(tokenizer, seed=0)
    return [collator(chosen[place:place + 64]) for place in range(0, len(chosen), 64)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/pretrain")
    parser.add_argument("--texts", type=Path, default=ROOT / "build/corpus")
    args = parser.parse_args()
    folder, texts = args.folder, args.texts
    tokenizer_folder = folder / "tokenizer"
    if not (tokenizer_folder / "vocab.txt").exists():
        train_tokenizer(texts / "train.txt", tokenizer_folder)
    tokenizer = BertTokenizer.from_pretrained(tokenizer_folder)
    inputs = read_inputs(texts / "train.txt", tokenizer)
    heldout = masked_batches(read_inputs(texts / "heldout.txt", tokenizer), tokenizer, 1000)
    print(f"{len(inputs):,} inputs, {sum(map(len, inputs)):,} tokens", flush=True)
    model = new_model()

    def report() -> dict:
        found = evaluate(model, heldout, top=(1, 5))
        print({name: round(value, 4) for name, value in found.items()}, flush=True)
        return found

    train(model, MaskedInputs(inputs, tokenizer, 4096), max_steps=STEPS, warmup_steps=100,
          lr_scheduler_type="constant_with_warmup", optimizer=Muon(model, 4e-3), evaluate=report,
          eval_steps=250, output_dir=folder / "first", save_steps=250, resume_from_checkpoint=True)


if __name__ == "__main__": main()
