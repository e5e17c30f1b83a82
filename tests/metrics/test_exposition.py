"""The text format, as Prometheus's documentation describes it."""

from worker.metrics.exposition import Sample, counter, exposition, gauge


def test_a_metric_is_explained_typed_and_listed():
    text = exposition(
        [
            counter("frames_total", "Frames composed.", 1800),
            gauge("state", "Which.", Sample(1, {"output": "mp4", "state": "up"}), Sample(0.25)),
        ]
    )

    assert text == (
        "# HELP frames_total Frames composed.\n"
        "# TYPE frames_total counter\n"
        "frames_total 1800\n"
        "# HELP state Which.\n"
        "# TYPE state gauge\n"
        'state{output="mp4",state="up"} 1\n'
        "state 0.25\n"
    )


def test_what_would_end_a_label_or_a_line_is_escaped():
    text = exposition([gauge("g", "a\\b\nc", Sample(1, {"l": 'a\\b"c\nd'}))])

    assert text.splitlines() == [
        r"# HELP g a\\b\nc",
        "# TYPE g gauge",
        r'g{l="a\\b\"c\nd"} 1',
    ]


def test_large_and_small_numbers_keep_their_value():
    text = exposition([gauge("g", "h", 2.0**53, 1e-7, -1.5)])

    assert [float(line.split()[1]) for line in text.splitlines()[2:]] == [2.0**53, 1e-7, -1.5]


def test_a_metric_without_samples_is_left_out():
    assert exposition([gauge("g", "h")]) == ""
