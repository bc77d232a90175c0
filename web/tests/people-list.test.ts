import { describe, expect, it } from 'vitest';
import type { Person } from '../src/state/people';
import { arrange, find, type Listed } from '../src/state/people-list';

function listed(...labels: string[]): Listed[] {
  return labels.map((label) => ({
    label,
    person: { isLocal: label.includes('(ich)'), trust: 'keys', unreadable: false } as Person,
  }));
}
const labels = (found: Listed[]) => found.map(({ label }) => label);

describe('the list of people', () => {
  it('begins with oneself and goes on as the language sorts', () => {
    const people = listed('Zoe', 'Ömer', 'Person 10', 'Person 9', 'Nora (ich)', 'Olaf');
    const sorted = ['Nora (ich)', 'Olaf', 'Ömer', 'Person 9', 'Person 10', 'Zoe'];
    expect(labels(arrange(people, 'de'))).toEqual(sorted);
  });

  it('shows those first who need a look', () => {
    const people = listed('Anna (ich)', 'Ben', 'Cem', 'Dana');
    for (const [i, change] of [
      [1, { trust: 'unconfirmed' }],
      [3, { unreadable: true }],
    ] as const) {
      Object.assign(people[i]?.person ?? {}, change);
    }
    expect(labels(arrange(people, 'de'))).toEqual(['Ben', 'Dana', 'Anna (ich)', 'Cem']);
  });

  it.each([
    ['', ['Deniz Yılmaz', 'Élodie Ñandú', 'Anna Berger (2)', '陈 伟']],
    ['yilmaz', ['Deniz Yılmaz']],
    ['YILMAZ den', ['Deniz Yılmaz']],
    ['elodie nandu', ['Élodie Ñandú']],
    ['  berger  ', ['Anna Berger (2)']],
    ['伟', ['陈 伟']],
    ['niemand', []],
    ['(', ['Anna Berger (2)']],
  ])('finds for %j whom one means', (query, found) => {
    expect(labels(find(listed('Deniz Yılmaz', 'Élodie Ñandú', 'Anna Berger (2)', '陈 伟'), query))).toEqual(
      found,
    );
  });
});
