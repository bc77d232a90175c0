"""A test over one peer connection in which a picture, a tone or a message did not come in time is tried again, and says so.

In about one of ten meetings over one peer connection LiveKit's Python SDK (libwebrtc) yields no frame at all of a track:
its own statistics count the frames as received and decoded, and another video stream of the same track stays empty
too. It was not seen in 142 meetings in which the first packets of each new section waited 300 ms: probably they come before
the answer that announces them, and libwebrtc begins a stream of its own for them. That is not proved, and as long as the
server does not wait one test in a hundred fails twice: hence two more tries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.runner import runtestprotocol

TRIES = 3

#: What was tried again, with what was missing at first.
_tried: dict[str, str] = {}


def _missing(reports: list[pytest.TestReport]) -> Iterator[str]:
    for report in reports:
        crash = getattr(report.longrepr, "reprcrash", None)
        if report.failed and crash and "AssertionError: waited " in crash.message:
            yield crash.message.splitlines()[0]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(TRIES):
        item.attempt = attempt
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        missing = next(_missing(reports), None)
        if missing is None or "two-connections" in item.nodeid:
            break
        _tried.setdefault(item.nodeid, missing)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = {report.nodeid for report in terminalreporter.stats.get("failed", [])}
    passed = {test: missing for test, missing in _tried.items() if test not in failed}
    for test, missing in passed.items():
        terminalreporter.write_line(f"TRIED AGAIN {test} - {missing}")
    if passed:
        terminalreporter.write_line(f"{len(passed)} tried again")
