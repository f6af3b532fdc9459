"""Stop a save at each of its system calls, and look what is there: `python kill_points.py FOLDER HOW NAMELESS [FORM …]`,
where HOW is kill, error, interrupt or stuck (no rename succeeds from there on), and FORM what was there before. Prints a line for each fault, and how many points there were."""

import errno
import fcntl
import itertools
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path

import safetensors.torch
import torch

from tinybert import BertConfig, BertModel, saving

CALLS = [(os, name) for name in ("open", "link", "replace", "unlink", "fsync", "mkdir")] + [(fcntl, "flock"), (saving, "open")]
LAST_ON_DISK = ("link", "replace", "unlink")  # those that "stuck" refuses
FILES = {False: "pytorch_model.bin", True: "model.safetensors"}
torch.set_num_threads(1)  # a fork takes no threads along


def model(value: float) -> BertModel:
    "Return a model that tells in its config and in each of its weights which one it is."
    config = BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4,
                        max_position_embeddings=8, initializer_range=value)
    made = BertModel(config)
    for parameter in made.parameters(): torch.nn.init.constant_(parameter, value)
    return made


def shards(folder: Path, safe: bool) -> None:
    "Cut the weights of a folder in two, with an index."
    state, name = model(1).state_dict(), FILES[safe]
    stem, _, kind = name.partition(".")
    halves = {f"{stem}-0000{n}-of-00002.{kind}": dict(list(state.items())[n - 1::2]) for n in (1, 2)}
    for file, half in halves.items(): safetensors.torch.save_file(half, folder / file) if safe else torch.save(half, folder / file)
    index = {key: file for file, half in halves.items() for key in half}
    (folder / f"{name}.index.json").write_text(__import__("json").dumps({"weight_map": index}))
    (folder / name).unlink()


def prepare(folder: Path, before: str) -> None:
    "Fill a new folder with the first model, in one form or another."
    for safe in (False, True):
        if before in (FILES[safe], "both", "three"):
            saving.write_checkpoint(folder / "x", "{}", model(1).state_dict(), safe_serialization=safe)
            folder.mkdir(exist_ok=True), os.replace(folder / "x" / FILES[safe], folder / FILES[safe])
            shutil.rmtree(folder / "x")
        elif before == f"shards of {FILES[safe]}":
            model(1).save_pretrained(folder, safe_serialization=safe)
            shards(folder, safe)
    if before == "three": shards(folder, False), torch.save(model(1).state_dict(), folder / FILES[False])
    if before != "nothing": model(1).config.save_pretrained(folder)


def stop_at(point: int, how: str, nameless: bool) -> itertools.count:
    "Let the save of this process stop at one of its calls: even points come before the call, odd ones after it; return the counter."
    count = itertools.count()

    def wrap(name, call):
        def wrapped(*given, **options):
            if name == "open" and not nameless and given[1:] and isinstance(given[1], int) and given[1] & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no nameless files")
            if name == "link" and not nameless: raise OSError(errno.EPERM, "no second names either")
            for number in (next(count), None, next(count)):
                if number is None: result = None if name == "fsync" else call(*given, **options)
                elif number == point or how == "stuck" and number > point and name in LAST_ON_DISK and not number % 2:
                    if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
                    raise KeyboardInterrupt if how == "interrupt" else OSError(errno.ENOSPC, "No space left on device")
            return result
        return wrapped
    for module, name in CALLS: setattr(module, name, wrap(name, getattr(module, name, open)))
    return count


def look(folder: Path, **options) -> object:
    "Return which model a folder holds, what it is made of if that is two, or the error."
    try: found = BertModel.from_pretrained(folder, **options)
    except OSError as error: return str(error)
    values = {found.config.initializer_range, *(parameter.unique().item() for parameter in found.parameters())}
    return values.pop() if len(values) == 1 else f"a mixture: {values}"


def faults(folder: Path, before: str, safe: bool, nameless: bool, how: str) -> list[str]:
    "Return what is wrong with a folder in which a save over the first model has been stopped."
    found, wrong, clean = look(folder), [], nameless and how in ("error", "interrupt")
    kept = [kind for kind in FILES if nameless and found == 1 and before in ("both", "three", FILES[kind], f"shards of {FILES[kind]}")]
    absent = lambda value: "has no" in str(value) or "neither a folder" in str(value)
    if found not in (1, 2) and not (before == "nothing" and absent(found)): wrong.append(f"it holds {found}")
    if found in (1, 2) and BertConfig.from_pretrained(folder).initializer_range != found: wrong.append("the config alone is another")
    for kind in (False, True):
        part = look(folder, use_safetensors=kind)
        if part not in (1, 2) and (kind in kept or not absent(part)): wrong.append(f"use_safetensors={kind}: {part}")
    parts = [path.name for path in folder.glob(".*")] if folder.is_dir() else []
    if clean and parts: wrong.append(f"strays: {parts}")
    model(3).save_pretrained(folder, safe_serialization=safe)
    if sorted(os.listdir(folder)) != sorted(["config.json", FILES[safe]]): wrong.append(f"after the next save: {os.listdir(folder)}")
    if look(folder) != 3: wrong.append(f"the next save: {look(folder)}")
    return wrong


FORMS = ["nothing", *FILES.values(), "both", "three", *(f"shards of {name}" for name in FILES.values())]


def main(root: Path, how: str, nameless: bool, forms: list[str] = FORMS) -> None:
    total, second = 0, model(2)
    for before, safe in itertools.product(forms, (False, True)):
        prepare(template := root / f"{before} {safe}", before)
        for point in itertools.count():
            folder = root / "now"
            shutil.rmtree(folder, ignore_errors=True)
            if template.exists(): shutil.copytree(template, folder)
            old = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
            if (child := os.fork()) == 0:
                count, code = stop_at(point, how, nameless), 0
                try: second.save_pretrained(folder, safe_serialization=safe)
                except KeyboardInterrupt: code = 3
                except OSError as error: code = 4 if "untouched" in str(error) else 5
                except BaseException as error:
                    print(before, safe, point, repr(error), flush=True)
                    code = 6
                os._exit(9 if next(count) <= point else code)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status in (0, 9) and look(folder) != 2: print(before, safe, point, f"saved, but it holds {look(folder)}")
            now = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
            if status == 4 and now != old and how != "stuck": print(before, safe, point, "touched:", sorted(now.keys() ^ old.keys()))
            for fault in faults(folder, before, safe, nameless, how): print(before, safe, point, fault)
            total += 1
            if status == 9: break  # it never came to this point
    print(total)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "nameless", sys.argv[4:] or FORMS)
