"""LiveKit's Python SDK against the server and itself: media that is looked at, data, refusals."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc
from participant import Participant, open_lossy, token, until

both_protocols = pytest.mark.usefixtures("connections")

# VP8 and VP9 come from libvpx, AV1 from libaom, H264 from OpenH264; all are inside the SDK.
CODECS = ["VP8", "VP9", "H264", "AV1"]


@both_protocols
@pytest.mark.parametrize("codec", CODECS)
def test_picture_and_sound_arrive(url: str, room: str, codec: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            await ada.show("red", codec)
            await ada.play(440)
            await ben.show("blue", codec)
            await ben.play(620)
            for receiver, sender, colour, hz in ((ben, "ada", "red", 440), (ada, "ben", "blue", 620)):
                seen = receiver.of(sender)
                await until(f"{sender}'s {colour} in {codec}", lambda: seen.colour == colour and seen.frames > 15)
                await until(f"{sender}'s tone", lambda: seen.tone is not None and abs(seen.tone - hz) < 12)

    asyncio.run(scenario())


@both_protocols
def test_the_full_size_arrives_of_simulcast(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            await ada.show("green", simulcast=True)
            await until("green", lambda: ben.of("ada").colour == "green")
            await until("640×360", lambda: ben.of("ada").size == (640, 360))

    asyncio.run(scenario())


@both_protocols
def test_the_picture_has_the_size_that_its_subscriber_asks_for(url: str, room: str) -> None:
    async def scenario() -> None:
        async with (
            Participant(url, room, "ada") as ada,
            Participant(url, room, "ben") as ben,
            Participant(url, room, "cem") as cem,
        ):
            camera = await ada.show("green", simulcast=True, size=(1280, 720))  # the SDK makes three layers of this size
            for receiver in (ben, cem):
                await until("the full size", lambda: receiver.of("ada").size == (1280, 720))
            publication = ben.room.remote_participants["ada"].track_publications[camera]
            for quality, size in (
                (rtc.VideoQuality.VIDEO_QUALITY_LOW, (320, 180)),
                (rtc.VideoQuality.VIDEO_QUALITY_MEDIUM, (640, 360)),
                (rtc.VideoQuality.VIDEO_QUALITY_HIGH, (1280, 720)),
            ):
                publication.set_video_quality(quality)
                await until(f"{size} for ben", lambda: ben.of("ada").size == size)
                assert ben.of("ada").colour == "green"
                frames = cem.of("ada").frames
                await until("cem's go on", lambda: cem.of("ada").frames > frames + 5)
                assert cem.of("ada").size == (1280, 720), "nobody else's changes"

    asyncio.run(scenario())


def test_clients_with_one_peer_connection_and_with_two_meet(url: str, room: str) -> None:
    async def scenario() -> None:
        async with (
            Participant(url, room, "new", single_peer_connection=True) as new,
            Participant(url, room, "old", single_peer_connection=False) as old,
        ):
            await new.show("yellow")
            await new.play(440)
            await old.show("red")
            await old.play(620)
            for receiver, sender, colour, hz in ((old, "new", "yellow", 440), (new, "old", "red", 620)):
                seen = receiver.of(sender)
                await until(colour, lambda: seen.colour == colour and seen.frames > 15)
                await until(f"{hz} Hz", lambda: seen.tone is not None and abs(seen.tone - hz) < 12)
            await new.send(b"to old")
            await old.send(b"to new")
            await until("data of new", lambda: ("", b"to old") in old.of("new").data)
            await until("data of old", lambda: ("", b"to new") in new.of("old").data)

    asyncio.run(scenario())


@both_protocols
def test_a_late_joiner_gets_what_is_there_and_an_unpublished_track_ends(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada:
            camera = await ada.show("red")
            await ada.play(440)
            async with Participant(url, room, "late") as late:
                seen = late.of("ada")
                await until("red", lambda: seen.colour == "red")
                await until("440 Hz", lambda: seen.tone is not None and abs(seen.tone - 440) < 12)
                assert camera in late.tracks
                await ada.unpublish(camera)
                again = await ada.show("yellow")
                await until("yellow", lambda: seen.colour == "yellow")
                assert again in late.tracks and again != camera

    asyncio.run(scenario())


@both_protocols
@pytest.mark.parametrize("reliable", [True, False])
def test_data_goes_both_ways_and_only_where_it_should(url: str, room: str, reliable: bool) -> None:
    async def scenario() -> None:
        async with (
            Participant(url, room, "ada") as ada,
            Participant(url, room, "ben") as ben,
            Participant(url, room, "cem") as cem,
        ):
            await until("all three", lambda: all(len(p.others) == 2 for p in (ada, ben, cem)))
            if not reliable:
                await open_lossy(ada, ben, cem)
            await ada.send(b"to all", topic="k", reliable=reliable)
            await until("ben's", lambda: ("k", b"to all") in ben.of("ada").data)
            await until("cem's", lambda: ("k", b"to all") in cem.of("ada").data)
            await ben.send(b"to ada", topic="k", reliable=reliable, to=["ada"])
            await until("ada's", lambda: ("k", b"to ada") in ada.of("ben").data)
            # What was sent afterwards to everybody has arrived, so what was not for cem would have as well.
            await ben.send(b"after", reliable=reliable)
            await until("cem's later one", lambda: ("", b"after") in cem.of("ben").data)
            assert cem.of("ben").data == [("", b"after")]
            assert not ada.of("ada").data, "nothing comes back to its sender"

    asyncio.run(scenario())


@both_protocols
def test_a_large_reliable_packet_arrives_whole(url: str, room: str) -> None:
    async def scenario() -> None:
        payload = bytes(range(256)) * 55
        async with Participant(url, room, "ada") as ada, Participant(url, room, "ben") as ben:
            await until("each other", lambda: ada.others and ben.others)
            await ada.send(payload)
            await until("14 kB", lambda: ("", payload) in ben.of("ada").data)

    asyncio.run(scenario())


@both_protocols
def test_who_leaves_is_gone_for_the_others(url: str, room: str) -> None:
    async def scenario() -> None:
        async with Participant(url, room, "ada") as ada:
            async with Participant(url, room, "ben"):
                await until("ben", lambda: ada.others == {"ben"})
            await until("ben's leaving", lambda: not ada.others)

    asyncio.run(scenario())


@both_protocols
def test_rooms_are_separate_even_for_equal_names(url: str, room: str) -> None:
    async def scenario() -> None:
        async with (
            Participant(url, f"{room}-1", "ada") as ada1,
            Participant(url, f"{room}-1", "ben") as ben1,
            Participant(url, f"{room}-2", "ada") as ada2,
            Participant(url, f"{room}-2", "ben") as ben2,
        ):
            await ada1.show("red")
            await ada2.show("blue")
            await until("red", lambda: ben1.of("ada").colour == "red" and ben1.of("ada").frames > 10)
            await until("blue", lambda: ben2.of("ada").colour == "blue" and ben2.of("ada").frames > 10)
            assert len(ben1.tracks) == len(ben2.tracks) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "bad",
    [
        token("ada", "elsewhere", secret="not-the-secret"),
        token("ada", "elsewhere", key="nobody"),
        token("ada", "elsewhere", exp=1_000_000_000),
        token("ada", "elsewhere", video={"room": "elsewhere"}),
        "not.a.token",
        "",
    ],
    ids=["signature", "key", "expired", "no-join-grant", "garbage", "none"],
)
def test_a_bad_token_is_refused(url: str, bad: str) -> None:
    async def scenario() -> None:
        with pytest.raises(rtc.ConnectError):
            await asyncio.wait_for(rtc.Room().connect(url, bad), 20)

    asyncio.run(scenario())
