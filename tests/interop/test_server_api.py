"""LiveKit's server SDK for Python as the client of RoomService and the receiver of webhooks."""

from __future__ import annotations

import asyncio
import os
import pathlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from conftest import Receiver, listening, serving
from jwt import InvalidSignatureError
from livekit import api, rtc
from livekit.protocol.models import ParticipantPermission
from participant import Participant, Seen, until

#: Every method: how it is called in a room.
METHODS: dict[str, Callable[[api.LiveKitAPI, str], Awaitable[object]]] = {
    "create_room": lambda lk, room: lk.room.create_room(api.CreateRoomRequest(name=room)),
    "list_rooms": lambda lk, room: lk.room.list_rooms(api.ListRoomsRequest()),
    "delete_room": lambda lk, room: lk.room.delete_room(api.DeleteRoomRequest(room=room)),
    "update_room_metadata": lambda lk, room: lk.room.update_room_metadata(
        api.UpdateRoomMetadataRequest(room=room, metadata="m")
    ),
    "list_participants": lambda lk, room: lk.room.list_participants(api.ListParticipantsRequest(room=room)),
    "get_participant": lambda lk, room: lk.room.get_participant(who(room, "ada")),
    "remove_participant": lambda lk, room: lk.room.remove_participant(who(room, "ada")),
    "mute_published_track": lambda lk, room: lk.room.mute_published_track(
        api.MuteRoomTrackRequest(room=room, identity="ada", track_sid="TR_none", muted=True)
    ),
    "update_participant": lambda lk, room: lk.room.update_participant(
        api.UpdateParticipantRequest(room=room, identity="ada", name="Ada")
    ),
    "update_subscriptions": lambda lk, room: lk.room.update_subscriptions(
        api.UpdateSubscriptionsRequest(room=room, identity="ada", track_sids=["TR_none"], subscribe=False)
    ),
    "send_data": lambda lk, room: lk.room.send_data(api.SendDataRequest(room=room, data=b"d")),
    "move_participant": lambda lk, room: lk.room.move_participant(
        api.MoveParticipantRequest(room=room, identity="ada", destination_room=f"{room}-2")
    ),
}


def who(room: str, identity: str) -> api.RoomParticipantIdentity:
    return api.RoomParticipantIdentity(room=room, identity=identity)


def server_api(url: str, secret: str = "secret") -> api.LiveKitAPI:
    return api.LiveKitAPI(url.replace("ws", "http", 1), "devkey", secret)


def access(room: str, identity: str, **grants: object) -> str:
    """A token made by LiveKit's own code."""
    video = api.VideoGrants(room_join=True, room=room, **grants)
    return api.AccessToken("devkey", "secret").with_identity(identity).with_grants(video).to_jwt()


@asynccontextmanager
async def meeting(url: str, room: str, *identities: str) -> AsyncIterator[tuple[api.LiveKitAPI, list[Participant]]]:
    """The API, and participants who see each other."""
    async with server_api(url) as lk:
        people = [Participant(url, room, identity) for identity in identities]
        try:
            for person in people:
                await person.__aenter__()
            await until("each other", lambda: all(len(p.others) == len(people) - 1 for p in people))
            yield lk, people
        finally:
            for person in people:
                await person.__aexit__()


async def until_still(what: str, paused: Seen, flowing: Seen) -> None:
    """Nothing arrives at one for as long as the other gets ten frames."""
    seen = (paused.frames, flowing.frames)

    def still() -> bool:
        nonlocal seen
        if paused.frames > seen[0]:
            seen = (paused.frames, flowing.frames)
        return flowing.frames > seen[1] + 10

    await until(f"no more frames for {what}", still)


async def refused(code: str, status: int, work: Awaitable[object]) -> None:
    with pytest.raises(api.TwirpError) as refusal:
        await work
    assert (refusal.value.code, refusal.value.status) == (code, status)


def test_a_room_is_created_listed_changed_and_deleted(url: str, room: str) -> None:
    async def scenario() -> None:
        async with server_api(url) as lk:
            made = await lk.room.create_room(
                api.CreateRoomRequest(name=room, empty_timeout=77, departure_timeout=7, max_participants=1, metadata="a")
            )
            assert (made.name, made.empty_timeout, made.departure_timeout) == (room, 77, 7)
            assert made.sid.startswith("RM_") and made.creation_time > 0
            listed = (await lk.room.list_rooms(api.ListRoomsRequest(names=[room, "no-such-room"]))).rooms
            assert [(r.name, r.sid, r.max_participants, r.metadata) for r in listed] == [(room, made.sid, 1, "a")]
            assert room in [r.name for r in (await lk.room.list_rooms(api.ListRoomsRequest())).rooms]

            async with Participant(url, room, "ada") as ada:
                assert ada.room.metadata == "a"
                with pytest.raises(rtc.ConnectError):
                    await Participant(url, room, "ben").__aenter__()  # the room is full
                changed = await lk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata="b"))
                assert changed.metadata == "b"
                await until("the metadata", lambda: ada.room.metadata == "b")
                reasons: list[int] = []
                ada.room.on("disconnected", reasons.append)
                await lk.room.delete_room(api.DeleteRoomRequest(room=room))
                await until("the end", lambda: reasons)
                assert reasons == [rtc.DisconnectReason.ROOM_DELETED]
            assert not (await lk.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
            await refused("not_found", 404, lk.room.delete_room(api.DeleteRoomRequest(room=room)))

    asyncio.run(scenario())


def test_participants_are_listed_changed_and_removed(url: str, room: str) -> None:
    async def scenario() -> None:
        async with meeting(url, room, "ada", "ben") as (lk, (ada, ben)):
            camera = await ada.show("red", simulcast=True)
            await until("red", lambda: ben.of("ada").colour == "red")
            listed = (await lk.room.list_participants(api.ListParticipantsRequest(room=room))).participants
            assert sorted(p.identity for p in listed) == ["ada", "ben"]
            one = await lk.room.get_participant(who(room, "ada"))
            assert one.sid == ada.room.local_participant.sid and one.is_publisher
            assert [track.sid for track in one.tracks] == [camera]
            assert (one.tracks[0].width, one.tracks[0].height) == (640, 360)
            await refused("not_found", 404, lk.room.get_participant(who(room, "nobody")))

            changed = await lk.room.update_participant(
                api.UpdateParticipantRequest(
                    room=room, identity="ada", name="Ada L", metadata="guide", attributes={"hand": "up", "x": "y"}
                )
            )
            assert (changed.name, changed.metadata) == ("Ada L", "guide")
            seen = ben.room.remote_participants["ada"]
            await until("the attributes", lambda: seen.attributes == {"hand": "up", "x": "y"})
            assert (seen.name, seen.metadata) == ("Ada L", "guide")
            await until("her own", lambda: ada.room.local_participant.name == "Ada L")
            await lk.room.update_participant(
                api.UpdateParticipantRequest(room=room, identity="ada", attributes={"x": ""})
            )
            await until("one less", lambda: seen.attributes == {"hand": "up"})

            reasons: list[int] = []
            ada.room.on("disconnected", reasons.append)
            await lk.room.remove_participant(who(room, "ada"))
            await until("ada's end", lambda: reasons)
            assert reasons == [rtc.DisconnectReason.PARTICIPANT_REMOVED]
            await until("nobody else", lambda: not ben.others)
            await refused("not_found", 404, lk.room.remove_participant(who(room, "ada")))

    asyncio.run(scenario())


def test_a_muted_track_is_silent(url: str, room: str) -> None:
    async def scenario() -> None:
        async with meeting(url, room, "ada", "ben") as (lk, (ada, ben)):
            microphone = await ada.play(440)
            seen = ben.of("ada")
            await until("440 Hz", lambda: seen.tone is not None and abs(seen.tone - 440) < 12)

            def mute(track: str, muted: bool) -> Awaitable[api.MuteRoomTrackResponse]:
                return lk.room.mute_published_track(
                    api.MuteRoomTrackRequest(room=room, identity="ada", track_sid=track, muted=muted)
                )

            assert (await mute(microphone, True)).track.muted
            await until("silence", lambda: seen.tone is None)
            publication = ben.room.remote_participants["ada"].track_publications[microphone]
            await until("ben is told", lambda: publication.muted)
            await refused("failed_precondition", 412, mute(microphone, False))
            await refused("not_found", 404, mute("TR_none", True))

    asyncio.run(scenario())


def test_subscriptions_are_changed_for_one(url: str, room: str) -> None:
    async def scenario() -> None:
        async with meeting(url, room, "ada", "ben", "cem") as (lk, (ada, ben, cem)):
            camera = await ada.show("blue")
            await until("ben's blue", lambda: ben.of("ada").frames > 10)
            await until("cem's blue", lambda: cem.of("ada").frames > 10)
            def subscribe(identity: str, tracks: list[str], on: bool) -> Awaitable[object]:
                return lk.room.update_subscriptions(
                    api.UpdateSubscriptionsRequest(room=room, identity=identity, track_sids=tracks, subscribe=on)
                )

            await subscribe("ben", [camera], False)
            await until_still("ben", ben.of("ada"), cem.of("ada"))
            frames = ben.of("ada").frames
            await subscribe("ben", [camera], True)
            await until("ben's blue again", lambda: ben.of("ada").frames > frames + 10)
            await refused("not_found", 404, subscribe("ben", ["TR_foreign"], True))

    asyncio.run(scenario())


def test_data_of_the_server_arrives_where_it_should(url: str, room: str) -> None:
    async def scenario() -> None:
        async with meeting(url, room, "ada", "ben") as (lk, (ada, ben)):

            def send(data: bytes, **more: object) -> Awaitable[object]:
                return lk.room.send_data(
                    api.SendDataRequest(room=room, data=data, kind=api.DataPacket.Kind.RELIABLE, **more)
                )

            await send(b"to ada", topic="k", destination_identities=["ada"])
            await send(b"to all", topic="k")
            await until("ada's", lambda: ada.of("").data == [("k", b"to ada"), ("k", b"to all")])
            await until("ben's", lambda: ben.of("").data == [("k", b"to all")])
            await refused("invalid_argument", 400, send(bytes(70_000)))

    asyncio.run(scenario())


def test_a_moved_participant_goes_on_in_the_other_room(url: str, room: str) -> None:
    async def scenario() -> None:
        other = f"{room}-2"
        async with meeting(url, room, "ada", "ben") as (lk, (ada, ben)), Participant(url, other, "cem") as cem:
            await ada.show("green")
            await until("ben's green", lambda: ben.of("ada").colour == "green")
            await lk.room.move_participant(
                api.MoveParticipantRequest(room=room, identity="ada", destination_room=other)
            )
            await until("ben alone", lambda: not ben.others)
            await until("ada there", lambda: cem.others == {"ada"} and ada.others == {"cem"})
            await until("cem's green", lambda: cem.of("ada").colour == "green")
            assert ada.room.name == other

    asyncio.run(scenario())


def test_permissions_change_in_a_live_call(url: str, room: str) -> None:
    async def scenario() -> None:
        async with meeting(url, room, "ada", "ben") as (lk, (ada, ben)):
            await ada.show("red")
            await until("ben's red", lambda: ben.of("ada").colour == "red")

            def permit(identity: str, **permission: bool) -> Awaitable[object]:
                given = ParticipantPermission(**permission)
                return lk.room.update_participant(
                    api.UpdateParticipantRequest(room=room, identity=identity, permission=given)
                )

            await permit("ada", can_subscribe=True, can_publish_data=True)
            publications = ben.room.remote_participants["ada"].track_publications
            await until("ada's camera is gone", lambda: not publications)
            await until("ada is told", lambda: not ada.room.local_participant.permissions.can_publish)

            await permit("ada", can_subscribe=True, can_publish=True, can_publish_data=True)
            await until("ada may again", lambda: ada.room.local_participant.permissions.can_publish)
            await ada.show("yellow")
            await until("ben's yellow", lambda: ben.of("ada").colour == "yellow")

            await permit("ben", can_publish=True)
            await until("ben is told", lambda: not ben.room.local_participant.permissions.can_subscribe)
            await ben.send(b"not any more")
            await permit("ben", can_publish=True, can_subscribe=True, can_publish_data=True)
            await until("ben may again", lambda: ben.room.local_participant.permissions.can_publish_data)
            frames = ben.of("ada").frames
            await until("yellow goes on", lambda: ben.of("ada").frames > frames + 10)
            await ben.send(b"again")
            await until("ben's data", lambda: ada.of("ben").data)
            assert ada.of("ben").data == [("", b"again")]

    asyncio.run(scenario())


def test_nobody_sees_a_hidden_recorder_who_sees_everybody(url: str, room: str) -> None:
    async def scenario() -> None:
        async with meeting(url, room, "ada", "ben") as (lk, (ada, ben)):
            assert not ada.room.is_recording
            await ada.show("blue")
            secret = access(room, "recorder", hidden=True, recorder=True, can_publish=False)
            async with Participant(url, room, "recorder", access_token=secret) as recorder:
                await until("the recorder's blue", lambda: recorder.of("ada").colour == "blue")
                await until("the recording", lambda: ada.room.is_recording and ben.room.is_recording)
                listed = (await lk.room.list_participants(api.ListParticipantsRequest(room=room))).participants
                assert sorted(p.identity for p in listed) == ["ada", "ben", "recorder"]
                async with Participant(url, room, "late") as late:
                    await until("late sees both", lambda: late.others == {"ada", "ben"})
                    await until("everybody sees late", lambda: ada.others == {"ben", "late"})
                    assert late.room.is_recording
                assert ben.others <= {"ada", "late"}
            await until("its end", lambda: not ada.room.is_recording)

    asyncio.run(scenario())


@pytest.mark.parametrize("method", METHODS)
def test_a_token_without_the_grant_is_refused(url: str, room: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed well, but for a participant: `AccessToken` is made to grant what participants have."""
    grants = api.VideoGrants(room_join=True, room=room)
    original = api.AccessToken.with_grants

    async def scenario() -> None:
        async with meeting(url, room, "ada") as (lk, _):
            with monkeypatch.context() as patch:
                patch.setattr(
                    api.AccessToken, "with_grants", lambda self, _: original(self.with_identity("ben"), grants)
                )
                await refused("permission_denied", 403, METHODS[method](lk, room))
            assert (await lk.room.get_participant(who(room, "ada"))).name == "", "nothing happened"

    asyncio.run(scenario())


def test_a_token_of_another_secret_is_refused(url: str, room: str) -> None:
    async def scenario() -> None:
        async with server_api(url, "not-the-secret") as stranger:
            await refused("unauthenticated", 401, METHODS["create_room"](stranger, room))

    asyncio.run(scenario())


def told(hook: Receiver, room: str) -> list[api.WebhookEvent]:
    """What a receiver was told about a room, each checked by LiveKit's own code."""
    receiver = api.WebhookReceiver(api.TokenVerifier("devkey", "secret"))
    events = [receiver.receive(body, token) for body, token in list(hook.notices)]
    return [event for event in events if event.room.name == room]


def last_told(hook: Receiver, room: str) -> str:
    events = told(hook, room)
    return events[-1].event if events else ""


@pytest.mark.skipif("INTEROP_URL" in os.environ, reason="another server's webhooks do not come here")
def test_webhooks_are_signed_and_come_in_order(url: str, room: str, hook: Receiver) -> None:
    async def scenario() -> None:
        async with meeting(url, room, "ada") as (lk, (ada,)):
            camera = await ada.show("red")
            await until("the camera", lambda: last_told(hook, room) == "track_published")
            await ada.unpublish(camera)
            await until("its end", lambda: last_told(hook, room) == "track_unpublished")
            await lk.room.delete_room(api.DeleteRoomRequest(room=room))
            await until("the room's end", lambda: last_told(hook, room) == "room_finished")
        events = told(hook, room)
        assert [event.event for event in events] == [
            "room_started",
            "participant_joined",
            "track_published",
            "track_unpublished",
            "participant_left",
            "room_finished",
        ]
        assert {event.participant.identity for event in events[1:5]} == {"ada"}
        assert {event.track.sid for event in events[2:4]} == {camera}
        assert len({event.room.sid for event in events}) == 1
        assert len({event.id for event in events}) == len(events) and all(event.created_at for event in events)

        body, token = hook.notices[-1]
        with pytest.raises(Exception, match="hash mismatch"):
            api.WebhookReceiver(api.TokenVerifier("devkey", "secret")).receive(f"{body} ", token)
        with pytest.raises(InvalidSignatureError):
            api.WebhookReceiver(api.TokenVerifier("devkey", "another")).receive(body, token)

    asyncio.run(scenario())


@pytest.mark.skipif("INTEROP_URL" in os.environ, reason="another server's webhooks do not come here")
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "unknown"])
def test_webhooks_go_over_tls_to_whom_the_certificate_names(tmp_path: pathlib.Path, room: str, trusted: bool) -> None:
    """To a receiver whose certificate the machine knows, and not to one whose it does not."""
    certificate, key = self_signed(tmp_path, "known")
    roots = certificate if trusted else self_signed(tmp_path, "other")[0]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def scenario(url: str, receiver: Receiver) -> None:
        async with server_api(url) as lk:
            await lk.room.create_room(api.CreateRoomRequest(name=room))
            if trusted:
                await until("the notice", lambda: last_told(receiver, room) == "room_started")
            else:
                await until("a handshake that fails", lambda: receiver.failed)
                assert receiver.notices == []

    with (
        listening(tls) as receiver,
        serving(
            f"https://127.0.0.1:{receiver.server_port}/", tmp_path, "server-interop-tls", SSL_CERT_FILE=str(roots)
        ) as url,
    ):
        asyncio.run(scenario(url, receiver))


def self_signed(folder: pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """A certificate for 127.0.0.1 and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    # No authority that signs others: rustls takes only such a certificate as a server's own.
    command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
