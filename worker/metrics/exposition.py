"""Prometheus text exposition format 0.0.4."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricType(Enum):
    """How a metric's values relate to each other over time."""

    GAUGE = "gauge"
    COUNTER = "counter"
    """Never falls while the process lives; its name ends with `_total`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """A family of samples under one name."""

    name: str
    type: MetricType
    help: str
    samples: Sequence[Sample]


def gauge(name: str, help: str, *samples: Sample | float) -> Metric:
    """A value that goes up and down; plain numbers are samples without labels."""
    return Metric(name, MetricType.GAUGE, help, _samples(samples))


def counter(name: str, help: str, *samples: Sample | float) -> Metric:
    """A value that only grows; plain numbers are samples without labels."""
    return Metric(name, MetricType.COUNTER, help, _samples(samples))


def exposition(metrics: Iterable[Metric]) -> str:
    """The text of *metrics*; those without samples are left out."""
    lines: list[str] = []
    for metric in metrics:
        if not metric.samples:
            continue
        lines.append(f"# HELP {metric.name} {_escape(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.type.value}")
        lines += [
            f"{metric.name}{_labels(sample.labels)} {_number(sample.value)}"
            for sample in metric.samples
        ]
    return "".join(f"{line}\n" for line in lines)


def _samples(given: Sequence[Sample | float]) -> tuple[Sample, ...]:
    return tuple(each if isinstance(each, Sample) else Sample(each) for each in given)


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (
        '{}="{}"'.format(name, _escape(value).replace('"', r"\"")) for name, value in labels.items()
    )
    return "{" + ",".join(pairs) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
