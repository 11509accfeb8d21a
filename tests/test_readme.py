"""README.md says what the code does: its tables are those of the code, its commands and files exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from farnode import Invalid
from farnode.cli import main
from farnode.gateway.config import load
from farnode.providers.local.settings import LocalSettings
from farnode.providers.slurm.settings import SlurmSettings
from tests.readme import README, TABLES, written

TEXT = README.read_text("utf-8")
ROOT = README.parent


def test_its_tables_are_those_of_the_code() -> None:
    assert set(TABLES) == set(re.findall(r"<!-- generated: ([a-z-]+) -->", TEXT))
    assert written(TEXT) == TEXT, "python -m tests.readme writes them anew"


@pytest.mark.parametrize("settings", [SlurmSettings, LocalSettings])
def test_it_has_every_setting_of_the_drivers(settings: type[SlurmSettings] | type[LocalSettings]) -> None:
    with pytest.raises(Invalid) as error:
        settings.read({"no-such-setting": 1})
    _, _, known = error.value.problem.partition("there are ")
    names = known.split(", ")
    assert names
    assert [name for name in names if f"`provider.{name}`" not in TEXT] == []


def test_its_commands_exist() -> None:
    blocks = "".join(TEXT.split("```")[1::2])
    lines = re.findall(r"^(?:\$ )?farnode ([a-z].*)$", blocks, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        command: click.Command = main
        for word in line.split():
            if not isinstance(command, click.Group) or word.startswith("-"):
                break
            assert word in command.commands, line
            command = command.commands[word]


def test_its_files_exist() -> None:
    named = set(re.findall(r"`?((?:examples|core|tests|scripts|benchmarks)/[\w./-]+\w)", TEXT))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_configurations_are_accepted(tmp_path: Path) -> None:
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "provider:" in block]
    assert len(blocks) >= 2
    for block in blocks:
        path = tmp_path / "gateway.yaml"
        path.write_text(block)
        config = load(path)
        kinds = {"slurm": SlurmSettings, "local": LocalSettings}
        kinds[config.provider.kind].read(config.provider.settings)
        assert yaml.safe_load(block)
