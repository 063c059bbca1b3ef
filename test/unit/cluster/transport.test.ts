import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WatchConnections } from '../../../src/cluster/connections.ts';
import { type CallOptions, Interrupted, Transport } from '../../../src/cluster/transport.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import { TlsServer } from '../../support/tls-server.ts';
import { until } from '../../support/until.ts';

/** The transport against a server that fails on purpose: whatever it does, a call ends in time and the next one works. */

let server: TlsServer;
let transport: Transport;

before(async () => {
  server = await TlsServer.start();
  transport = new Transport(server.target);
});

beforeEach(() => {
  server.handle = (_request, response) => void response.end('{"ok":true}');
});

after(async () => {
  await transport?.close();
  await server?.[Symbol.asyncDispose]();
});

const post = (options: CallOptions = {}) => transport.call('POST', '/things', { body: { a: 1 }, ...options });

async function failure(work: Promise<unknown>): Promise<ClusterError> {
  const error = await work.then(
    () => assert.fail('it went through'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ClusterError, String(error));
  return error;
}

test('a body goes out as it is when it is text, credentials and parameters go with it', async () => {
  const seen: unknown[] = [];
  server.handle = async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const { authorization, 'content-type': type } = request.headers;
    seen.push([request.method, request.url, authorization, type, body]);
    response.end('{}');
  };
  await post({ body: '{"ready":"made"}', query: 'a=1&b=2' });
  await transport.call('PATCH', '/x', {
    body: { a: 'ä' },
    query: { c: '3 4' },
    contentType: 'application/json-patch+json',
  });
  await transport.call('GET', '/y');
  const bearer = 'Bearer test';
  assert.deepEqual(seen, [
    ['POST', '/things?a=1&b=2', bearer, 'application/json', '{"ready":"made"}'],
    ['PATCH', '/x?c=3+4', bearer, 'application/json-patch+json', '{"a":"ä"}'],
    ['GET', '/y', bearer, undefined, ''],
  ]);
});

test('a call that hangs ends at its time-out, gives its connection back and stops no other call', async () => {
  server.handle = (request, response) => {
    if (request.url !== '/hang') response.end('{}');
  };
  const open = server.sockets.size;
  const startedAt = performance.now();
  const hung = failure(transport.call('POST', '/hang', { body: {}, timeoutMs: 300 }));
  await Promise.all(Array.from({ length: 20 }, () => post()));
  const { kind, message } = await hung;
  assert.equal(kind, 'unavailable');
  assert.match(message, /POST \/hang: no answer in time/);
  assert.ok(performance.now() - startedAt < 1_500);
  assert.equal(transport.writes.inFlight, 0);
  await until('its connection is closed', 2_000, () => server.sockets.size <= open + 20);
});

test('an answer that trickles in for ever ends at the time-out, too', async () => {
  const timers: NodeJS.Timeout[] = [];
  server.handle = (_request, response) => {
    response.write('{');
    timers.push(setInterval(() => response.write(' '), 50));
  };
  assert.match((await failure(post({ timeoutMs: 300 }))).message, /no answer in time/);
  for (const timer of timers) clearInterval(timer);
});

test('an aborted call ends at once, and its neighbours go on', async () => {
  const release: (() => void)[] = [];
  server.handle = (_request, response) => void release.push(() => response.end('{"ok":true}'));
  const abort = new AbortController();
  const aborted = failure(post({ signal: abort.signal }));
  const others = Promise.all([post(), post()]);
  await until('all are there', 2_000, () => release.length === 3);
  abort.abort(new Error('nobody waits any more'));
  assert.match((await aborted).message, /nobody waits any more/);
  for (const answer of release) answer();
  assert.deepEqual(await others, [{ ok: true }, { ok: true }]);
  assert.equal(transport.writes.inFlight, 0);
});

test('a connection that is reset is an unavailable server, and the next call works', async () => {
  let hits = 0;
  server.handle = () => {
    hits += 1;
  };
  const broken = Promise.all([failure(post()), failure(transport.call('GET', '/x'))]);
  await until('both are there', 2_000, () => hits === 2);
  server.reset();
  assert.deepEqual(
    (await broken).map(({ kind }) => kind),
    ['unavailable', 'unavailable'],
  );
  server.handle = (_request, response) => void response.end('{"ok":true}');
  assert.deepEqual(await post(), { ok: true });
});

test('a 429 of the server as a whole holds other writes back for as long as it asks, but no read and nothing urgent', async () => {
  let answers = 0;
  server.handle = (_request, response) => {
    answers += 1;
    if (answers > 1) return void response.end('{"ok":true}');
    response.writeHead(429, { 'retry-after': '1' });
    response.end('Too many requests, please try again later.');
  };
  const { kind, retryAfterMs } = await failure(post());
  assert.deepEqual([kind, retryAfterMs], ['throttled', 1_000]);
  const startedAt = performance.now();
  const waited = post().then(() => performance.now() - startedAt);
  await Promise.all([transport.call('GET', '/x'), post({ urgent: true })]);
  assert.ok(performance.now() - startedAt < 900, 'neither waited');
  assert.ok((await waited) >= 950, 'a common write waited');
});

test("a webhook's 429 is the affair of its object alone", async () => {
  const message = 'admission webhook "slow.example" denied the request: later';
  server.handle = (_request, response) => {
    response.writeHead(429, { 'retry-after': '30' });
    response.end(JSON.stringify({ kind: 'Status', message, code: 429 }));
  };
  assert.equal((await failure(post())).retryAfterMs, 30_000);
  server.handle = (_request, response) => void response.end('{"ok":true}');
  assert.deepEqual(await post({ timeoutMs: 1_000 }), { ok: true });
});

async function firstLine(path: string, signal: AbortSignal): Promise<AsyncGenerator<string>> {
  const lines = transport.lines(path, {}, signal);
  assert.deepEqual(await lines.next(), { done: false, value: 'one' });
  return lines;
}

test('watches share one HTTP/2 connection; the end of one, by us or by RST_STREAM, leaves the others', async () => {
  const responses = new Map<string, { end: (text: string) => void; reset: () => void }>();
  server.handle = (request, response) => {
    response.write('one\n');
    const { stream } = response as unknown as { stream: { close: (code: number) => void } };
    responses.set(request.url ?? '', { end: (text) => response.end(text), reset: () => stream.close(2) });
  };
  const abort = new AbortController();
  const live = new AbortController().signal;
  const [mine, theirs, third] = await Promise.all([
    firstLine('/a', abort.signal),
    firstLine('/b', live),
    firstLine('/c', live),
  ]);
  assert.equal(server.sessions.size, 1);
  const ended = failure(mine.next());
  abort.abort(new Error('enough'));
  assert.match((await ended).message, /enough/);
  const reset = failure(theirs.next());
  responses.get('/b')?.reset();
  assert.equal((await reset).kind, 'unavailable');
  responses.get('/c')?.end('two\n');
  assert.deepEqual(await third.next(), { done: false, value: 'two' });
  assert.deepEqual(await third.next(), { done: true, value: undefined });
  assert.equal(server.sessions.size, 1);
});

test('after a GOAWAY the watch that is open comes to its end, and the next one has a connection of its own', async () => {
  const ends: (() => void)[] = [];
  server.handle = (_request, response) => {
    response.write('one\n');
    ends.push(() => response.end('two\n'));
  };
  const { signal } = new AbortController();
  const before = await firstLine('/before', signal);
  const [session] = server.sessions;
  // As Go's server does it: what is under way goes on to its end.
  session?.goaway(0, 2 ** 31 - 1);
  await sleep(50);
  const next = await firstLine('/after', signal);
  for (const end of ends) end();
  const values = await Promise.all([before.next(), next.next()].map((line) => line.then(({ value }) => value)));
  assert.deepEqual(values, ['two', 'two']);
});

test('a watch whose peer does not answer PINGs any more ends', async () => {
  server.handle = (_request, response) => void response.write('one\n');
  const pipes: Socket[] = [];
  const between = createServer((near) => {
    const far = connect(Number(new URL(server.target.server).port), '127.0.0.1');
    near.pipe(far).pipe(near);
    pipes.push(near, far);
  });
  between.listen(0, '127.0.0.1');
  await once(between, 'listening');
  const { port } = between.address() as AddressInfo;
  const watches = new WatchConnections({ ...server.target, server: `https://127.0.0.1:${port}` }, 100);
  const { body } = await watches.pool.request({ method: 'GET', path: '/a' });
  const chunks = body[Symbol.asyncIterator]();
  await chunks.next();
  const silent = assert.rejects(chunks.next(), /no answer to PINGs/);
  // So long as it answers, the watch lives, though nothing is told.
  await sleep(500);
  assert.equal(body.destroyed, false);
  // Both ends stay open, and nothing gets through any more.
  for (const pipe of pipes) pipe.unpipe();
  await silent;
  for (const pipe of pipes) pipe.destroy();
  between.close();
  await watches.destroy();
});

test('a watch whose connection is reset says so, and can be opened again', async () => {
  server.handle = (_request, response) => void response.write('one\n');
  const { signal } = new AbortController();
  const lines = await firstLine('/a', signal);
  const broken = failure(lines.next());
  server.reset();
  assert.ok((await broken) instanceof Interrupted);
  await firstLine('/a', signal).then((again) => again.return(undefined));
});
