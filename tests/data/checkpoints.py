"Small checkpoints for the tests of pipelines: all weights and all texts follow from seeds."

import random
from pathlib import Path

import torch

SYLLABLES = "ba be bi bo ka ke ki ko la le li lo ma me mi mo na ne ni no ra re ri ro sa se si so ta te ti to".split()
WORDS = "the a of in is was who where when what lives works with old new city river house king queen book song and".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = list(dict.fromkeys([*SPECIAL, *".,!?'-", *WORDS, *SYLLABLES, *(f"##{piece}" for piece in SYLLABLES),
                                 *"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]))


def draw_text(words: int, seed: int) -> str:
    "Return a text of so many words, some of which the tokenizer cuts into pieces, some with accents or capitals."
    draw, text = random.Random(seed), []
    for _ in range(words):
        word = draw.choice(WORDS) if draw.random() < 0.5 else "".join(draw.choice(SYLLABLES) for _ in range(draw.randint(1, 4)))
        if draw.random() < 0.2: word = word.capitalize()
        if draw.random() < 0.05: word = word.replace("a", "á").replace("o", "ö")
        text.append(word + draw.choice([""] * 6 + list(",.!?")))
    return " ".join(text)


def randomise(model: torch.nn.Module, seed: int, deviation: float) -> torch.nn.Module:
    "Set all weights to random numbers that depend on the seed alone."
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * deviation + name.lower().endswith("norm.weight"))
    return model


def save_tokenizer_files(folder: Path, limit: int) -> None:
    "Write the files of a BERT tokenizer with the small vocabulary."
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": %d}' % limit)


def save_checkpoint(folder: Path, kind: str, seed: int = 0, limit: int = 64, deviation: float = 0.3, **settings) -> Path:
    "Save a small random tinybert model, whose class has this name, with its tokenizer; return the folder."
    import tinybert
    config = tinybert.BertConfig(**dict(vocab_size=len(VOCABULARY), hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                                        intermediate_size=40, max_position_embeddings=limit) | settings)
    randomise(getattr(tinybert, kind)(config), seed, deviation).save_pretrained(folder, safe_serialization=True)
    save_tokenizer_files(Path(folder), limit)
    return Path(folder)
