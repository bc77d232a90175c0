"""LiveKit's Python SDK when its signalling connection breaks or falls silent, and when the server starts anew: it comes
back by itself, and nothing of what was sent meanwhile is lost or comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from conftest import serving
from participant import Participant, until

pytestmark = pytest.mark.usefixtures("connections")


class Line:
    """The TCP line to the server: may be cut, or carry nothing for a while. Media go past it."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.url = ""
        #: Connections so far.
        self.count = 0

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[Line]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self._open.set()
            self.cut()
            server.close()

    def cut(self) -> None:
        """Ends all connections without a word of WebSocket."""
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Nothing passes from now on, in any connection; nobody is told."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.count += 1
        far, forth = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._writers |= {back, forth}
        with contextlib.suppress(asyncio.CancelledError):  # at the end of the test
            await asyncio.gather(self._pump(near, forth), self._pump(far, back), return_exceptions=True)
        self._writers -= {back, forth}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


class Numbers:
    """What a participant sends reliably meanwhile: one number after the other."""

    def __init__(self, sender: Participant) -> None:
        self.count = 0
        self._is_over = False
        self._task = asyncio.create_task(self._send(sender))

    async def _send(self, sender: Participant) -> None:
        while not self._is_over:
            await sender.send(b"%d" % self.count, topic="n")
            self.count += 1
            await asyncio.sleep(0.02)

    async def stop(self) -> int:
        """Ends it; how many there were."""
        self._is_over = True
        await asyncio.wait_for(self._task, 20)
        return self.count


def news_of(participant: Participant) -> list[str]:
    """What a participant is told of its connection, from now on."""
    news: list[str] = []
    for event in ("reconnecting", "reconnected", "disconnected"):
        participant.room.on(event, lambda *_, event=event: news.append(event))
    return news


async def flows(receiver: Participant, sender: str, colour: str, hz: float) -> None:
    """New pictures and sound of somebody arrive."""
    seen = receiver.of(sender)
    frames, seen.tone = seen.frames, None
    await until(f"{sender}'s pictures", lambda: seen.frames > frames + 10 and seen.colour == colour, timeout=30)
    await until(f"{sender}'s tone", lambda: seen.tone is not None and abs(seen.tone - hz) < 12, timeout=30)


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
def test_a_broken_signalling_connection_is_resumed(url: str, room: str, silent: bool) -> None:
    async def scenario() -> None:
        async with Line(url).laid() as line, Participant(url, room, "ben") as ben:
            async with Participant(line.url, room, "ada") as ada:
                for who, colour, hz in ((ada, "red", 440), (ben, "blue", 620)):
                    await who.show(colour)
                    await who.play(hz)
                await flows(ben, "ada", "red", 440)
                await flows(ada, "ben", "blue", 620)
                news, left = news_of(ada), []
                ben.room.on("participant_disconnected", lambda who: left.append(who.identity))
                tracks = set(ada.tracks), set(ben.tracks)

                # Data go past the line. The SDK keeps what ada sends until it is back; what ben sends reaches her at once.
                sending = [Numbers(ada), Numbers(ben)]
                line.hold()
                if not silent:
                    line.cut()
                await until("ada to notice", lambda: news == ["reconnecting"], timeout=30)
                behind = sending[1].count + 50
                await until("data meanwhile", lambda: sending[1].count > behind)
                async with Participant(url, room, "cleo"):
                    line.release()
                    await until("the resume", lambda: news == ["reconnecting", "reconnected"], timeout=30)
                    await until("what was missed", lambda: ada.others == {"ben", "cleo"})
                await until("and what happens next", lambda: ada.others == {"ben"})
                for receiver, sender, numbers in ((ben, "ada", sending[0]), (ada, "ben", sending[1])):
                    count = await numbers.stop()
                    got = receiver.of(sender).data
                    await until("all data", lambda: len(got) >= count)
                    assert got == [("n", b"%d" % number) for number in range(count)], "in order, and each once"
                await flows(ben, "ada", "red", 440)
                await flows(ada, "ben", "blue", 620)
                # It is the same stay with the same tracks: ben saw nothing of it.
                assert left == ["cleo"] and (ada.tracks, ben.tracks) == tracks
                assert line.count > 1

    asyncio.run(scenario())


def test_after_the_server_started_anew_all_meet_again(room: str, tmp_path: pathlib.Path) -> None:
    async def scenario() -> None:
        with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
            start = lambda stack, port=None: asyncio.to_thread(  # noqa: E731
                lambda: stack.enter_context(serving(None, tmp_path, "server-restart", port=port))
            )
            url = await start(first)
            async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
                for who, colour, hz in ((ada, "red", 440), (ben, "blue", 620)):
                    await who.show(colour)
                    await who.play(hz)
                await flows(ben, "ada", "red", 440)
                news = [news_of(ada), news_of(ben)]
                await asyncio.to_thread(first.close)
                assert await start(second, urlsplit(url).port) == url
                for who, told in zip((ada, ben), news, strict=True):
                    await until(f"{who.identity} to be back", lambda: told == ["reconnecting", "reconnected"], timeout=40)
                await flows(ben, "ada", "red", 440)
                await flows(ada, "ben", "blue", 620)
                await ada.send(b"again", topic="t")
                await until("data", lambda: ben.of("ada").data == [("t", b"again")])

    asyncio.run(scenario())
