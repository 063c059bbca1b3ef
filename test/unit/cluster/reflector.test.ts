import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reflect } from '../../../src/cluster/reflector.ts';
import { Interrupted } from '../../../src/cluster/transport.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import { until } from '../../support/until.ts';

/** How a watch goes on after it ended, and when it is not trusted any more and everything is listed anew. */

type Watch = () => Generator<string>;

const added = (resourceVersion: string): string =>
  JSON.stringify({ type: 'ADDED', object: { metadata: { uid: resourceVersion, resourceVersion } } });

/** Tells of one object, and then ends as `end` says. */
const endingWith = (end: () => void): Watch =>
  function* () {
    yield added('12');
    end();
  };

const cut = (openForMs: number): Watch =>
  endingWith(() => {
    throw new Interrupted('the other side closed', { openForMs });
  });

const refused: Watch = () => {
  throw new ClusterError('conflict', 'too old resource version: 12 (400)');
};

const CASES: readonly { readonly what: string; readonly watches: readonly Watch[]; readonly asked: string[] }[] = [
  {
    what: 'ended in good order: it goes on from the last version that it told of',
    watches: [endingWith(() => undefined)],
    asked: ['list', 'watch 10', 'watch 12'],
  },
  {
    what: 'its connection was cut, as load balancers do: likewise, and ten thousand jobs are not listed for it',
    watches: [cut(60_000)],
    asked: ['list', 'watch 10', 'watch 12'],
  },
  {
    what: 'cut, and what came meanwhile is told no more: a list',
    watches: [cut(60_000), refused],
    asked: ['list', 'watch 10', 'watch 12', 'list', 'watch 10'],
  },
  {
    what: 'cut as soon as it was open: a list, after a pause that grows',
    watches: [cut(10)],
    asked: ['list', 'watch 10', 'list', 'watch 10'],
  },
  {
    what: 'its peer was dead, and nobody knows for how long: a list',
    watches: [
      endingWith(() => {
        throw new ClusterError('unavailable', 'no answer to PINGs for 30 s');
      }),
    ],
    asked: ['list', 'watch 10', 'list', 'watch 10'],
  },
  {
    what: 'the server said that it is too old: a list',
    watches: [
      function* () {
        yield JSON.stringify({ type: 'ERROR', object: { code: 410, message: 'too old resource version' } });
      },
    ],
    asked: ['list', 'watch 10', 'list', 'watch 10'],
  },
];

describe('a watch that ended', () => {
  for (const { what, watches, asked } of CASES) {
    it(what, async () => {
      const seen = await requestsOf(watches, asked.length);
      assert.deepEqual(seen, asked);
    });
  }
});

/** What is asked of an API server whose watches end like these, one after the other; whatever comes later stays open. */
async function requestsOf(watches: readonly Watch[], count: number): Promise<string[]> {
  const abort = new AbortController();
  const requests: string[] = [];
  const left = [...watches];
  const transport = {
    async call<T>(): Promise<T> {
      requests.push('list');
      return { metadata: { resourceVersion: '10' }, items: [] } as T;
    },
    async *lines(_path: string, query: Readonly<Record<string, string>>, signal: AbortSignal) {
      requests.push(`watch ${query.resourceVersion}`);
      const next = left.shift();
      if (next) yield* next();
      else await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  };
  const sink = {
    relist: () => ({ page: () => undefined, end: () => undefined }),
    upsert: () => undefined,
    remove: () => undefined,
  };
  const options = { path: '/things', labelSelector: '', sink, onSynced: () => undefined };
  const done = reflect(transport, options, abort.signal);
  await until(`${count} requests`, 5_000, () => requests.length >= count);
  abort.abort();
  await done;
  return requests;
}
