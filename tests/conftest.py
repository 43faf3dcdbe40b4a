"""For all tests: the demo model, nothing left behind, and results by requirement."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from lab.leftovers import held, left_over, loose_tasks

ROOT = Path(__file__).parent.parent
CACHED_MODELS = ROOT / ".cache" / "models"
SERVED_MODELS = ROOT / "rempart-data" / "models"

RESULTS = pytest.StashKey["dict[str, dict[str, str]]"]()
FAILED_CALL = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The demo model's GGUF file; fetched once, outside the data folder that people use."""
    from rempart.runners.files.demo_model import ensure_demo_model

    CACHED_MODELS.mkdir(parents=True, exist_ok=True)
    for fetched in SERVED_MODELS.glob("*.gguf"):  # `make setup` has it: no second download
        if not (CACHED_MODELS / fetched.name).exists():
            try:
                os.link(fetched, CACHED_MODELS / fetched.name)
            except OSError:
                shutil.copyfile(fetched, CACHED_MODELS / fetched.name)
    return ensure_demo_model(CACHED_MODELS, lambda line: print(line, file=sys.stderr))


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """What a library opens once per process is no test's leak: libuv keeps a pipe for signals."""
    uvloop.new_event_loop().close()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest, _warm: None) -> Iterator[None]:
    """No child, descriptor or task stays behind; what a session fixture holds may."""
    before = held()
    with loose_tasks() as loose:
        yield
    if request.node.stash.get(FAILED_CALL, False):
        return  # its own message says more
    left = [*left_over(before), *loose.lines]
    if left:
        pytest.fail("the test left behind:\n  " + "\n  ".join(left), pytrace=False)


# Results by requirement, for docs/requirements.md.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--requirements-to",
        type=Path,
        metavar="FILE",
        help="after a full run, write which requirement each test showed, and whether it passed",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[FAILED_CALL] = True
    if report.when != "call" and not report.failed:
        return report
    for marker in item.iter_markers("requirement"):
        for line in marker.args:
            tests = item.config.stash[RESULTS].setdefault(line, {})
            name = item.nodeid.split("[")[0]  # one line for all parameters: passed if all did
            if tests.get(name, "passed") == "passed":
                tests[name] = report.outcome
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    file: Path | None = config.getoption("--requirements-to")
    narrowed = config.option.keyword or config.args_source is pytest.Config.ArgsSource.ARGS
    ended_early = exitstatus not in (0, 1) or session.shouldfail or session.shouldstop
    if file is None or narrowed or ended_early:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(config.stash[RESULTS], indent=1, sort_keys=True) + "\n")
