from __future__ import annotations

import importlib.util
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from imaging_platform.cli.main import cli
from imaging_platform.model.layout import Home
from imaging_platform.settings import parse_study

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
    ]
)
CHEAP = ("study new", "study check", "study list", "where", "status")
"""Commands of the pages that really run here; the others need images or a server."""

_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`[^`\n]*`")
_CODE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command of a page, as words."""

    page: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return Path(self.words[0]).name


def read_commands(page: Path) -> list[Command]:
    name = page.relative_to(REPOSITORY).as_posix()
    lines = [
        line.strip().removeprefix("$ ")
        for block in _BLOCK.findall(page.read_text())
        for line in block.splitlines()
        if line.strip().startswith("$ ")
    ]
    words = [tuple(shlex.split(line)) for line in lines]
    return [Command(name, _without_variables(each)) for each in words]


def _without_variables(words: tuple[str, ...]) -> tuple[str, ...]:
    first = next(i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
    return words[first:]


COMMANDS = [command for page in PAGES for command in read_commands(page)]
OURS = [c.words[1:] for c in COMMANDS if c.program == "imaging-platform"]


def _is_cheap(words: tuple[str, ...]) -> bool:
    return " ".join(words).startswith(CHEAP)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """A home with the studies of the pages, which the environment names."""
    home = Home(tmp_path / "home")
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    monkeypatch.chdir(tmp_path)
    return home


def test_the_pages_show_every_command():
    shown = {" ".join(words) for words in OURS}

    for path in _paths(cli):
        assert any(text.startswith(path) for text in shown), f"no page shows {path}"


@pytest.mark.parametrize("words", sorted(set(OURS)), ids=" ".join)
def test_a_command_of_a_page_is_one_that_the_program_takes(words, monkeypatch):
    # Paths of the pages do not exist here; that they are paths is enough.
    monkeypatch.setattr(
        click.Path, "convert", lambda self, value, param, context: value
    )

    _parse(cli, list(words))


def test_an_option_that_does_not_exist_would_be_found():
    with pytest.raises(click.NoSuchOption):
        _parse(cli, ["process", "--everything"])


def test_a_make_target_of_a_page_exists():
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M)
    wanted = {word for c in COMMANDS if c.program == "make" for word in c.words[1:]}

    assert wanted
    assert wanted <= set(targets)


def test_a_script_of_a_page_exists():
    scripts = {
        word
        for command in COMMANDS
        for word in command.words
        if word.startswith(("docs/", "deploy/", ".ci/"))
    }

    assert scripts
    assert all((REPOSITORY / script).exists() for script in scripts)


def test_the_cheap_commands_of_the_pages_run(home):
    wanted = list(dict.fromkeys(words for words in OURS if _is_cheap(words)))
    made = {words[2] for words in wanted if words[:2] == ("study", "new")}

    for words in sorted(wanted, key=lambda words: words[:2] != ("study", "new")):
        done = CliRunner().invoke(cli, list(words), standalone_mode=False)

        assert done.exception is None, f"{words}: {done.exception!r}"
    assert set(home.studies()) == made


def test_what_a_page_shows_of_a_study_file_is_valid():
    blocks = [
        (page, block)
        for page in PAGES
        for block in re.findall(
            r"^( *)```yaml\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL
        )
    ]

    assert blocks
    for page, (indent, text) in blocks:
        plain = "\n".join(line.removeprefix(indent) for line in text.splitlines())
        content = yaml.safe_load(plain)
        assert parse_study({"name": "shown", **content}), page


def test_a_page_names_only_assets_and_checks_that_exist():
    reference = (REPOSITORY / "docs/reference/assets.md").read_text()
    known = set(re.findall(r"`([a-z_0-9]+)`", reference))

    for page in (REPOSITORY / "docs").rglob("*.md"):
        named = re.findall(
            r"`((?:raw|bids|session|study|defaced|brain)_[a-z0-9]+)`", page.read_text()
        )
        assert set(named) <= known, page


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix()
)
def test_links_lead_somewhere(page):
    text = _SPAN.sub("", _CODE.sub("", page.read_text()))

    for target in _LINK.findall(text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in _anchors(found.read_text()), f"{target} has no heading"


def test_the_index_lists_every_page():
    index = (REPOSITORY / "docs/README.md").read_text()

    for page in (REPOSITORY / "docs").rglob("*.md"):
        if page.name != "README.md":
            name = page.relative_to(REPOSITORY / "docs").as_posix()
            assert f"({name})" in index, name


def test_the_generated_reference_is_what_the_code_says():
    generator = _load_generator()

    for name, text in generator.pages().items():
        committed = (REPOSITORY / "docs/reference" / name).read_text()
        assert committed == text, f"run: python docs/reference/generate.py ({name})"


def test_the_reference_explains_every_rule_and_shows_every_reviewed_element():
    from imaging_platform.deid.rewriters import REWRITERS
    from imaging_platform.deid.tables import load_siemens_lists, load_table
    from imaging_platform.deid.values import PATTERNS

    page = (REPOSITORY / "docs/reference/deidentification.md").read_text()
    reviewed = load_table("private_reviewed.json")["elements"]
    technique = load_table("technique.json")["attributes"]
    siemens = load_siemens_lists()

    explained = {*PATTERNS, *_load_generator().OTHER_RULES}
    used = {row[1] for row in reviewed.values()} | {*REWRITERS}
    used |= {row[0] for row in technique.values()}
    used |= {*siemens["csa_texts"].values(), *siemens["protocol_texts"].values()}
    assert used <= explained
    assert all(f"| `{rule}` |" in page for rule in explained)
    for name, row in reviewed.items():
        shown = f"| ({name[:4]},xx{name[-2:]}) | {name[5:-3]} | {row[0]} | "
        assert f"{shown}`{row[1]}` | {row[2]} |" in page


def test_pictures_are_small_and_shown():
    pictures = sorted((REPOSITORY / "docs/pictures").glob("*.png"))
    readme = (REPOSITORY / "README.md").read_text()

    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 300_000
        assert f"docs/pictures/{picture.name}" in readme


def _paths(group: click.Group, before: str = "") -> list[str]:
    found = []
    for name, command in group.commands.items():
        path = f"{before}{name}"
        is_group = isinstance(command, click.Group)
        found += _paths(command, f"{path} ") if is_group else [path]
    return found


def _parse(command: click.Command, words: list[str]) -> None:
    context = click.Context(command)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command = found
        context = click.Context(command, parent=context)
    command.make_context(command.name, words, parent=context)


def _load_generator():
    path = REPOSITORY / "docs/reference/generate.py"
    spec = importlib.util.spec_from_file_location("generate_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}
