import { beforeEach, describe, expect, it } from 'vitest';
import type { Content } from '../src/e2ee/types';
import { Outbox } from '../src/state/outbox';
import { FakeClock } from '../scripted/world';

const said = (id: string): Content => ({ type: 'chat', id, text: id });

let clock: FakeClock;
let sent: Content[];
let changes: string[];
let outbox: Outbox;

beforeEach(() => {
  clock = new FakeClock();
  sent = [];
  changes = [];
  outbox = new Outbox(
    clock,
    (content) => sent.push(content),
    (content, waits) => changes.push(`${content.type === 'chat' && content.id} ${waits ? 'waits' : 'goes'}`),
  );
});

describe('what people say', () => {
  it('waits, in order, until there is a way', () => {
    outbox.say(said('1'));
    outbox.say(said('2'));
    expect(sent).toEqual([]);
    outbox.open(true);
    outbox.say(said('3'));
    expect(sent).toEqual([said('1'), said('2'), said('3')]);
    expect(changes).toEqual(['1 goes', '2 goes', '3 goes']);
  });

  it('that came back goes again a moment later', () => {
    outbox.open(true);
    outbox.say(said('1'));
    outbox.returned(said('1'));
    expect(sent).toHaveLength(1);
    clock.pass(500);
    expect(sent).toHaveLength(2);
    expect(changes).toEqual(['1 goes', '1 waits', '1 goes']);
  });

  it('is not taken without a bound', () => {
    const taken = Array.from({ length: 101 }, (_, i) => outbox.say(said(`${i}`)));
    expect(taken.filter((one) => one)).toHaveLength(100);
    expect(taken.at(-1)).toBe(false);
  });

  it('is forgotten with the meeting', () => {
    outbox.say(said('1'));
    outbox.returned(said('2'));
    outbox.stop();
    outbox.open(true);
    expect(sent).toEqual([]);
    expect(clock.timers).toBe(0);
  });
});
