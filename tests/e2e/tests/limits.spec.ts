/** Per-address limits of `/join`, over HTTP: a class behind one address gets in, a flood does not. */
import { expect, test } from '@playwright/test';
import { Server } from '../src/server.ts';

/** A server of its own for each test: the limits remember an address. */
async function withServer(scenario: (server: Server) => Promise<void>): Promise<void> {
  const server = await Server.start();
  try {
    await scenario(server);
    expect(server.alive).toBe(true);
  } finally {
    await server.stop();
  }
}

interface Answer {
  status: number;
  body: { code?: string; token?: string; identity?: string };
}

async function join(server: Server, room: string): Promise<Answer> {
  const response = await fetch(`${server.origin}/api/v1/rooms/${room}/join`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

const many = <T>(times: number, make: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: times }, (_, index) => make(index)));

test('a class of 40 behind one address gets in at once', async () => {
  await withServer(async (server) => {
    const answers = await many(40, () => join(server, 'class'));
    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 40 }, () => 200));
    expect(new Set(answers.map((answer) => answer.body.identity)).size).toBe(40);
  });
});

test('hundreds of joins from one address are refused with a stable code', async () => {
  await withServer(async (server) => {
    const answers = await many(400, (index) => join(server, `flood-${index % 7}`));
    const refused = answers.filter((answer) => answer.status === 429);
    expect(answers.length - refused.length, 'admitted').toBeGreaterThanOrEqual(40);
    expect(answers.filter((answer) => ![200, 429].includes(answer.status))).toEqual([]);
    expect(refused.length, 'refused').toBeGreaterThan(250);
    for (const { body } of refused) {
      expect(body.code).toMatch(/^[a-z-]+$/);
      expect(body.token).toBeUndefined();
    }
    // The page itself is still served to everybody.
    expect((await fetch(server.origin)).status).toBe(200);
  });
});
