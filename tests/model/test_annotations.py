from __future__ import annotations

import dataclasses

import pytest

from farnode.errors import Invalid
from farnode.model.annotations import PREFIX, TABLE, Settings, markdown, read_settings
from farnode.model.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d12h", 129600),
        ("00:00:01", 1),
        ("02:30:00", 9000),
        ("100:00:00", 360000),
        ("1-02:03:04", 93784),
        ("0-00:01:00", 60),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text, "x") == seconds


@pytest.mark.parametrize(
    "text", ["", "120", "2", "1:30", "1-02", "0s", "00:00:00", "2h30", "-1h", "1h 30m", "1.5h", "400d", "01:60:00"]
)
def test_durations_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_duration(text, "metadata.x")
    assert caught.value.field == "metadata.x"
    assert "duration such as 90s" in caught.value.problem or "366 days" in caught.value.problem


def test_all_of_them() -> None:
    texts = {
        "gpu-model": "a100",
        "gpu-memory": "40Gi",
        "walltime": "2h",
        "partition": "gpu",
        "account": "physics",
        "qos": "high",
        "queue-timeout": "1d",
        "runtime": "apptainer",
        "mpi": "true",
        "dedicated": "true",
        "gang": "train",
        "gang-size": "1024",
        "gang-failure": "ignore",
    }
    assert read_settings({PREFIX + key: value for key, value in texts.items()}) == Settings(
        gpu_model="a100",
        gpu_memory=40 * 2**30,
        walltime=7200,
        partition="gpu",
        account="physics",
        qos="high",
        queue_timeout=86400,
        runtime="apptainer",
        mpi=True,
        dedicated=True,
        gang="train",
        gang_size=1024,
        gang_failure="ignore",
    )


def test_a_pod_of_several_nodes_has_mpi() -> None:
    assert read_settings({PREFIX + "nodes": "2", PREFIX + "mpi": "false"}) == Settings(nodes=2, mpi=True)


def test_every_row_is_a_setting_and_its_example_is_accepted() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert {row.name.replace("-", "_") for row in TABLE} == fields
    gang = {PREFIX + "gang": "train", PREFIX + "gang-size": "2"}
    for row in TABLE:
        settings = read_settings({**(gang if "gang" in row.name else {}), PREFIX + row.name: row.example})
        kind = {
            int: "duration quantity number",
            str: "name `apptainer`, `podman`, `charliecloud`, `bubblewrap` or `process` `stop` or `ignore`",
            bool: "`true` or `false`",
        }
        assert row.accepts in kind[type(getattr(settings, row.name.replace("-", "_")))]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("wall-time", "2h", "did you mean farnode.io/walltime?"),
        ("gpumodel", "x", "did you mean farnode.io/gpu-model?"),
        ("zzz", "x", "known are gpu-model"),
        ("walltime", "120", "is not a duration"),
        ("gpu-memory", "much", "is not a quantity"),
        ("gpu-memory", "0", "must be more than 0"),
        ("runtime", "docker", "is not one of apptainer, podman, charliecloud, bubblewrap, process"),
        ("mpi", "yes", 'is not "true" or "false"'),
        ("partition", "gpu;rm -rf", "letters, digits"),
        ("account", "-A", "letters, digits"),
        ("qos", "", "letters, digits"),
        ("dedicated", "1", 'is not "true" or "false"'),
        ("nodes", "1", "is not a number between 2 and 4096"),
        ("nodes", "4097", "is not a number between 2 and 4096"),
        ("nodes", "two", "is not a number"),
        ("gang", "a b", "letters, digits"),
        ("gang", "train", "needs farnode.io/gang-size"),
        ("gang-size", "0", "is not a number between 1 and 1024"),
        ("gang-size", "1025", "is not a number between 1 and 1024"),
        ("gang-size", "²", "is not a number"),
        ("gang-size", "9" * 5000, "is not a number"),
        ("gang-size", "4", "name it by farnode.io/gang"),
        ("gang-failure", "stop", "name it by farnode.io/gang"),
        ("gang-failure", "restart", "is not one of stop, ignore"),
    ],
)
def test_refused(name: str, text: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_settings({PREFIX + name: text})
    assert caught.value.field == f"metadata.annotations[farnode.io/{name}]"
    assert words in caught.value.problem


def test_a_member_of_a_gang_has_one_node() -> None:
    with pytest.raises(Invalid, match="a member of a gang has one node") as caught:
        read_settings({PREFIX + "gang": "train", PREFIX + "gang-size": "2", PREFIX + "nodes": "2"})
    assert caught.value.field == "metadata.annotations[farnode.io/nodes]"


def test_annotations_of_others_are_left_alone() -> None:
    assert read_settings({"example.com/walltime": "nonsense"}) == Settings()


def test_markdown_has_a_row_for_each() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(TABLE) + 2
    assert all(line.count("|") == 5 for line in lines)
    assert "| `farnode.io/walltime` | duration |" in markdown()
