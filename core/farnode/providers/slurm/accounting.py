"""What this user's accounts and QOS allow, as sacctmgr prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from farnode.providers.slurm.cluster import Partition, seconds

ASSOCIATION = "defaultaccount,account,partition,maxsubmit,maxwall,qos,defaultqos"
QOS = "name,maxsubmitpu,maxwall"


@dataclass(frozen=True, slots=True)
class Association:
    """An account this user may use, everywhere or in one partition. `max_wall` in seconds."""

    account: str
    default: bool
    partition: str
    max_submit: int | None
    max_wall: int | None
    qos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Qos:
    name: str
    max_submit: int | None
    max_wall: int | None


@dataclass(frozen=True, slots=True)
class Accounting:
    """Empty where accounting is off."""

    associations: tuple[Association, ...] = ()
    qos: Mapping[str, Qos] | None = None

    def usable(self, partition: Partition, first: str | None) -> Accounts:
        """What may be named in a partition, the site's choice (`first`) or the default account before the others."""
        rows = [row for row in self.associations if row.partition in ("", partition.name)]
        rows = [row for row in rows if partition.admits(row.account)]
        rows.sort(key=lambda row: (row.account != first, not row.default))
        return Accounts(partition, tuple(rows), self.qos or {})


@dataclass(frozen=True, slots=True)
class Accounts:
    """What this user may use in one partition, the default first."""

    partition: Partition
    rows: Sequence[Association]
    all_qos: Mapping[str, Qos]

    @property
    def names(self) -> tuple[str, ...]:
        return _unique(row.account for row in self.rows)

    def qos(self, first: str | None) -> tuple[str, ...]:
        admitted = self.partition.qos
        names = [name for row in self.rows for name in row.qos if admitted is None or name in admitted]
        return _unique(sorted(names, key=lambda name: name != first))

    def limits(self, qos: str | None) -> tuple[int | None, int | None]:
        """Jobs at once and seconds of walltime: the partition's own QOS rules, then the job's, then the account."""
        layers: list[Qos | Association] = [
            *(self.all_qos[name] for name in (self.partition.own_qos, qos) if name and name in self.all_qos),
            *self.rows[:1],
        ]
        submit = next((layer.max_submit for layer in layers if layer.max_submit is not None), None)
        wall = next((layer.max_wall for layer in layers if layer.max_wall is not None), None)
        return submit, wall


def associations(text: str) -> Iterator[Association]:
    for default, account, partition, submit, wall, qos, default_qos in _rows(text, 7):
        names = _unique(filter(None, [default_qos, *qos.split(",")]))
        yield Association(account, account == default, partition, _number(submit), seconds(wall), names)


def qos_rows(text: str) -> Iterator[Qos]:
    for name, submit, wall in _rows(text, 3):
        yield Qos(name, _number(submit), seconds(wall))


def _rows(text: str, columns: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == columns and any(fields):
            yield fields


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
