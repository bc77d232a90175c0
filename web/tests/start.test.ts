import { describe, expect, it } from 'vitest';
import { codeOf, fragmentOf } from '../src/crypto/link';
import { parseLink, StartModel, suggestRoom, type Destination } from '../src/state/start';
import { World } from '../scripted/world';

const SECRET = 'K7F3Q9XM2B8DW5TZ6C4N';

function start() {
  const world = new World();
  const visited: Destination[] = [];
  const model = new StartModel(world.ports, (to) => visited.push(to));
  return { world, model, visited };
}

describe('starting a meeting', () => {
  it('takes the suggested name and a fresh secret', () => {
    const { model, visited } = start();
    expect(model.view.get().room).toMatch(/^(one|two|three)-(one|two|three)-(one|two|three)$/);
    model.start();
    expect(visited[0]).toMatchObject({ room: model.view.get().room, fresh: true });
    expect(visited[0]?.secret).toHaveLength(20);
  });

  it('takes a typed name, blanks become hyphens', () => {
    const { model, visited } = start();
    model.setRoom('Klasse 7b');
    expect(model.view.get().suggested).toBe(false);
    model.start();
    expect(visited[0]?.room).toBe('Klasse-7b');
  });

  it('says why a name does not work', () => {
    const { model, visited } = start();
    model.setRoom('api');
    model.start();
    expect(visited).toEqual([]);
    expect(model.view.get().roomProblem?.key).toBe('error.room-reserved');
    model.setRoom('apis');
    expect(model.view.get().roomProblem).toBeNull();
  });

  it('keeps a typed name when the language changes', () => {
    const { model } = start();
    model.setRoom('meins');
    model.relabel();
    expect(model.view.get().room).toBe('meins');
  });

  it('suggests every word equally', () => {
    const words = ['a', 'b', 'c'];
    const counts = new Map<string, number>();
    for (let i = 0; i < 768; i++) {
      const word = suggestRoom([words], () => Uint8Array.of(i >> 8, i & 255));
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    expect([...counts.values()]).toEqual([256, 256, 256]);
  });
});

describe('taking part', () => {
  it.each([
    `https://meet.example/Kollegium-7b${fragmentOf(SECRET)}`,
    `meet.example/Kollegium-7b${fragmentOf(SECRET)}`,
    `/Kollegium-7b${fragmentOf(SECRET)}`,
    `  Kollegium-7b${fragmentOf(SECRET).toLowerCase()} `,
  ])('works with the link %s', (link) => {
    const { model, visited } = start();
    model.setLink(link);
    model.join();
    expect(visited).toEqual([{ room: 'Kollegium-7b', secret: SECRET, fresh: false }]);
  });

  it('works with room and code, forgivingly typed', () => {
    const { model, visited } = start();
    model.setLink('Kollegium-7b');
    model.setCode(codeOf(SECRET).toLowerCase().replaceAll('0', 'O'));
    model.join();
    expect(visited).toEqual([{ room: 'Kollegium-7b', secret: SECRET, fresh: false }]);
  });

  it('works with a bare room; whether a code is needed shows later', () => {
    const { model, visited } = start();
    model.setLink('Kollegium-7b');
    model.join();
    expect(visited).toEqual([{ room: 'Kollegium-7b', secret: null, fresh: false }]);
  });

  it('finds a typing error in the code before anything is sent', () => {
    const { model, visited, world } = start();
    model.setLink('Kollegium-7b');
    model.setCode(`${codeOf(SECRET).slice(0, -2)}A${codeOf(SECRET).slice(-1)}`);
    model.join();
    expect(visited).toEqual([]);
    expect(world.joins).toEqual([]);
    expect(model.view.get().codeProblem?.key).toBe('error.code-typo');
  });

  it('finds a mutilated link', () => {
    const { model } = start();
    model.setLink(`https://meet.example/x${fragmentOf(SECRET).slice(0, -1)}`);
    model.join();
    expect(model.view.get().linkProblem?.key).toBe('error.code-length');
    model.setLink(`https://meet.example/x${fragmentOf(SECRET).replace('K', 'M')}`);
    model.join();
    expect(model.view.get().linkProblem?.key).toBe('error.link-typo');
  });

  it('asks before leading to another server', () => {
    const { model, visited } = start();
    const link = `https://other.example/x${fragmentOf(SECRET)}`;
    model.setLink(link);
    model.join();
    expect(visited).toEqual([]);
    expect(model.view.get().elsewhere).toEqual({ host: 'other.example', href: link });
  });

  it('asks for something when nothing was typed', () => {
    const { model } = start();
    model.join();
    expect(model.view.get().linkProblem?.key).toBe('error.link-empty');
  });

  it('understands a server with a port', () => {
    expect(parseLink('localhost:7880/test#1X')).toEqual({
      room: 'test',
      fragment: '#1X',
      origin: '//localhost:7880',
    });
  });
});
