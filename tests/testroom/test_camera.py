from worker.core.identity import Source
from worker.core.layout.geometry import Size
from worker.testroom.camera import LiveCamera, LoopedCamera, camera_for
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.painter import Picture
from worker.testroom.person import Person
from worker.testroom.scenario import VideoFeed

LOOP = tuple(LoopUnit(bytes((index,)), keyframe=index % 5 == 0) for index in range(10))
FEED = VideoFeed(size=Size(64, 64), fps=10, live=True)
PICTURE = Picture(Person(0, "Ada"), Source.CAMERA, FEED.size, FEED.fps, 1, 0.3)


def test_a_looped_camera_goes_round():
    camera = LoopedCamera(LOOP)

    assert [camera.unit(frame) for frame in range(20, 32)] == [*LOOP, *LOOP[:2]]


def test_a_looped_camera_starts_with_a_keyframe():
    camera = LoopedCamera(LOOP)

    assert [camera.unit(frame) for frame in (3, 4, 5, 6)] == [None, None, LOOP[5], LOOP[6]]


def test_after_a_pause_a_looped_camera_waits_for_a_keyframe():
    camera = LoopedCamera(LOOP)
    for frame in range(3):
        camera.unit(frame)

    assert [camera.unit(frame) for frame in (8, 9, 10)] == [None, None, LOOP[0]]


def test_a_live_camera_starts_and_resumes_with_a_keyframe():
    camera = LiveCamera(PICTURE, FEED)
    units = [camera.unit(frame) for frame in (3, 4, 8, 9)]

    assert [unit.keyframe for unit in units if unit] == [True, False, True, False]


def test_a_live_camera_answers_a_request_at_once():
    camera = LiveCamera(PICTURE, FEED)
    camera.unit(0)
    camera.unit(1)
    camera.request_keyframe()

    units = [camera.unit(2), camera.unit(3)]

    assert [unit.keyframe for unit in units if unit] == [True, False]


def test_the_feed_says_which_camera_it_is():
    library = LoopLibrary(None)

    assert isinstance(camera_for(PICTURE, FEED, library), LiveCamera)
    looped = camera_for(PICTURE, VideoFeed(size=Size(64, 64), fps=10), library)
    assert isinstance(looped, LoopedCamera)
