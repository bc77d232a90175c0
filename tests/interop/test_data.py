"""Data of LiveKit's Python SDK through the server: data tracks, methods of others, streams of text and bytes, order."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc
from livekit.rtc.participant import PublishDataError, PublishDataTrackError
from participant import Participant, until

pytestmark = pytest.mark.usefixtures("connections")


def test_frames_of_a_data_track_arrive_whole_and_from_the_right_publisher(url: str, room: str) -> None:
    """Both publishers' tracks have the same number on their own connections."""

    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            async with Participant(url, room, "cleo") as cleo:
                remote: dict[str, rtc.RemoteDataTrack] = {}
                gone: list[str] = []
                cleo.room.on("data_track_published", lambda track: remote.update({track.publisher_identity: track}))
                cleo.room.on("data_track_unpublished", gone.append)
                local = {
                    who.identity: await who.room.local_participant.publish_data_track(name="position")
                    for who in (ada, ben)
                }
                await until("both tracks", lambda: set(remote) == {"ada", "ben"})
                assert {track.info.name for track in remote.values()} == {"position"}
                got: dict[str, set[bytes]] = {"ada": set(), "ben": set()}

                async def read(publisher: str, stream: rtc.DataTrackStream) -> None:
                    async for frame in stream:
                        got[publisher].add(bytes(frame.payload))

                reading = [asyncio.create_task(read(who, track.subscribe())) for who, track in remote.items()]
                # Larger than a packet of any network, so it arrives in pieces.
                frames = {who: who.encode() * 10_000 for who in local}

                def push_and_look() -> bool:
                    for who, track in local.items():
                        track.try_push(rtc.DataTrackFrame(payload=frames[who]))
                    return all(got.values())

                await until("frames of both", push_and_look)
                assert got == {who: {frame} for who, frame in frames.items()}

                sid = remote["ada"].info.sid
                await local["ada"].unpublish()
                await until("the end of one", lambda: gone == [sid])
                for task in reading:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)

    asyncio.run(scenario())


def test_a_data_track_needs_a_name_of_its_own(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada:
            # Kept, since the SDK unpublishes what nobody holds.
            first = await ada.room.local_participant.publish_data_track(name="position")
            with pytest.raises(PublishDataTrackError):
                await ada.room.local_participant.publish_data_track(name="position")
            assert first.is_published()

    asyncio.run(scenario())


def test_a_method_of_another_participant_is_called_and_its_error_comes_back(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:

            async def shout(call: rtc.RpcInvocationData) -> str:
                if not call.payload:
                    raise rtc.RpcError(1500, "nothing to shout")
                return f"{call.caller_identity}: {call.payload.upper()}"

            ben.room.local_participant.register_rpc_method("shout", shout)
            await until("ben", lambda: ada.others == {"ben"})
            call = ada.room.local_participant.perform_rpc
            assert await call(destination_identity="ben", method="shout", payload="hello") == "ada: HELLO"
            with pytest.raises(rtc.RpcError) as refused:
                await call(destination_identity="ben", method="shout", payload="")
            assert (refused.value.code, refused.value.message) == (1500, "nothing to shout")

    asyncio.run(scenario())


def test_streams_of_text_and_bytes_arrive_whole(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            texts: list[tuple[str, str]] = []
            files: list[bytes] = []
            tasks: list[asyncio.Task[None]] = []

            async def take_text(reader: rtc.TextStreamReader, sender: str) -> None:
                texts.append((sender, await reader.read_all()))

            async def take_bytes(reader: rtc.ByteStreamReader) -> None:
                files.append(b"".join([chunk async for chunk in reader]))

            ben.room.register_text_stream_handler(
                "t", lambda reader, sender: tasks.append(asyncio.create_task(take_text(reader, sender)))
            )
            ben.room.register_byte_stream_handler(
                "b", lambda reader, _: tasks.append(asyncio.create_task(take_bytes(reader)))
            )
            await until("ben", lambda: ada.others == {"ben"})
            text = "größer als ein Paket " * 5000
            await ada.room.local_participant.send_text(text, topic="t")
            file = bytes(range(256)) * 400
            writer = await ada.room.local_participant.stream_bytes("numbers", topic="b", total_size=len(file))
            await writer.write(file)
            await writer.aclose()
            await until("the text", lambda: texts == [("ada", text)])
            await until("the bytes", lambda: files == [file])

    asyncio.run(scenario())


def test_reliable_data_arrives_in_order(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            await until("ben", lambda: ada.others == {"ben"})
            sent = [("n", number.to_bytes(2) * (1 + number % 7 * 90)) for number in range(300)]
            for topic, payload in sent:
                await ada.send(payload, topic=topic)
            await until("the last", lambda: len(ben.of("ada").data) == len(sent))
            assert ben.of("ada").data == sent

    asyncio.run(scenario())


def test_a_file_for_everybody_arrives_whole_and_throws_nobody_out(url: str, room: str) -> None:
    """More than waits for a receiver at once, so its sender has to wait; and a chat message stays in its place."""

    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            async with Participant(url, room, "cleo") as cleo:
                files: dict[str, bytes] = {}
                left: list[str] = []
                tasks: list[asyncio.Task[None]] = []

                async def take(who: str, reader: rtc.ByteStreamReader) -> None:
                    files[who] = b"".join([chunk async for chunk in reader])

                for one in (ben, cleo):
                    one.room.on("disconnected", lambda reason: left.append(str(reason)))
                    one.room.on("reconnecting", lambda: left.append("reconnecting"))
                    one.room.register_byte_stream_handler(
                        "b",
                        lambda reader, _, who=one.identity: tasks.append(asyncio.create_task(take(who, reader))),
                    )
                await until("everybody", lambda: ada.others == {"ben", "cleo"})
                file = bytes(range(256)) * (5_000_000 // 256)
                writer = await ada.room.local_participant.stream_bytes("large", topic="b", total_size=len(file))
                await writer.write(file)
                await writer.aclose()
                await ada.send(b"behind the file", topic="t")
                await until("the message", lambda: all(one.of("ada").data for one in (ben, cleo)), timeout=60)
                await until("the file", lambda: set(files) == {"ben", "cleo"})
                assert all(got == file for got in files.values())
                assert left == []

    asyncio.run(scenario())


def test_data_above_the_limit_is_refused_and_the_next_arrives(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            await until("ben", lambda: ada.others == {"ben"})
            with pytest.raises(PublishDataError, match="maximum message size"):
                await ada.send(bytes(70_000), topic="t")
            await ada.send(b"small", topic="t")
            await until("the small one", lambda: ben.of("ada").data == [("t", b"small")])

    asyncio.run(scenario())
