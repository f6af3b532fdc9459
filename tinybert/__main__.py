"Show that the package works: python -m tinybert"

from huggingface_hub.constants import HF_HUB_CACHE

from . import __version__
from .pipelines import pipeline


def main() -> None:
    text = "The president of the united [MASK]."
    print(f"tinybert {__version__}; checkpoints from the Hub are kept in {HF_HUB_CACHE}\n")
    print('>>> fill = pipeline("fill-mask", model="tinybert-mini")')
    fill = pipeline("fill-mask", model="tinybert-mini")
    print(f'>>> fill("{text}")[0]["sequence"]\n{fill(text)[0]["sequence"]!r}')


if __name__ == "__main__": main()
