/** Who stands in the strip beside a large picture. */

/** What a strip needs to know about a picture. */
export interface StripItem {
  key: string;
  /** A shared screen stands first and stays. */
  kind: 'screen' | 'person' | 'own';
  speaking: boolean;
  /** When they last began or ceased to speak, milliseconds; 0 = never. */
  spokeAt: number;
}

export interface StripChoice {
  /** Keys in the order of the slots; one's own last. */
  shown: string[];
  /** How many the "+N" slot stands for; 0 = there is none. It stands before one's own tile. */
  hidden: number;
}

/** The larger, the later somebody was heard. */
const heard = ({ speaking, spokeAt }: StripItem) => (speaking ? Infinity : spokeAt);

/**
 * Whoever was visible stays where they were; a speaker who is not visible takes the place of the visible one who has
 * been silent longest. What does not fit becomes "+N", one's own tile stays.
 */
export function chooseStrip(
  before: readonly string[],
  items: readonly StripItem[],
  slots: number,
): StripChoice {
  const keys = (kind: StripItem['kind']) => items.filter((item) => item.kind === kind).map(({ key }) => key);
  const [screens, own] = [keys('screen'), keys('own')];
  const people = items.filter(({ kind }) => kind === 'person');
  if (items.length <= slots)
    return { shown: [...screens, ...people.map(({ key }) => key), ...own], hidden: 0 };

  // One place is one's own, one is "+N".
  const places = Math.max(0, slots - own.length - 1);
  const fixed = screens.slice(0, places);
  const room = places - fixed.length;
  const byKey = new Map(people.map((person) => [person.key, person]));
  const shown = before.flatMap((key) => byKey.get(key) ?? []).slice(0, room);
  for (const person of people) {
    if (shown.length >= room) break;
    if (!shown.includes(person)) shown.push(person);
  }
  const waiting = people
    .filter((person) => heard(person) > 0 && !shown.includes(person))
    .sort((a, b) => heard(b) - heard(a));
  for (const speaker of waiting) {
    const silent = shown.reduce(
      (least, person, i) => (least < 0 || heard(person) < heard(shown[least] ?? person) ? i : least),
      -1,
    );
    const replaced = shown[silent];
    if (!replaced || heard(replaced) >= heard(speaker)) break;
    shown[silent] = speaker;
  }
  const hidden = screens.length - fixed.length + people.length - shown.length;
  return { shown: [...fixed, ...shown.map(({ key }) => key), ...own], hidden };
}
