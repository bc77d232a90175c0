/** A server that lies: what it says is not believed where it matters, and where it does harm people are told. */
import {
  SignalResponse,
  SubscribedCodec,
  SubscribedQuality,
  SubscribedQualityUpdate,
  TrackSource,
  type ParticipantInfo,
} from '@livekit/protocol';
import { Liar } from '../src/liar.ts';
import { test as base, expect } from '../src/meeting.ts';
import { testId } from '../src/person.ts';
import { until } from '../src/until.ts';

const test = base.extend<{ liar: Liar }>({
  liar: async ({ server }, use) => {
    const liar = await Liar.before(server);
    await use(liar);
    liar.close();
  },
});

/** Everybody that a message tells of, oneself included. */
function participantsIn({ message }: SignalResponse): ParticipantInfo[] {
  switch (message.case) {
    case 'join':
      return [message.value.participant, ...message.value.otherParticipants].filter(
        (one) => one !== undefined,
      );
    case 'update':
      return message.value.participants;
    default:
      return [];
  }
}

test('that says nothing is encrypted changes nothing', async ({ people, liar }) => {
  liar.lies.signal = (message) => {
    for (const { tracks } of participantsIn(message)) for (const track of tracks) track.encryption = 0;
    if (message.message.case === 'trackPublished' && message.message.value.track)
      message.message.value.track.encryption = 0;
  };
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('plaintext-flag', ada);
  await ben.join(liar.link(link));
  await ada.seesAndHears(ben);
  await ben.seesAndHears(ada);
  for (const person of [ada, ben]) await person.sees('encryption-state', { state: 'e2e' });
  await people.goodbye(ben, liar.origin);
});

test('that takes somebody in as somebody else is left', async ({ people, liar }) => {
  liar.lies.signal = ({ message }) => {
    if (message.case === 'join' && message.value.participant)
      message.value.participant.identity = 'somebody-else';
  };
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('other-identity', ada);
  await ben.window.open(liar.link(link));
  await ben.window.fill(testId('prejoin-name'), 'Ben');
  await ben.press('prejoin-join');
  await ben.sees('error-message', { code: 'identity-changed' });
  await ben.sees('tile', {}, 0);
  await ada.sees('tile', {}, 1);
  await people.goodbye(ben, liar.origin);
});

test('that swaps people shows nobody in another’s place', async ({ people, liar }) => {
  const [ada, cem] = [await people.chromium('Ada'), await people.chromium('Cem')];
  const link = await people.meet('swapped', ada, cem);
  await ada.seesAndHears(cem);
  const [adas, cems] = [await cem.identityOf(ada.name), await ada.identityOf(cem.name)];
  const swap = new Map([
    [adas, cems],
    [cems, adas],
  ]);
  const names = new Map<string, string>();
  liar.lies.signal = (message) => {
    const known = participantsIn(message);
    for (const { identity, metadata } of known) names.set(identity, metadata);
    for (const participant of known) {
      participant.identity = swap.get(participant.identity) ?? participant.identity;
      // Names are sealed for identities, so they come along.
      participant.metadata = names.get(participant.identity) ?? participant.metadata;
    }
  };

  const ben = await people.chromium('Ben');
  await ben.join(liar.link(link));
  for (const other of [ada, cem]) await ben.sees('tile', { name: other.name, unreadable: 'true' });
  await ben.sees('encryption-state', { state: 'unreadable' });
  const { framesDecoded } = await ben.received('video');
  expect(framesDecoded).toBe(0);
  await ada.seesAndHears(ben);
  await people.goodbye(ben, liar.origin);
});

test('that swaps somebody’s camera and screen shows neither in the other’s place', async ({
  people,
  liar,
}) => {
  const ada = await people.chromium('Ada');
  const link = await people.meet('swapped-streams', ada);
  await ada.press('toggle-share');
  await ada.sees('sharing');
  const tracks = new Map<TrackSource, string>();
  let swapped = 0;
  liar.lies.signal = (message) => {
    for (const one of participantsIn(message))
      if (one.tracks.some(({ source }) => source === TrackSource.SCREEN_SHARE))
        for (const { sid, source } of one.tracks) tracks.set(source, sid);
    const { message: said } = message;
    const [camera, screen] = [tracks.get(TrackSource.CAMERA), tracks.get(TrackSource.SCREEN_SHARE)];
    if ((said.case !== 'offer' && said.case !== 'answer') || !camera || !screen) return;
    const other = (sid: string) => (sid === camera ? screen : sid === screen ? camera : sid);
    said.value.sdp = said.value.sdp.replace(/TR_\w+/g, other);
    // The library goes by this where it is.
    for (const [mid, sid] of Object.entries(said.value.midToTrackId)) {
      said.value.midToTrackId[mid] = other(sid);
      if (other(sid) !== sid) swapped++;
    }
  };

  const ben = await people.chromium('Ben');
  await ben.join(liar.link(link));
  for (const source of ['camera', 'screen_share'])
    await ben.sees('tile', { name: 'Ada', source, unreadable: 'true' });
  await ben.sees('encryption-state', { state: 'unreadable' });
  expect(swapped).toBeGreaterThan(0);
  expect((await ben.received('video')).framesDecoded).toBe(0);
  // Sound is left as it was.
  await ben.hears(ada);
  await ada.seesAndHears(ben);
  await people.goodbye(ben, liar.origin);
});

test('that withholds a commit leaves that person behind in everybody’s sight', async ({ people, liar }) => {
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('withheld', ada);
  await ben.join(liar.link(link));
  await ben.seesAndHears(ada);
  const bens = await ada.identityOf(ben.name);
  liar.lies.channel = (message, to) => (to === bens && message.type === 'entry' ? [] : [message]);

  const cem = await people.chromium('Cem');
  await cem.join(link);
  await cem.seesAndHears(ada);
  // Ben has not heard of Cem's keys, nor Cem of Ben's.
  await ben.sees('tile', { name: 'Cem' }, 0);
  const wait = { timeout: 60_000 };
  for (const person of [ada, cem]) {
    await until(
      `${person.name} to be told that nothing is heard of Ben`,
      async () => (await person.count('tile', { name: 'Ben', trust: 'unconfirmed' })) === 1,
      wait,
    );
    await person.sees('encryption-state', { state: 'unconfirmed' });
  }
  await until(
    'Ben to be told that nothing is heard of Ada',
    async () => (await ben.count('tile', { name: 'Ada', trust: 'unconfirmed' })) === 1,
    wait,
  );
  await ben.sees('encryption-state', { state: 'unconfirmed' });
  await people.goodbye(ben, liar.origin);
});

test('that asks for other codecs and for redundant sound gets neither', async ({ people, liar }) => {
  let [codecs, sounds] = [0, 0];
  liar.lies.signal = ({ message }) => {
    if (message.case === 'answer') {
      // Redundant sound (RFC 2198) is sent where the answer names it first.
      const answer = message.value;
      answer.sdp = answer.sdp.replace(
        /^(m=audio \d+ \S+) 111(.*\r\n)/gm,
        (_line, head: string, rest: string) => {
          sounds++;
          const named = answer.sdp.includes('a=rtpmap:63 ');
          const red = named ? '' : 'a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n';
          return `${head} 63 111${rest.replace(' 63', '')}${red}`;
        },
      );
    }
    if (message.case !== 'trackPublished' || message.value.track?.source !== TrackSource.CAMERA) return;
    codecs++;
    const qualities = [0, 1, 2].map((quality) => new SubscribedQuality({ quality, enabled: true }));
    const subscribedCodecs = ['vp8', 'vp9', 'h264', 'av1'].map(
      (codec) => new SubscribedCodec({ codec, qualities }),
    );
    const value = new SubscribedQualityUpdate({ trackSid: message.value.track.sid, subscribedCodecs });
    return [new SignalResponse({ message: { case: 'subscribedQualityUpdate', value } })];
  };
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('other-codecs', ben);
  await ada.join(liar.link(link));
  await ben.seesPictureOf(ada);
  expect(codecs, 'asked for codecs').toBeGreaterThan(0);
  expect(sounds, 'asked for redundant sound').toBeGreaterThan(0);
  const sent = await ada.window.evaluate(async () => {
    const found: string[] = [];
    for (const connection of window.probe.connections) {
      const stats = await connection.getStats();
      for (const one of stats.values() as Iterable<{ type: string; codecId?: string; bytesSent?: number }>) {
        if (one.type !== 'outbound-rtp' || !one.bytesSent || !one.codecId) continue;
        found.push((stats.get(one.codecId) as { mimeType: string }).mimeType);
      }
    }
    return found;
  }, undefined);
  expect([...new Set(sent)].sort()).toEqual(['audio/opus', 'video/VP8']);
  await ben.hears(ada);
  await people.goodbye(ada, liar.origin);
});

test('that has no room for one more is told of in words', async ({ people, liar }) => {
  liar.lies.channel = (message) =>
    message.type === 'opened' ? [{ type: 'closing', code: 'full' }] : [message];
  const [ada, ben] = [await people.chromium('Ada'), await people.chromium('Ben')];
  const link = await people.meet('full', ada);
  await ben.window.open(liar.link(link));
  await ben.window.fill(testId('prejoin-name'), 'Ben');
  await ben.press('prejoin-join');
  await ben.sees('error-message', { code: 'full' });
  await ben.sees('tile', {}, 0);
  await ada.sees('tile', {}, 1);
  await ada.sees('encryption-state', { state: 'e2e' });
  await people.goodbye(ben, liar.origin);
});
