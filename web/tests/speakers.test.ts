import { describe, expect, it } from 'vitest';
import { Announcer, BATCH_MS } from '../src/state/announcer';
import type { Message } from '../src/state/messages';
import { OFF_AFTER_MS, ON_AFTER_MS, SpeakerMarks } from '../src/state/speakers';
import { FakeClock } from '../scripted/world';

describe('a speaker', () => {
  const speaks = (value: boolean) => new Map([['a', value]]);

  it('is marked after 300 ms of speech and not before', () => {
    const marks = new SpeakerMarks();
    marks.update(speaks(false), 0);
    expect(marks.update(speaks(true), 1000)).toBe(1000 + ON_AFTER_MS);
    marks.update(speaks(true), 1299);
    expect(marks.marked('a')).toBe(false);
    marks.update(speaks(true), 1300);
    expect(marks.marked('a')).toBe(true);
  });

  it('keeps the mark over pauses shorter than a second', () => {
    const marks = new SpeakerMarks();
    marks.update(speaks(true), 0);
    marks.update(speaks(true), 300);
    expect(marks.update(speaks(false), 400)).toBe(400 + OFF_AFTER_MS);
    marks.update(speaks(true), 1300);
    marks.update(speaks(true), 1400);
    expect(marks.marked('a')).toBe(true);
    marks.update(speaks(false), 1500);
    marks.update(speaks(false), 2500);
    expect(marks.marked('a')).toBe(false);
  });

  it('who only coughs is never marked', () => {
    const marks = new SpeakerMarks();
    marks.update(speaks(true), 0);
    marks.update(speaks(false), 200);
    marks.update(speaks(false), 5000);
    expect(marks.marked('a')).toBe(false);
    expect(marks.spokeAt('a')).toBe(0);
  });

  it('who left is forgotten', () => {
    const marks = new SpeakerMarks();
    marks.update(speaks(true), 0);
    marks.update(speaks(true), 300);
    marks.update(new Map(), 400);
    expect(marks.marked('a')).toBe(false);
  });
});

describe('announcements', () => {
  function heard(): { clock: FakeClock; announcer: Announcer; said: Message[] } {
    const clock = new FakeClock();
    const announcer = new Announcer(clock);
    const said: Message[] = [];
    announcer.polite.subscribe((messages) => said.push(...messages));
    return { clock, announcer, said };
  }

  it('gather who came within three seconds into one sentence', () => {
    const { clock, announcer, said } = heard();
    announcer.joined('Anna');
    clock.pass(1000);
    announcer.joined('Deniz');
    expect(said).toEqual([]);
    clock.pass(BATCH_MS);
    expect(said).toEqual([{ key: 'announce.joined', args: { names: 'Anna, Deniz', count: 2 } }]);
  });

  it('count a class that arrives', () => {
    const { clock, announcer, said } = heard();
    for (let i = 0; i < 25; i++) announcer.joined(`S${i}`);
    clock.pass(BATCH_MS);
    expect(said).toEqual([{ key: 'announce.joined-many', args: { count: 25 } }]);
  });

  it('do not mention who left and came back at once', () => {
    const { clock, announcer, said } = heard();
    announcer.left('Anna');
    announcer.joined('Anna');
    clock.pass(BATCH_MS);
    expect(said).toEqual([]);
  });
});
