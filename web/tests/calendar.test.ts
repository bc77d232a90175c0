import { describe, expect, it } from 'vitest';
import { calendarFile } from '../src/state/calendar';

const entry = {
  uid: 'one@konklave',
  now: Date.UTC(2026, 10, 25, 13, 12, 5),
  title: 'Einladung: Kollegium-7b',
  link: 'https://meet.example/Kollegium-7b#1K7F3Q9XM2B8DW5TZ6C4NW',
  description: 'Hier ist der Link',
};

/** Its lines, put together again. */
const lines = (file: string) => file.replaceAll('\r\n ', '').split('\r\n');

describe('the invitation for a calendar', () => {
  it('is an hour from the next full one on, with the link as its place', () => {
    expect(lines(calendarFile(entry))).toEqual([
      'BEGIN:VCALENDAR',
      'VERSION:2.0',
      'PRODID:-//Konklave//Invitation//EN',
      'BEGIN:VEVENT',
      'UID:one@konklave',
      'DTSTAMP:20261125T131205Z',
      'DTSTART:20261125T140000Z',
      'DTEND:20261125T150000Z',
      'SUMMARY:Einladung: Kollegium-7b',
      `LOCATION:${entry.link}`,
      `URL:${entry.link}`,
      'DESCRIPTION:Hier ist der Link',
      'END:VEVENT',
      'END:VCALENDAR',
      '',
    ]);
  });

  it('keeps texts within their property', () => {
    const file = calendarFile({ ...entry, description: 'a, b; c\\\nEND:VEVENT\r\nd' });
    expect(lines(file)).toContain('DESCRIPTION:a\\, b\\; c\\\\\\nEND:VEVENT\\nd');
  });

  it('folds lines at 75 octets, between characters', () => {
    const file = calendarFile({ ...entry, title: 'ü👩‍👧'.repeat(60) });
    const octets = file.split('\r\n').map((line) => new TextEncoder().encode(line).length);
    expect(Math.max(...octets)).toBeLessThanOrEqual(75);
    expect(file).not.toContain('\uFFFD');
    expect(lines(file)).toContain(`SUMMARY:${'ü👩‍👧'.repeat(60)}`);
  });
});
