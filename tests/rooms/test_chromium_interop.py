"""A real browser at the other end: our descriptions are taken, media flows both ways."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from playwright.async_api import Page

from tests.rooms.rtp_material import AudioSender
from tests.support.browser import open_browser
from worker.core.identity import Codec, Kind, TrackId
from worker.core.layout.geometry import Size
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.ice import IceSettings
from worker.rooms.media import MID_URI, MediaCodec, OfferedMedia
from worker.rooms.peer import Peer, PeerState
from worker.rooms.receive.receiver import PeerReceiver

pytestmark = pytest.mark.timeout(120)
DEADLINE_S = 40
