"""A headless Chromium with fake camera, microphone and screen, for tests of the page."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright

CHROMIUM = Path(__file__).parent / "chromium.sh"

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    # Camera and microphone: a green picture with a clock, a beep every second. The screen, too, is
    # made up by the fake user interface: 1280x720 at 15 frames a second.
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    # ICE on 127.0.0.1, addresses instead of mDNS names: nothing leaves the machine.
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)


@asynccontextmanager
async def chromium(flags: Sequence[str] = ()) -> AsyncIterator[Browser]:
    """A running browser; closed with everything in it when the context is left."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=[*_FLAGS, *flags], chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(frozen=True, slots=True)
class Person:
    """One visitor of the page, in a profile of its own."""

    page: Page
    name: str
    complaints: list[str]
    """What the page reported on its console as an error, or threw."""

    async def tile(self, name: str, kind: str = "camera") -> dict[str, Any] | None:
        """What this person sees of *name*, None without a tile: see `_TILE`."""
        seen: dict[str, Any] | None = await self.page.evaluate(_TILE, [name, kind])
        return seen

    async def sees(self, name: str, kind: str = "camera", *, within_s: float = 15.0) -> None:
        """Wait until *name* is seen: from now on frames arrive, neither black nor of one colour."""
        await self.page.evaluate(
            "args => delete (window.testsSaw ??= {})[args.join()]", [name, kind]
        )
        await self._until(f"{_PLAYS}({_TILE}, args)", [name, kind], within_s)

    async def hears(self, name: str, *, within_s: float = 15.0) -> None:
        """Wait until *name*'s level meter moves: the fake microphone beeps every second."""
        await self._until(f"({_TILE})(args)?.level > 0.2", [name, "camera"], within_s)

    async def until(self, condition: str, *args: object, within_s: float = 10.0) -> None:
        """Wait until the JavaScript expression *condition* holds; `args` is at hand in it."""
        await self._until(condition, list(args), within_s)

    async def _until(self, condition: str, args: list[object], within_s: float) -> None:
        try:
            await self.page.wait_for_function(
                f"args => ({condition})", arg=args, timeout=within_s * 1000, polling=100
            )
        except Error as exc:
            shown = await self.page.locator("body").inner_text()
            raise AssertionError(
                f"{self.name} waited for {condition[:200]} with {args}\n"
                f"page: {shown}\nconsole: {self.complaints}"
            ) from exc


@asynccontextmanager
async def visit(
    browser: Browser,
    page_url: str,
    name: str,
    room: str,
    *,
    user_id: str = "",
    before: str = "",
    **asked: str,
) -> AsyncIterator[Person]:
    """Join *room* as *name* with camera and microphone; the script *before* runs first.

    *asked* goes into the page's address, for instance `video="vp9"`.
    """
    context = await browser.new_context(viewport={"width": 1280, "height": 720})
    try:
        page = await context.new_page()
        person = Person(page, name, [])

        def note(message: ConsoleMessage) -> None:
            if message.type == "error":
                person.complaints.append(message.text)

        page.on("console", note)
        page.on("pageerror", lambda error: person.complaints.append(str(error)))
        await page.add_init_script(before)
        query = urlencode({"room": room, "name": name, "user": user_id, "autojoin": 1, **asked})
        await page.goto(f"{page_url}?{query}")
        yield person
    finally:
        await context.close()


_TILE = """([name, kind]) => {
  const tile = [...document.querySelectorAll(`.tile.${kind}`)]
    .find((t) => t.querySelector('.name').textContent.startsWith(name));
  if (!tile) return null;
  const video = tile.querySelector('video');
  const seen = {
    width: video.videoWidth, height: video.videoHeight,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    playing: Boolean(video.srcObject) && !video.paused, silent: tile.classList.contains('silent'),
    dark: tile.classList.contains('dark'),
    level: parseFloat(tile.querySelector('.level i').style.transform.slice('scaleX('.length)) || 0,
    darkest: 0, brightest: 0,
  };
  if (!video.videoWidth) return seen;
  const canvas = new OffscreenCanvas(64, 36);
  const pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0, 64, 36);
  const { data } = pen.getImageData(0, 0, 64, 36);
  const lights = [];
  for (let i = 0; i < data.length; i += 4) lights.push((data[i] + data[i + 1] + data[i + 2]) / 3);
  seen.darkest = Math.min(...lights);
  seen.brightest = Math.max(...lights);
  return seen;
}"""

_PLAYS = """((look, args) => {
  const seen = look(args);
  if (!seen?.playing || !seen.width || seen.brightest < 60) return false;
  if (seen.brightest - seen.darkest < 20) return false;
  const seenBefore = (window.testsSaw ??= {});
  const key = args.join();
  // The count starts again with a new stream.
  if (!(seenBefore[key] <= seen.frames)) seenBefore[key] = seen.frames;
  return seen.frames - seenBefore[key] >= 5;
})"""
