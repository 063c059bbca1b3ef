import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { type ReflectorSink, reflect } from '../../../src/cluster/reflector.ts';
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

const event = (type: string, metadata: Readonly<Record<string, unknown>>): string =>
  JSON.stringify({ type, object: { kind: 'Thing', apiVersion: 'v1', metadata } });
const thing = (uid: string, resourceVersion: string): string =>
  event('ADDED', { name: uid, namespace: 'here', uid, resourceVersion });
const ENDS_INITIAL = { annotations: { 'k8s.io/initial-events-end': 'true' } };

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
      const { requests } = await answering(one);
      assert.deepEqual(requests, one.asked);
    });
  }
});

interface ResyncCase {
  readonly what: string;
  /** The watch that begins with everything. */
  readonly watch: Watch;
  readonly asked: readonly string[];
  /** What the sink was told by it, and by what followed. */
  readonly told: readonly string[];
}

const RESYNCS: readonly ResyncCase[] = [
  {
    what: 'what is known is not even parsed; what was not told of was gone where the bookmark stands',
    watch: function* () {
      yield thing('known', '3');
      yield thing('new', '7');
      yield event('DELETED', { uid: 'known', resourceVersion: '9' });
      yield event('BOOKMARK', { resourceVersion: '20', ...ENDS_INITIAL });
      yield event('BOOKMARK', { resourceVersion: '30' });
    },
    asked: ['list', 'everything', 'everything'],
    told: ['put new', 'removed known', 'only known, new at 20'],
  },
  {
    what: 'ended before everything was told: nothing is taken for gone, and a list says what is there',
    watch: function* () {
      yield thing('new', '7');
      yield event('BOOKMARK', { resourceVersion: '20' });
    },
    asked: ['list', 'everything', 'list', 'everything'],
    told: ['put new', 'only  at 10'],
  },
  {
    what: 'cut before everything was told: likewise',
    watch: function* () {
      yield thing('new', '7');
      throw new Interrupted('the other side closed', { openForMs: 60_000 });
    },
    asked: ['list', 'everything', 'list', 'everything'],
    told: ['put new', 'only  at 10'],
  },
  {
    what: 'not to be had of this server: a list',
    watch: () => {
      throw new ClusterError('invalid', 'sendInitialEvents is forbidden for watch');
    },
    asked: ['list', 'everything', 'list', 'everything'],
    told: ['only  at 10'],
  },
];

describe('a watch that begins with everything', () => {
  for (const { what, watch, asked, told } of RESYNCS) {
    it(what, async () => {
      const heard = await answering({ watches: [watch], asked, resyncMs: 0 });
      assert.deepEqual(heard.requests, asked);
      assert.deepEqual(heard.told, ['only  at 10', ...told]);
    });
  }

  it('comes once watches were trusted for long enough, and from there it goes on like any other', async () => {
    const everything: Watch = function* () {
      yield event('BOOKMARK', { resourceVersion: '20', ...ENDS_INITIAL });
    };
    const ended = endingWith(() => undefined);
    const { requests } = await answering({ watches: [ended, ended, everything, ended], atLeast: 6, resyncMs: 150 });
    const first = requests.indexOf('everything');
    assert.ok(first > 1, `first ${requests.join(', ')}`);
    assert.equal(requests[first + 1], 'watch 20');
  });
});

it('a watch may leave out one of its bookmarks, and is taken for dead within 150 s all the same', async () => {
  const abort = new AbortController();
  let watching: AbortSignal | null = null;
  const transport = {
    call: async () => ({ metadata: { resourceVersion: '10' }, items: [] }),
    async *lines(_path: string, _query: Readonly<Record<string, string>>, signal: AbortSignal): AsyncGenerator<string> {
      watching = signal;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new ClusterError('unavailable', 'aborted');
    },
  };
  const sink = {
    keepOnly: () => undefined,
    upsert: () => '',
    remove: () => undefined,
  };
  mock.timers.enable({ apis: ['setTimeout'] });
  const options = { path: '/things', labelSelector: '', sink, onSynced: () => undefined };
  const done = reflect(transport, options, abort.signal);
  try {
    while (watching === null) await new Promise(setImmediate);
    const { aborted: before } = watching as AbortSignal;
    // The longest that was seen between two of them is 62 s.
    mock.timers.tick(2 * 62_000);
    const { aborted: afterTwo } = watching as AbortSignal;
    mock.timers.tick(150_000 - 2 * 62_000);
    const { aborted: after } = watching as AbortSignal;
    assert.deepEqual({ before, afterTwo, after }, { before: false, afterTwo: false, after: true });
  } finally {
    abort.abort();
    mock.timers.reset();
    await done;
  }
});

interface Answers {
  readonly watches: readonly Watch[];
  readonly serverAt?: string;
  readonly asked?: readonly string[];
  /** How many requests to wait for, where it is not known which. */
  readonly atLeast?: number;
  readonly resyncMs?: number;
}

/**
 * What is asked of an API server whose watches end like these, one after the other, and what a sink is told that knows an
 * object with the UID `known`; whatever comes later stays open.
 */
async function answering({ watches, asked = [], atLeast = asked.length, serverAt = '12', resyncMs }: Answers) {
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
      requests.push(query.sendInitialEvents === 'true' ? 'everything' : `watch ${query.resourceVersion}`);
      const next = left.shift();
      if (next) yield* next();
      else await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  };
  const told: string[] = [];
  const uidOf = (item: unknown): string => (item as { metadata: { uid: string } }).metadata.uid;
  const sink: ReflectorSink = {
    keepOnly: (present, version) => told.push(`only ${[...present].join(', ')} at ${version}`),
    knows: (uid) => uid === 'known',
    upsert: (item) => {
      told.push(`put ${uidOf(item)}`);
      return uidOf(item);
    },
    remove: (item) => told.push(`removed ${uidOf(item)}`),
  };
  const options = { path: '/things', labelSelector: '', sink, onSynced: () => undefined };
  const done = reflect(transport, { ...options, ...(resyncMs !== undefined && { resyncMs }) }, abort.signal);
  await until(`${atLeast} requests`, 5_000, () => requests.length >= atLeast);
  abort.abort();
  await done;
  return { requests, told };
}
