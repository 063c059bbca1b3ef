import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reflect } from '../../../src/cluster/reflector.ts';
import { type CallOptions, Interrupted } from '../../../src/cluster/transport.ts';
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

interface Case {
  readonly what: string;
  readonly watches: readonly Watch[];
  /** Of the server's newest state, where that is not what was heard last. */
  readonly serverAt?: string;
  readonly asked: readonly string[];
}

const CASES: readonly Case[] = [
  {
    what: 'ended in good order: it goes on from the last version that it told of',
    watches: [endingWith(() => undefined)],
    asked: ['list', 'watch 10', 'watch 12'],
  },
  {
    what: 'its connection was cut, as load balancers do: likewise, and ten thousand jobs are not listed for it',
    watches: [cut(60_000)],
    asked: ['list', 'watch 10', 'look', 'watch 12'],
  },
  {
    what: 'cut, and what came meanwhile is told no more: a list',
    watches: [cut(60_000), refused],
    asked: ['list', 'watch 10', 'look', 'watch 12', 'list', 'watch 10'],
  },
  {
    what: 'cut, and there is another server now, whose store was restored to an earlier time: a list',
    watches: [cut(60_000)],
    serverAt: '11',
    asked: ['list', 'watch 10', 'look', 'list', 'watch 10'],
  },
  {
    what: 'cut as soon as it was open: a list',
    watches: [cut(10)],
    asked: ['list', 'watch 10', 'list', 'watch 10'],
  },
  {
    what: 'could not be opened: a list',
    watches: [
      () => {
        throw new ClusterError('unavailable', 'connect ECONNREFUSED');
      },
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
  for (const one of CASES) {
    it(one.what, async () => {
      const seen = await requestsOf(one);
      assert.deepEqual(seen, one.asked);
    });
  }
});

/** What is asked of an API server whose watches end like these, one after the other; whatever comes later stays open. */
async function requestsOf({ watches, asked, serverAt = '12' }: Case): Promise<string[]> {
  const abort = new AbortController();
  const requests: string[] = [];
  const left = [...watches];
  const transport = {
    async call(_method: string, _path: string, { query }: CallOptions = {}) {
      const isLook = typeof query === 'object' && query.limit === '1';
      requests.push(isLook ? 'look' : 'list');
      return { metadata: { resourceVersion: isLook ? serverAt : '10' }, items: [] };
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
  await until(`${asked.length} requests`, 5_000, () => requests.length >= asked.length);
  abort.abort();
  await done;
  return requests;
}
