"""A participant on LiveKit's own Python SDK (libwebrtc inside): shows a colour, plays a tone, sends data, and says
what it received from whom.

Used by the tests beside it, and by the browser tests as a program: `participant.py URL ROOM IDENTITY COLOUR TONE`
prints one JSON line for each thing it notices for the first time, sends each line of its input as data on the topic
"k", and leaves at the end of its input.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from livekit import rtc

WIDTH, HEIGHT, FPS = 640, 360, 15
SAMPLE_RATE = 48_000
# Samples looked at together: 5.9 Hz a bin; and how often, in frames of 10 ms: each takes a good part of a millisecond.
WINDOW = 8192
HANNING = np.hanning(WINDOW)
LISTEN_EVERY = 10

COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 70, 210),
    "yellow": (220, 210, 50),
}

#: The topic of `open_lossy`.
OPENING = "opening"


def token(identity: str, room: str, *, key: str = "devkey", secret: str = "secret", **claims: object) -> str:
    """An HS256 access token; further keyword arguments replace or add claims."""

    def part(value: dict[str, object]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    now = int(time.time())
    body = {
        "iss": key,
        "sub": identity,
        "nbf": now - 5,
        "exp": now + 600,
        "video": {"roomJoin": True, "room": room},
    }
    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(body | claims)
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def nearest_colour(rgb: tuple[float, ...]) -> str | None:
    """Name of the palette's nearest colour; None when all are far."""
    name = min(COLOURS, key=lambda key: np.linalg.norm(np.subtract(COLOURS[key], rgb)))
    return name if np.linalg.norm(np.subtract(COLOURS[name], rgb)) < 60 else None


@dataclass
class Seen:
    """What has arrived from one other participant."""

    frames: int = 0
    size: tuple[int, int] = (0, 0)
    colour: str | None = None
    #: Loudest frequency of the last window in Hz, None while it is quiet.
    tone: float | None = None
    data: list[tuple[str, bytes]] = field(default_factory=list)
    #: Data of `open_lossy` came.
    heard_of: bool = False


class Participant:
    """In a room from `async with` to its end."""

    #: Whether who does not say otherwise has one peer connection; None is the SDK's own choice.
    single_peer_connection: bool | None = None

    def __init__(
        self,
        url: str,
        room: str,
        identity: str,
        *,
        single_peer_connection: bool | None = None,
        access_token: str | None = None,
    ) -> None:
        self.identity = identity
        self.seen: dict[str, Seen] = {}
        self.tracks: set[str] = set()
        self._url = url
        self._token = access_token or token(identity, room)
        if single_peer_connection is not None:
            self.single_peer_connection = single_peer_connection
        self.room = rtc.Room()
        #: Whether it asks for the smallest pictures of those who come.
        self.smallest = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Participant:
        self.room.on("track_subscribed", self._on_track)
        self.room.on("data_received", self._on_data)
        options = rtc.RoomOptions()
        if self.single_peer_connection is not None:
            options.single_peer_connection = self.single_peer_connection
        await asyncio.wait_for(self.room.connect(self._url, self._token, options), 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()

    @property
    def others(self) -> set[str]:
        """Identities of everybody else in the room."""
        return set(self.room.remote_participants)

    async def show(
        self, colour: str, codec: str = "VP8", *, simulcast: bool = True, size: tuple[int, int] = (WIDTH, HEIGHT)
    ) -> str:
        """Publishes a camera that shows one colour; returns the track's id."""
        source = rtc.VideoSource(*size)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            video_codec=rtc.VideoCodec.Value(codec),
            simulcast=simulcast,
        )
        publication = await self.room.local_participant.publish_track(track, options)
        self._start(self._film(source, COLOURS[colour], *size))
        return publication.sid

    async def play(self, hz: float) -> str:
        """Publishes a microphone that hears a tone; returns the track's id."""
        source = rtc.AudioSource(SAMPLE_RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(track, options)
        self._start(self._sing(source, hz))
        return publication.sid

    async def unpublish(self, track_sid: str) -> None:
        await self.room.local_participant.unpublish_track(track_sid)

    async def send(self, payload: bytes, *, topic: str = "", reliable: bool = True, to: list[str] | None = None) -> None:
        await self.room.local_participant.publish_data(
            payload, reliable=reliable, destination_identities=to or [], topic=topic
        )

    def of(self, identity: str) -> Seen:
        """What has arrived from one participant so far."""
        return self.seen.setdefault(identity, Seen())

    def _start(self, work: object) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _film(self, source: rtc.VideoSource, rgb: tuple[int, int, int], width: int, height: int) -> None:
        picture = np.empty((height, width, 4), np.uint8)
        picture[:] = (*rgb, 255)
        number = 0
        while True:
            # A moving bar, so that no encoder may think that nothing changes.
            frame = picture.copy()
            frame[:40, (number * 8) % width :][:, :32] = 255
            source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, frame.tobytes()))
            number += 1
            await asyncio.sleep(1 / FPS)

    async def _sing(self, source: rtc.AudioSource, hz: float) -> None:
        count = SAMPLE_RATE // 100
        position = 0
        while True:
            phase = 2 * np.pi * hz * (np.arange(count) + position) / SAMPLE_RATE
            samples = (np.sin(phase) * 12_000).astype(np.int16)
            position += count
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE, 1, count))

    def _on_track(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self.tracks.add(track.sid)
        seen = self.of(participant.identity)
        video = track.kind == rtc.TrackKind.KIND_VIDEO
        if video and self.smallest and publication.simulcasted:
            publication.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
        self._start(self._watch(track, seen) if video else self._listen(track, seen))

    def _on_data(self, packet: rtc.DataPacket) -> None:
        sender = packet.participant.identity if packet.participant else ""
        if packet.topic == OPENING:
            self.of(sender).heard_of = True
        else:
            self.of(sender).data.append((packet.topic or "", bytes(packet.data)))

    async def _watch(self, track: rtc.Track, seen: Seen) -> None:
        async for event in rtc.VideoStream(track, format=rtc.VideoBufferType.RGB24):
            frame = event.frame
            pixels = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 3)
            middle = pixels[frame.height // 2 :, :].mean(axis=(0, 1))
            seen.frames += 1
            seen.size = (frame.width, frame.height)
            seen.colour = nearest_colour(tuple(middle))

    async def _listen(self, track: rtc.Track, seen: Seen) -> None:
        window = np.zeros(WINDOW)
        frames = 0
        async for event in rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1):
            samples = np.frombuffer(event.frame.data, np.int16) / 32768
            window = np.concatenate([window, samples])[-WINDOW:]
            frames += 1
            if frames % LISTEN_EVERY:
                continue
            if np.sqrt(np.mean(window**2)) < 0.003:
                seen.tone = None
            else:
                spectrum = np.abs(np.fft.rfft(window * HANNING))
                seen.tone = float(np.argmax(spectrum)) * SAMPLE_RATE / WINDOW


async def open_lossy(*people: Participant) -> None:
    """Lossy data is lost while its receiver's channel is not open yet: some is sent until everybody heard everybody."""

    def missing() -> set[Participant]:
        return {one for one in people for other in people if one is not other and not other.of(one.identity).heard_of}

    end = time.monotonic() + 20
    while silent := missing():
        assert time.monotonic() < end, f"lossy data of {sorted(one.identity for one in silent)} does not arrive"
        for one in silent:
            await one.send(b"", topic=OPENING, reliable=False)
        await asyncio.sleep(0.1)


async def until(what: str, condition: Callable[[], object], timeout: float = 20) -> None:
    """Polls a condition; says what it waited for when the time is over."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        await asyncio.sleep(0.05)


async def _program(url: str, room: str, identity: str, colour: str, tone: str) -> None:
    """What the browser tests start; see the top of this file."""

    def say(**what: object) -> None:
        print(json.dumps(what), flush=True)

    me = Participant(url, room, identity)
    me.smallest = True  # both ways: browsers share the machine with it
    async with me:
        say(event="joined", identity=identity)
        await me.show(colour, simulcast=False, size=(320, 180))
        await me.play(float(tone))
        said: set[str] = set()

        async def report() -> None:
            while True:
                for other, seen in me.seen.items():
                    notices = [
                        {"event": "frames", "from": other} if seen.frames >= 10 else None,
                        {"event": "colour", "from": other, "colour": seen.colour} if seen.colour else None,
                        {"event": "tone", "from": other, "hz": round(seen.tone / 10) * 10} if seen.tone else None,
                        *({"event": "data", "from": other, "topic": t, "text": d.decode(errors="replace")} for t, d in seen.data),
                    ]
                    for notice in notices:
                        if notice and (line := json.dumps(notice)) not in said:
                            said.add(line)
                            print(line, flush=True)
                await asyncio.sleep(0.1)

        reporting = asyncio.create_task(report())
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            await me.send(line.strip(), topic="k")
        reporting.cancel()


if __name__ == "__main__":
    asyncio.run(_program(*sys.argv[1:]))
