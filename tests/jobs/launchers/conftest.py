"""An engine for all tests of this folder, started when the first one asks for it."""

from collections.abc import Iterator

import pytest

from tests.support.docker_engine import (
    DockerEngine,
    build_image,
    docker_engine,
    import_bare_image,
)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    with docker_engine(tmp_path_factory.mktemp("docker")) as running:
        import_bare_image(running)
        yield running


@pytest.fixture(scope="session")
def our_image(engine: DockerEngine) -> str:
    """The name of the image that our Dockerfile makes; takes minutes."""
    build_image(engine, "mixworker:test")
    return "mixworker:test"
