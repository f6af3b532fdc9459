"The repository is in order: products are current, notebooks clean, settings used, links whole."

import os
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from nbdev.config import get_config
from packaging.requirements import Requirement
from test_notebooks import NOTEBOOKS, ROOT, copy_project, read, run

from tools import course, minilm, readme


@pytest.fixture
def copy(tmp_path) -> Path: return copy_project(tmp_path)


def contents(folder: Path, pattern: str) -> dict[str, str]:
    "Return the text of each matching file."
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern))}


# Products

def test_export_is_current(copy):
    result = run(copy, "nbdev-export")
    assert result.returncode == 0, result.stderr
    for pattern in ("tinybert/**/*.py", "nbs/llms.txt"):
        assert contents(copy, pattern) == contents(ROOT, pattern), "run make export"


def test_a_changed_notebook_changes_its_module(copy):
    notebook = copy / "nbs/00_config.ipynb"
    notebook.write_text(notebook.read_text(encoding="utf-8").replace("class BertConfig", "class Changed"), encoding="utf-8")
    run(copy, "nbdev-export")
    assert "class Changed" in (copy / "tinybert/config.py").read_text(encoding="utf-8")


def test_notebooks_are_clean(copy):
    before = contents(copy, "nbs/**/*.ipynb")
    assert run(copy, "nbdev-clean").returncode == 0
    assert contents(copy, "nbs/**/*.ipynb") == before, "run .venv/bin/nbdev-clean"


MACHINE = re.compile(r"/(?:home|root|tmp|work|Users|private)/|it/s\]|\d+%\||\bC:\\\\")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_hold_nothing_of_a_machine(name):
    notebook = read(ROOT / name)
    assert "widgets" not in notebook["metadata"]
    for index, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            kinds = output.get("data", {})
            assert not any("widget" in kind for kind in kinds), f"{name}, cell {index}"
            text = "".join(["".join(output.get("text", "")), *("".join(data) for kind, data in kinds.items() if "text" in kind)])
            assert not (found := MACHINE.search(text)), f"{name}, cell {index} shows {found[0]!r}"


def test_readme_is_current():
    result = run(ROOT, "python", "tools/readme.py", "--check")
    assert result.returncode == 0, result.stderr


def test_stale_readme_is_found_but_the_repository_does_not_make_it_stale(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    with pytest.raises(SystemExit): readme.check()
    plain = readme.render()
    settings["repo"] = "somebody/course"
    course.repo.cache_clear()
    readme.README.write_text(plain, encoding="utf-8")
    readme.check()
    badges = readme.render()
    assert "github/somebody/course/blob/main/nbs/index.ipynb" in badges and readme.without_badges(badges) == plain
    readme.README.write_text(badges + "more\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="stale"): readme.check()


@pytest.mark.parametrize("target, expected", [
    ("00_config.ipynb", "nbs/00_config.ipynb"), ("course/01.ipynb#top", "nbs/course/01.ipynb#top"), ("../LICENSE", "LICENSE"),
    ("https://example.org/a.ipynb", "https://example.org/a.ipynb"), ("#top", "#top")])
def test_links_of_the_index_hold_at_the_root(target, expected):
    assert readme.from_root(target) == expected


# Settings

def test_settings_and_pyproject_agree():
    settings, config = course.settings(), get_config(ROOT)
    assert (settings["title"], settings["branch"]) == (config.title, config.branch)
    assert settings["install"] == f"{config.lib_name}[course]"
    assert not settings["repo"] or not config.git_url or config.git_url.endswith(settings["repo"])


def test_every_setting_is_read():
    code = "".join(contents(ROOT, "tools/*.py").values())
    assert [key for key in course.settings() if f'"{key}"' not in code] == []


@pytest.fixture
def settings(monkeypatch) -> dict[str, str]:
    "The settings with nothing known of GitHub, whatever a fork has changed; a test may change them."
    values = course.settings() | {"repo": "", "branch": "main", "title": "My course",
                                  "forum": "https://github.com/{repo}/issues/new?title={title}+{page}"}
    monkeypatch.setattr(course, "settings", lambda: values)
    monkeypatch.setattr(course, "_remote", lambda: "")
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    course.repo.cache_clear()
    yield values
    course.repo.cache_clear()


def test_links_of_a_published_course(settings):
    settings["repo"] = "somebody/course"
    assert course.links("nbs/course/01_models.ipynb") == " · ".join([
        "[Ask a question](https://github.com/somebody/course/issues/new?title=My%20course+01_models)",
        "[Open in Colab](https://colab.research.google.com/github/somebody/course/blob/main/nbs/course/01_models.ipynb)",
        "[Open in Studio Lab](https://studiolab.sagemaker.aws/import/github/somebody/course/blob/main/nbs/course/01_models.ipynb)"])


def test_links_without_repository_are_left_out(settings, capsys):
    assert course.links("nbs/00_config.ipynb") == course.links("nbs/03_model.ipynb") == ""
    assert len(capsys.readouterr().err.splitlines()) == 1
    settings["forum"] = "https://forum.example.org/c/course"
    assert course.links("nbs/00_config.ipynb") == "[Ask a question](https://forum.example.org/c/course)"
    settings["forum"] = ""
    assert course.links("nbs/00_config.ipynb") == ""


def test_repository_is_taken_from_settings_then_environment_then_remote(settings, monkeypatch):
    def known():
        course.repo.cache_clear()
        return course.repo()
    monkeypatch.setattr(course, "_remote", lambda: "remote/course")
    assert known() == "remote/course"
    monkeypatch.setenv("GITHUB_REPOSITORY", "environment/course")
    assert known() == "environment/course"
    settings["repo"] = "settings/course"
    assert known() == "settings/course"


@pytest.mark.parametrize("url, name", [
    ("https://github.com/somebody/course.git", "somebody/course"), ("git@github.com:somebody/my.course.git", "somebody/my.course"),
    ("https://github.com/somebody/course/", "somebody/course"), ("https://example.org/somebody/course.git", ""), ("../course", ""), ("", "")])
def test_only_a_github_remote_counts(url, name, monkeypatch):
    monkeypatch.setattr(course.subprocess, "run", lambda *args, **options: type("Result", (), {"stdout": url + "\n"}))
    assert course._remote() == name


@pytest.mark.parametrize("missing, installs", [("", []), ("tinybert", ["another"]), ("fastcore", ["another"]), ("matplotlib", ["another"])])
def test_setup_cell_installs_only_where_something_is_missing(settings, monkeypatch, missing, installs):
    settings["install"], installed = "another", []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != missing)
    exec(course.setup_cell().replace("%pip install -q ", "installed += "), {"installed": installed})
    assert "".join(installed) == "".join(installs)


# The site

def test_yaml_parses_and_quarto_lists_the_notebooks():
    for path in (ROOT / ".pre-commit-config.yaml", *(ROOT / ".github/workflows").glob("*.yml")):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path
    quarto = (ROOT / "_quarto.yml").read_text(encoding="utf-8")
    config = yaml.safe_load(quarto)
    assert config["format"]["html"]["keep-md"] is True and config["format"]["commonmark"] == "default"
    assert config["metadata-files"] == ["site.yml"]
    assert sorted("nbs/" + page for page in re.findall(r"[\w/]+\.ipynb", quarto)) == NOTEBOOKS
    assert (ROOT / "nbs" / config["format"]["html"]["css"]).exists()
    assert os.readlink(ROOT / "nbs/_quarto.yml") == "../_quarto.yml"


@pytest.mark.parametrize("repo", ["", "somebody/course"])
def test_processed_pages(copy, repo):
    ini = copy / "settings.ini"
    ini.write_text(re.sub(r"(?m)^(repo|forum) =.*", r"\1 =", ini.read_text(encoding="utf-8")), encoding="utf-8")
    result = run(copy, "python", "-c", "from nbdev.serve import proc_nbs; proc_nbs(n_workers=1)", GITHUB_REPOSITORY=repo)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("no repository known") == (not repo)
    for name in NOTEBOOKS:
        cells = read(copy / "_proc" / Path(name).relative_to("nbs"))["cells"]
        page = "".join("".join(cell["source"]) + str(cell.get("outputs", "")) for cell in cells)
        assert "title:" in "".join(cells[0]["source"]), f"{name}: the title has no cell of its own"
        assert "](/" not in page, f"{name}: a link from the site's root"
        assert "code-fold: show" not in page, f"{name}: a source that isn't folded"
        reference = "".join(re.findall(r"### [\w.]+\\n.*?```python.*?```", page))
        assert not re.search(r"__main__|torch\.Tensor|torch\.nn\.modules|tinybert\.\w+\.[A-Z]", reference), f"{name}: long types"
        assert ("Open in Colab" in "".join(cells[1]["source"])) == bool(repo)
        assert "[source](" not in page or (repo and f"[source](https://github.com/{repo}/blob/" in page)


# Links and versions

LINK = re.compile(r'(?:\]\(|src="|href=")([^)\s"#]+)')


def pages() -> dict[str, str]:
    "Return the prose of the notebooks and of the Markdown files at the root."
    prose = {name: "\n".join("".join(cell["source"]) for cell in read(ROOT / name)["cells"] if cell["cell_type"] == "markdown")
             for name in NOTEBOOKS}
    return prose | contents(ROOT, "*.md")


@pytest.mark.parametrize("name", pages())
def test_relative_links_lead_somewhere(name):
    top = ROOT / "nbs" if name in NOTEBOOKS else ROOT  # the site has only what is below nbs/
    for link in LINK.findall(pages()[name]):
        if re.match(r"[a-z]+:", link): continue
        target = (ROOT / name).parent.joinpath(link).resolve()
        assert target.exists() and target.is_relative_to(top), f"{name}: {link}"


@pytest.mark.parametrize("name", pages())
def test_links_to_a_named_point_of_a_page_find_it(name):
    text = pages()[name]
    for point in re.findall(r"\]\(#([^)]+)\)", text):
        headings = [re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in re.findall(r"(?m)^#+ (.+)", text)]
        assert f'<a id="{point}"></a>' in text or point in headings, f"{name}: #{point}"


def test_installed_versions_are_the_constraints():
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    pins = [pin for pin in map(Requirement, lines) if not pin.marker or pin.marker.evaluate()]
    assert {pin.name: f"=={version(pin.name).split('+')[0]}" for pin in pins} == {pin.name: str(pin.specifier) for pin in pins}


# The genuine checkpoint

STORE = "models--sentence-transformers--all-MiniLM-L6-v2"


def test_wrong_weights_are_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / minilm.WEIGHTS).write_bytes(b"other weights")
    with pytest.raises(SystemExit) as error: minilm.install(tmp_path / "model", tmp_path / "hub")
    assert minilm.WEIGHTS_SHA256 in str(error.value) and minilm.sha256(b"other weights").hexdigest() in str(error.value)
    assert not (tmp_path / "hub").exists()


def test_checkpoint_is_laid_out_as_the_hub_does_and_only_once(tmp_path):
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    assert minilm.install(minilm.packaged(), tmp_path) is True
    for name in (minilm.WEIGHTS, "config.json", "1_Pooling/config.json"):
        path = Path(try_to_load_from_cache(minilm.REPO_ID, name, cache_dir=tmp_path))
        assert str(path) == hf_hub_download(minilm.REPO_ID, name, cache_dir=tmp_path, local_files_only=True)
        assert path.is_symlink() and not os.path.isabs(os.readlink(path))
        assert path.read_bytes() == (minilm.packaged() / name).read_bytes()
    assert (tmp_path / STORE / "blobs" / minilm.WEIGHTS_SHA256).exists()
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert minilm.install(minilm.packaged(), tmp_path) is False
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_snapshot_from_the_hub_is_kept(tmp_path):
    shutil.copytree(minilm.packaged(), tmp_path / STORE / "snapshots/f00d", ignore=shutil.ignore_patterns("model.safetensors"))
    (tmp_path / STORE / "snapshots/f00d" / minilm.WEIGHTS).touch()
    (tmp_path / STORE / "refs").mkdir()
    (tmp_path / STORE / "refs/main").write_text("f00d")
    assert minilm.install(minilm.packaged(), tmp_path) is False
    assert (tmp_path / STORE / "refs/main").read_text() == "f00d"


def test_snapshot_holds_copies_where_links_are_not_allowed(tmp_path, monkeypatch):
    def refuse(*args): raise OSError
    monkeypatch.setattr(Path, "symlink_to", refuse)
    minilm.put(minilm.packaged() / "config.json", tmp_path / "blobs/b")
    minilm.link(tmp_path / "blobs/b", tmp_path / "snapshots/c/config.json")
    assert (tmp_path / "snapshots/c/config.json").read_bytes() == (minilm.packaged() / "config.json").read_bytes()
