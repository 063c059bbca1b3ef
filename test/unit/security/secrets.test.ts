import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Canaries } from '../../../security/secrets/canaries.ts';
import { liveFindings } from '../../../security/secrets/live.ts';
import { type Scene, sceneFindings } from '../../../security/secrets/scenes.ts';

describe('a secret is found however it is written', () => {
  const canaries = new Canaries();
  const secret = canaries.make('a password');
  const url = 'a/b+c=d e&f?g#h%i';
  canaries.watch('a strange one', url);
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const cases: Readonly<Record<string, string>> = {
    'as it is': `postgres://app:${secret}@host/db`,
    'in base64': `data: ${base64(secret)}`,
    'in base64 behind a user': `Basic ${base64(`a:${secret}`)}`,
    'in base64 behind a longer user': `Basic ${base64(`ab:${secret}`)}`,
    'in base64 behind a still longer user': `Basic ${base64(`abc:${secret}`)}`,
    'in hexadecimal': Buffer.from(secret).toString('hex'),
    'as a part of a URL': `?token=${encodeURIComponent(url)}`,
  };
  for (const [how, text] of Object.entries(cases)) test(how, () => assert.equal(canaries.in(text).length, 1));
  test('and not where there is none', () => assert.deepEqual(canaries.in('canary of another kind'), []));
  test('a short one could be anything', () => assert.throws(() => canaries.watch('short', 'abc'), /too short/));
});

describe('a scene', () => {
  const around = () => ({ canaries: new Canaries(), databaseUrl: '', folder: '' });
  const scene = (says: (secret: string) => string): Scene => ({
    what: 'a wrong password',
    says: /refuses/,
    run: async ({ canaries }) => says(canaries.make('password')),
  });
  test('that keeps the secret to itself holds', async () => {
    assert.deepEqual(
      await sceneFindings(
        scene(() => 'refuses it'),
        around(),
      ),
      [],
    );
  });
  test('that says it is found', async () => {
    assert.match(
      (
        await sceneFindings(
          scene((secret) => `refuses ${secret}`),
          around(),
        )
      ).join(),
      /is said/,
    );
  });
  test('that fails for another reason has shown nothing', async () => {
    assert.match(
      (
        await sceneFindings(
          scene(() => 'usage: …'),
          around(),
        )
      ).join(),
      /another failure/,
    );
  });
});

describe('a live operator', () => {
  const canaries = new Canaries();
  const secret = canaries.make('the password of the database');
  const texts = new Map([
    ['health and metrics', 'bulkhead_x 1'],
    ['the log of the operator', 'watching the cluster; refuses the password'],
    ['the tables of the store', 'secretKeyRef'],
    ['objects in the cluster', 'secretKeyRef'],
  ]);
  test('that says no secret holds', () => assert.deepEqual(liveFindings(texts, canaries), []));
  test('that says one is found, with the place', () => {
    const leaking = new Map([...texts, ['bulkhead get', `password=${secret}`]]);
    assert.deepEqual(liveFindings(leaking, canaries), ['bulkhead get: the password of the database is said']);
  });
  test('that was not read, or had no trouble, has shown nothing', () => {
    assert.equal(liveFindings(new Map(), canaries).length, 5);
    const calm = new Map([...texts, ['the log of the operator', 'watching the cluster']]);
    assert.match(liveFindings(calm, canaries).join(), /nothing was tried/);
  });
});
