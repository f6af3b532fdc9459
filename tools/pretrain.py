"""Pretrain tinybert-mini, the checkpoint inside the package, from packaged texts: make pretrain.

It can be stopped at any moment; the same command goes on. Three stages, each with its result in
build/pretrain: the tokenizer, masked-language training, and a second part of it in which the
learning rate falls and the vectors learn from a teacher, the genuine MiniLM. The last line of
each stage is measured on held-out texts; nothing was chosen by them.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader

from tinybert import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM, BertTokenizer
from tinybert import DataCollatorForLanguageModeling, ModelOutput, embed
from tinybert.checkpoint import bundled
from tinybert.training import LengthBatchSampler, evaluate, train
from tools import blimp, corpus

ROOT = Path(__file__).parents[1]
NAME, TEACHER = "tinybert-mini", "sentence-transformers/all-MiniLM-L6-v2"
SIZE = dict(vocab_size=7680, hidden_size=192, num_hidden_layers=6, num_attention_heads=3,
            intermediate_size=768, max_position_embeddings=128)
STEPS = {"masked": 4500, "distilled": 1200}
MAX_TOKENS, RATE = 4096, 4e-3  # of a batch; the highest learning rate
SENTENCES, AT_ONCE, WEIGHT = 64_000, 96, 0.1  # for the teacher: in all, in a batch, in the loss
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z])")


# --- texts -------------------------------------------------------------------------------------

def train_tokenizer(texts: Path, folder: Path) -> None:
    "Learn a lower-case WordPiece vocabulary from the training part, and save its tokenizer."
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    letters = set(backend.normalizer.normalize_str(texts.read_text(encoding="utf-8")))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # Each run would find the letters inside words in another order, and break ties by it.
    special += [f"##{letter}" for letter in sorted(letters) if not letter.isspace()]
    backend.train([str(texts)], trainers.WordPieceTrainer(
        vocab_size=SIZE["vocab_size"], special_tokens=special, show_progress=False))
    words = sorted(backend.get_vocab(), key=backend.token_to_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True,
         "model_max_length": SIZE["max_position_embeddings"]}, indent=2) + "\n")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def split(paragraph: str) -> list[str]:
    "Return the sentences of a paragraph."
    return [sentence for sentence in SENTENCE_END.split(paragraph) if sentence]


def read_inputs(texts: Path, tokenizer: BertTokenizer) -> list[list[int]]:
    "Return the token ids of each input: of one sentence, or of several of a paragraph."
    sentences, starts, limits = [], [], []
    for place, paragraph in enumerate(texts.read_text(encoding="utf-8").splitlines()):
        parts = split(paragraph)
        sentences += parts
        starts += [True, *[False] * (len(parts) - 1)][:len(parts)]
        limits += [(0, 0, 64, 128)[place % 4]] * len(parts)  # half of the paragraphs: sentences
    rows, longest = [], SIZE["max_position_embeddings"] - 2
    encoded = tokenizer(sentences, add_special_tokens=False)["input_ids"]
    for start, limit, ids in zip(starts, limits, encoded):
        if not start and len(rows[-1]) + len(ids) <= limit - 2: rows[-1] += ids
        else: rows.append(ids[:longest])
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    return [[first, *ids, last] for ids in rows if len(ids) > 2]


def read_sentences(texts: Path, count: int) -> list[str]:
    "Return sentences of 5 to 40 words, spread over all texts."
    found = [sentence for paragraph in texts.read_text(encoding="utf-8").splitlines()
             for sentence in split(paragraph) if 5 <= len(sentence.split()) <= 40]
    generator = torch.Generator().manual_seed(0)
    return [found[place] for place in torch.randperm(len(found), generator=generator)[:count]]


class MaskedInputs(DataLoader):
    "Batch and mask inputs; fewer tokens are masked from epoch to epoch."
    def __init__(self, inputs: list[list[int]], tokenizer: BertTokenizer, seed: int = 42):
        sampler = LengthBatchSampler([len(row) for row in inputs], MAX_TOKENS, seed=seed)
        super().__init__(inputs, batch_sampler=sampler,
                         collate_fn=DataCollatorForLanguageModeling(tokenizer))

    def set_epoch(self, epoch: int) -> None:
        self.collate_fn.mlm_probability = max(0.15, 0.3 - 0.05 * epoch)


def masked_batches(inputs: list[list[int]], tokenizer: BertTokenizer, count: int) -> list[dict]:
    "Return some of the inputs, masked once and for all, to evaluate on."
    chosen = inputs[::max(1, len(inputs) // count)]
    collator = DataCollatorForLanguageModeling(tokenizer, seed=0)
    return [collator(chosen[place:place + 64]) for place in range(0, len(chosen), 64)]


# --- the optimizer -----------------------------------------------------------------------------

class Muon(AdamW):
    "Muon for matrices (Jordan et al. 2024), with AdamW's step size (Liu et al. 2025, § 2.2)."
    def __init__(self, model: nn.Module, lr: float):
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
                state = self.state[matrix]
                state.setdefault("step", torch.tensor(0.0))  # without it, AdamW can't load it
                average = state.setdefault("average", torch.zeros_like(matrix))
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


# --- the teacher -------------------------------------------------------------------------------

def text_vectors(model: BertForMaskedLM, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
    "Return the mean of each text's token vectors, and the first of them, of length 1, (B, C)."
    hidden_states = model.bert(input_ids, attention_mask).last_hidden_state  # (B, T, C)
    return [F.normalize(each, dim=1)  # padding is zero
            for each in (hidden_states.sum(dim=1), hidden_states[:, 0])]


def similarity_loss(ours: Tensor, theirs: Tensor, temperature: float = 0.05) -> Tensor:
    "Compare whom each text is similar to, (B, C) and (B, D): by cosines, and by their order."
    student, teacher = ours @ ours.T, theirs @ theirs.T  # (B, B)
    itself = torch.eye(len(ours), dtype=torch.bool)
    near, wanted = ((cosines / temperature).masked_fill(itself, -1e4)
                    for cosines in (student, teacher))
    order = F.kl_div(near.log_softmax(1), wanted.softmax(1), reduction="batchmean")
    return 10 * F.mse_loss(student, teacher) + order


class Pupil(nn.Module):
    "A model that predicts masked words and, with the same weights, learns a teacher's cosines."
    def __init__(self, model: BertForMaskedLM):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, labels, text_ids, text_mask, theirs):
        masked = self.model(input_ids, attention_mask, labels=labels).loss
        taught = sum(similarity_loss(ours, theirs)
                     for ours in text_vectors(self.model, text_ids, text_mask))
        return ModelOutput(loss=masked + WEIGHT * taught)


class TaughtInputs(MaskedInputs):
    "Add sentences and a teacher's vectors of them to each batch of masked inputs."
    def __init__(self, inputs, tokenizer, sentences: list[str], theirs: Tensor):
        super().__init__(inputs, tokenizer, seed=43)
        self.tokenizer, self.sentences, self.theirs = tokenizer, sentences, theirs

    def set_epoch(self, epoch: int) -> None:
        self.collate_fn.mlm_probability = 0.15

    def __iter__(self):
        for batch in super().__iter__():
            chosen = torch.randperm(len(self.sentences))[:AT_ONCE]
            texts = self.tokenizer([self.sentences[place] for place in chosen], padding=True,
                                   truncation=True, max_length=64, return_tensors="pt")
            yield {**batch, "text_ids": texts["input_ids"], "text_mask": texts["attention_mask"],
                   "theirs": self.theirs[chosen]}


def teach(sentences: list[str], path: Path) -> Tensor:
    "Return the teacher's vectors of sentences, kept in a file."
    if not path.exists():
        model, tokenizer = AutoModel.from_pretrained(TEACHER), AutoTokenizer.from_pretrained(TEACHER)
        torch.save(embed(model, tokenizer, sentences, max_length=64, progress=False), path)
    return torch.load(path, weights_only=True)


def agreement(ours: Tensor, theirs: Tensor) -> dict[str, float]:
    "Return Spearman's correlation of all pairs' cosines, and how many nearest neighbors agree."
    pairs = torch.triu_indices(len(ours), len(ours), offset=1)
    student, teacher = ours @ ours.T, theirs @ theirs.T
    ranks = [cosines[tuple(pairs)].argsort().argsort().double() for cosines in (student, teacher)]
    near = [cosines.fill_diagonal_(-2).argmax(dim=1) for cosines in (student, teacher)]
    return {"spearman": torch.corrcoef(torch.stack(ranks))[0, 1].item(),
            "same_neighbor": (near[0] == near[1]).double().mean().item()}


def compare(model: BertForMaskedLM, tokenizer: BertTokenizer, sentences: list[str],
            theirs: Tensor) -> dict[str, dict]:
    "Return how well held-out sentences' cosines agree with the teacher's, and two baselines."
    bag = torch.zeros(len(sentences), len(tokenizer))
    for row, ids in zip(bag, tokenizer(sentences, add_special_tokens=False)["input_ids"]):
        row += torch.bincount(torch.tensor(ids), minlength=len(row))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(len(tokenizer), SIZE["hidden_size"], generator=generator)
    words = model.get_input_embeddings().weight.detach()
    vectors = {"bag of random vectors": bag @ drawn, "bag of its word embeddings": bag @ words,
               NAME: embed(model.bert, tokenizer, sentences, progress=False)}
    return {name: agreement(F.normalize(each, dim=1), theirs) for name, each in vectors.items()}


# --- the stages --------------------------------------------------------------------------------

def new_model() -> BertForMaskedLM:
    "Return a model with random weights, without dropout: it sees each text only a few times."
    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(**SIZE, hidden_dropout_prob=0.0,
                                      attention_probs_dropout_prob=0.0)).eval()


def show(**facts: float) -> None:
    print("  ".join(f"{name} {value:.4f}" for name, value in facts.items()), flush=True)


def finish(model: BertForMaskedLM, tokenizer_folder: Path, folder: Path) -> None:
    "Write the checkpoint in half precision, for transformers and sentence-transformers, too."
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(model.config, name, 0.1)  # as BERT's, for whoever fine-tunes it
    model.half().save_pretrained(folder, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "float32"}
    files = {
        "config.json": config,
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling",
             "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize",
             "type": "sentence_transformers.models.Normalize"}],
        "1_Pooling/config.json": {"word_embedding_dimension": SIZE["hidden_size"],
                                  "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": SIZE["max_position_embeddings"],
                                      "do_lower_case": False}}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    for path in tokenizer_folder.iterdir(): shutil.copy(path, folder)
    model.float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "build/pretrain")
    parser.add_argument("--texts", type=Path, default=ROOT / "build/corpus")
    parser.add_argument("--out", type=Path, default=bundled(NAME))
    parser.add_argument("--pairs", type=Path, help="minimal pairs of BLiMP, to score")
    args = parser.parse_args()
    folder, learned = args.folder, args.folder / "tokenizer"
    if not (args.texts / "corpus.json").exists():
        corpus.build(corpus.SOURCES, args.texts / "downloads", args.texts)
    if not (learned / "vocab.txt").exists(): train_tokenizer(args.texts / "train.txt", learned)
    tokenizer, model = BertTokenizer.from_pretrained(learned), new_model()
    inputs = read_inputs(args.texts / "train.txt", tokenizer)
    unseen = read_inputs(args.texts / "heldout.txt", tokenizer)
    some, many = (masked_batches(unseen, tokenizer, count) for count in (1000, 20_000))
    print(f"{len(inputs):,} inputs, {sum(map(len, inputs)):,} tokens", flush=True)

    def report() -> dict:
        found = evaluate(model, some, top=(1, 5))
        if args.pairs: found["blimp"] = fmean(blimp.score(model, tokenizer, args.pairs, 3).values())
        show(**found)
        return found

    how = dict(evaluate=report, eval_steps=500, save_steps=250, resume_from_checkpoint=True)
    train(model, MaskedInputs(inputs, tokenizer), max_steps=STEPS["masked"], warmup_steps=100,
          lr_scheduler_type="constant_with_warmup", optimizer=Muon(model, RATE),
          output_dir=folder / "masked", **how)
    new = read_sentences(args.texts / "heldout.txt", 1000)
    theirs = teach(new, folder / "teacher-heldout.pt")
    show(**compare(model, tokenizer, new, theirs)[NAME])
    sentences = read_sentences(args.texts / "train.txt", SENTENCES)
    pupil = Pupil(model)
    train(pupil, TaughtInputs(inputs, tokenizer, sentences, teach(sentences, folder / "teacher.pt")),
          max_steps=STEPS["distilled"], warmup_steps=20, optimizer=Muon(pupil, RATE),
          output_dir=folder / "distilled", **how)
    finish(model, learned, args.out)
    show(**evaluate(model, many, top=(1, 5)))
    for name, found in compare(model, tokenizer, new, theirs).items():
        print(name)
        show(**found)
    if args.pairs:
        show(blimp=fmean(blimp.score(model, tokenizer, args.pairs).values()))


if __name__ == "__main__": main()
