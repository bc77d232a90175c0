/** The invitation as an entry for any calendar (RFC 5545). The person moves it to the day they mean. */

export interface Entry {
  uid: string;
  /** Milliseconds since the epoch. */
  now: number;
  title: string;
  link: string;
  description: string;
}

const HOUR = 3_600_000;

/** The next full hour where the person is; not everywhere it is one of Greenwich. */
function nextHour(now: number): number {
  const at = new Date(now);
  if (at.getMinutes() || at.getSeconds() || at.getMilliseconds()) at.setHours(at.getHours() + 1, 0, 0, 0);
  return at.getTime();
}

/** Octets of a line before it is folded. */
const LINE = 75;

const time = (at: number) => new Date(at).toISOString().replace(/[-:]|\.\d+/g, '');

/** Text of a property: nothing in it may end the property or the entry. */
function text(value: string): string {
  return value.replace(/[\\;,]/g, '\\$&').replace(/\r\n|\r|\n/g, '\\n');
}

/** Long lines go on in the next one, after a blank, never within a character. */
function folded(line: string): string {
  let out = '';
  let octets = 0;
  for (const character of line) {
    const size = new TextEncoder().encode(character).length;
    if (octets + size > LINE) {
      out += '\r\n ';
      octets = 1;
    }
    out += character;
    octets += size;
  }
  return out;
}

/** An entry of an hour, from the next full one on. */
export function calendarFile({ uid, now, title, link, description }: Entry): string {
  const start = nextHour(now);
  return [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Konklave//Invitation//EN',
    'BEGIN:VEVENT',
    `UID:${uid}`,
    `DTSTAMP:${time(now)}`,
    `DTSTART:${time(start)}`,
    `DTEND:${time(start + HOUR)}`,
    `SUMMARY:${text(title)}`,
    `LOCATION:${text(link)}`,
    `URL:${link}`,
    `DESCRIPTION:${text(description)}`,
    'END:VEVENT',
    'END:VCALENDAR',
    '',
  ]
    .map(folded)
    .join('\r\n');
}
