import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { readTarget } from '../../src/cluster/target.ts';
import { Transport } from '../../src/cluster/transport.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import type { ReplayRequest } from './requests.ts';

/**
 * The replay by Bulkhead's own transport: the same lines, sent from Node, with nothing decided and nothing watched. What
 * it takes more than the Go client is what the language and its HTTP take; what Bulkhead takes more than this is
 * Bulkhead's own. Prints the replay's line (README.md), with what it has of it.
 */

interface Call {
  readonly path: string;
  readonly query: string;
  readonly body: string;
}

function callOf({ method, path, body }: ReplayRequest): Call {
  if (method !== 'POST') throw new Error(`a ${method} is not sent by this one`);
  const [before = '', query = ''] = path.split('?');
  return { path: before, query, body: JSON.stringify(body) };
}

/** Ready-made, the calls of one job after the other. */
async function callsByKey(path: string): Promise<Call[][]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  const requests = lines.map((line) => JSON.parse(line) as ReplayRequest);
  return [...Map.groupBy(requests, ({ key }) => key).values()].map((some) => some.map(callOf));
}

const { values } = parseArgs({
  options: { kubeconfig: { type: 'string' }, requests: { type: 'string' }, concurrency: { type: 'string' } },
});
const { kubeconfig = null, requests = '' } = values;
const concurrency = Number(values.concurrency);
const keys = await callsByKey(requests);
const transport = new Transport(await readTarget({ kubeconfig, context: null }));
const errors: Record<string, number> = {};
let [writes, next, firstError] = [0, 0, null as string | null];

async function worker(): Promise<void> {
  for (let calls = keys[next++]; calls; calls = keys[next++]) {
    for (const { path, query, body } of calls) {
      try {
        await transport.call('POST', path, { query, body });
        writes += 1;
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        errors[error.kind] = (errors[error.kind] ?? 0) + 1;
        firstError ??= error.message;
      }
    }
  }
}

const [cpuBefore, startedAt] = [process.cpuUsage(), performance.now()];
await Promise.all(Array.from({ length: concurrency }, worker));
const { user, system } = process.cpuUsage(cpuBefore);
const seconds = (performance.now() - startedAt) / 1_000;
await transport.close();
const report = { writes, seconds, errors, cpuSeconds: (user + system) / 1e6, concurrency, firstError };
process.stdout.write(`${JSON.stringify(report)}\n`);
