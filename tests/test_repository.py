"The repository is in order: products are current, notebooks clean, settings used, links whole."

import json
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

from tools import course, minilm, readme, release, setup_cells


@pytest.fixture
def copy(tmp_path) -> Path: return copy_project(tmp_path)


def contents(folder: Path, pattern: str) -> dict[str, str]:
    "Return the text of each matching file."
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern))}


# Products

def test_export_is_current(copy):
    result = run(copy, "nbdev-export")
    assert result.returncode == 0, result.stderr
    assert contents(copy, "tinybert/**/*.py") == contents(ROOT, "tinybert/**/*.py"), "run make export"


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


def test_links_to_other_machines_need_a_repository_in_the_settings(settings, monkeypatch):
    "There, a page without it has no package: its setup cell knows what settings.ini says, and nothing else."
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/course")
    assert course.links("nbs/00_config.ipynb") == "[Ask a question](https://github.com/somebody/course/issues/new?title=My%20course+00_config)"


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


# Setup cells; tests/test_wheel.py runs them

def test_every_page_has_its_setup_cell_before_all_other_code():
    assert [str(path.relative_to(ROOT)) for path in setup_cells.pages()] == NOTEBOOKS
    for name in NOTEBOOKS:
        notebook = read(ROOT / name)
        assert notebook == setup_cells.with_setup(notebook), f"{name}: run make outputs"
        assert next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")["id"] == "setup"


def run_setup(imports: str, there: set[str], monkeypatch) -> str:
    "Run the setup cell of a page with these imports where only these modules are there; return what pip is asked for."
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name in there or asked["packages"])
    monkeypatch.setattr("importlib.metadata.version", {"torch": "2.11.0+cpu", "numpy": "2.0.2"}.get)
    asked = {"packages": ""}
    cell = setup_cells.setup_cell({"cells": [{"cell_type": "code", "source": imports}]})
    exec(cell.replace("%pip install -q {packages}", "pass"), asked)
    return asked["packages"]


ADDRESS = "tinybert @ git+https://github.com/somebody/course@main"
ALL = {"tinybert", "fastcore", "matplotlib"}
KEPT = '"torch==2.11.0+cpu" "numpy==2.0.2"'


@pytest.mark.parametrize("imports, there, expected", [
    ("import torch", ALL, ""), ("import torch, nbdev", {*ALL, "nbdev"}, ""),
    ("import torch", set(), f'"{ADDRESS}" "fastcore>=2" "matplotlib>=3.8"'),
    ("import torch", {"matplotlib", "fastcore", "torch", "numpy"}, f'"{ADDRESS}" {KEPT}'),
    ("from nbdev.showdoc import show_doc", {*ALL, "torch", "numpy"}, f'"nbdev>=3.3" {KEPT}'),
    ("if 1: import transformers\n!ls", ALL, ""),  # the page itself looks whether it's there
    ("%matplotlib inline\nimport sentence_transformers, json", ALL, '"sentence-transformers>=5.2"')])
def test_setup_cell_asks_for_what_is_missing_and_keeps_torch_and_numpy(settings, monkeypatch, imports, there, expected):
    settings["repo"] = "somebody/course"
    assert run_setup(imports, there, monkeypatch) == expected


@pytest.mark.parametrize("branch", ["v0.1.0", "autumn/2027"])
def test_setup_cell_installs_the_branch_or_tag_of_its_page(settings, monkeypatch, branch):
    settings |= {"repo": "somebody/course", "branch": branch}
    assert run_setup("", set(), monkeypatch).startswith(f'"tinybert @ git+https://github.com/somebody/course@{branch}"')


def test_setup_cell_without_repository_installs_nothing(settings, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/fork")  # what a page says depends on settings.ini alone
    assert run_setup("", ALL, monkeypatch) == ""
    with pytest.raises(ImportError, match="There's no tinybert, matplotlib here: run `make lab` in the folder"):
        run_setup("", {"fastcore"}, monkeypatch)
    settings["install"] = "https://course.example.org/tinybert-0.1.0-py3-none-any.whl"  # one that needs no repository
    assert settings["install"] in run_setup("", set(), monkeypatch)


# The site

def test_yaml_parses_and_quarto_lists_the_notebooks():
    assert isinstance(yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")), dict)
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
    text = re.sub(r"(?m)^forum =.*", "forum =", ini.read_text(encoding="utf-8"))
    ini.write_text(re.sub(r"(?m)^repo =.*", f"repo = {repo}", text), encoding="utf-8")
    result = run(copy, "python", "-c", "from nbdev.serve import proc_nbs; proc_nbs(n_workers=1)")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("no repository known") == (not repo)
    assert "imports and other code" not in result.stderr, "nbdev runs cells with imports: they need cells of their own"
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


# GitHub's workflows, as far as they can be checked without GitHub

WORKFLOWS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / ".github/workflows").glob("*.yml")}
JOBS = [pytest.param(workflow, name, id=f"{workflow}-{name}") for workflow, content in WORKFLOWS.items() for name in content["jobs"]]


@pytest.mark.parametrize("workflow, name", JOBS)
def test_a_jobs_commands_and_files_exist(workflow, name):
    job = WORKFLOWS[workflow]["jobs"][name]
    if "uses" in job:  # another workflow, which has to allow it; yaml reads the key `on` as True
        return WORKFLOWS[Path(job["uses"]).stem][True]["workflow_call"]
    assert job["timeout-minutes"] <= 120
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    targets = re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(re.findall(r"\bmake (\w+)", commands)) <= set(targets)
    assert all((ROOT / path).exists() for path in re.findall(r"tests/\w+\.py", commands))
    for module in re.findall(r"python -m (tools[\w.]+|tinybert)\b", commands):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    for used in (step["uses"] for step in job["steps"] if "uses" in step): assert re.search(r"@(v\d+|release/v1)$", used)
    assert set(job.get("needs", "").split()) <= WORKFLOWS[workflow]["jobs"].keys()


def test_nothing_is_published_unless_the_tests_pass():
    for workflow, last in (("docs", "publish"), ("release", "github"), ("release", "pypi")):
        jobs, needed = WORKFLOWS[workflow]["jobs"], [last]
        while "needs" in jobs[needed[-1]]: needed.append(jobs[needed[-1]]["needs"])
        assert needed[-1] == "test" and jobs["test"]["uses"] == "./.github/workflows/test.yml"


def test_only_the_main_branch_becomes_the_site():
    assert "github.ref == 'refs/heads/main'" in WORKFLOWS["docs"]["jobs"]["publish"]["if"]


NODE_24 = {"checkout": 5, "setup-python": 6, "upload-artifact": 6, "download-artifact": 7, "upload-pages-artifact": 5, "deploy-pages": 5}


def test_githubs_own_actions_run_on_node_24():
    "GitHub's machines have no older Node any more; these are the first versions that need none."
    used = [step["uses"] for content in WORKFLOWS.values() for job in content["jobs"].values()
            for step in job.get("steps", []) if step.get("uses", "").startswith("actions/")]
    found = {tuple(re.fullmatch(r"actions/([\w-]+)@v(\d+)", action).groups()) for action in used}
    assert {name for name, _ in found} == NODE_24.keys()
    assert all(int(version) >= NODE_24[name] for name, version in found), found


def test_a_job_may_do_only_what_it_is_for():
    given = {(workflow, name): job.get("permissions") for workflow, content in WORKFLOWS.items()
             for name, job in content["jobs"].items() if "permissions" in job}
    assert all(content["permissions"] == {"contents": "read"} for content in WORKFLOWS.values())
    assert given == {("docs", "build"): {"contents": "read", "pages": "read"}, ("docs", "publish"): {"pages": "write", "id-token": "write"},
                     ("release", "github"): {"contents": "write"}, ("release", "pypi"): {"id-token": "write"}}


def test_linux_gets_torch_for_cpus_and_the_site_a_known_quarto():
    for workflow, name in (("test", "test"), ("docs", "build"), ("release", "build")):
        assert "https://download.pytorch.org/whl/cpu" in WORKFLOWS[workflow]["jobs"][name]["env"]["PIP_EXTRA_INDEX_URL"]
    quarto, = [step for step in WORKFLOWS["docs"]["jobs"]["build"]["steps"] if "quarto" in step.get("uses", "")]
    assert quarto["with"]["version"] == "1.9.38"


def test_a_release_needs_tag_settings_pages_and_changes_that_agree(settings, tmp_path, monkeypatch):
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## 9.8.7\n\n- New.\n\n## 9.8.6\n\n- Old.\n", encoding="utf-8")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "settings", lambda: settings)
    monkeypatch.setattr(release.tinybert, "__version__", "9.8.7")
    page = tmp_path / "page.ipynb"
    monkeypatch.setattr(release, "pages", lambda: [page])
    bare = {"cells": [{"cell_type": "code", "id": "a", "source": "import torch", "metadata": {}, "outputs": [], "execution_count": None}]}
    page.write_text(json.dumps(setup_cells.with_setup(bare)), encoding="utf-8")
    assert release.problems("v9.8.7") == ["settings.ini names no repo", "settings.ini has branch = main; its pages are to install v9.8.7"]
    settings |= {"repo": "somebody/course", "branch": "v9.8.7"}
    assert release.problems("v9.8.7") == ["1 pages have another setup cell, page.ipynb for one: run make outputs"]
    page.write_text(json.dumps(setup_cells.with_setup(bare)), encoding="utf-8")
    assert release.problems("v9.8.7") == [] and release.notes((tmp_path / "CHANGELOG.md").read_text(), "9.8.7") == "- New."
    assert "the tag is v9.8, the version in tinybert/__init__.py 9.8.7" in release.problems("v9.8")
    (tmp_path / "CHANGELOG.md").write_text("## 9.8.7 (unreleased)\n\n- New.\n", encoding="utf-8")
    assert release.problems("v9.8.7") == ["CHANGELOG.md has no part with the heading ## 9.8.7"]


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
