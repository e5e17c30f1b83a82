"""Chromium publishing marked pictures and sounds into a Janus room."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from aiohttp import web
from playwright.async_api import Browser, Page

PAGE = Path(__file__).parent / "janus_page"
PORT = 8080


@asynccontextmanager
async def janus_page() -> AsyncIterator[str]:
    """Serves the publisher's page; gives its address."""
    app = web.Application()
    app.router.add_static("/", PAGE)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", PORT).start()
        yield f"http://127.0.0.1:{PORT}/index.html"
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class BrowserPublisher:
    """One browser tab in the room."""

    page: Page

    async def share(self, colour: str) -> None:
        """Publish a second video, described as a screen, of one colour."""
        await self.page.evaluate("colour => window.publisher.share(colour)", colour)

    async def leave(self) -> None:
        await self.page.evaluate("window.publisher.leave()")


@asynccontextmanager
async def publishing(
    browser: Browser, address: str, name: str, **options: object
) -> AsyncIterator[BrowserPublisher]:
    """Join as *name* and publish; *options* are those of the page (colour, tone, phase, …)."""
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{address}?{urlencode({'name': name, **options})}")
        await page.wait_for_function("window.publisher?.state", timeout=15_000)
        assert await page.evaluate("window.publisher.state") == "published"
        yield BrowserPublisher(page)
    finally:
        await context.close()


def yuv_of(colour: str) -> np.ndarray:
    """What a picture of *colour* (#rrggbb) becomes: BT.601 limited range, as browsers send."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return np.asarray(
        [
            16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256,
            128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256,
            128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256,
        ]
    )
