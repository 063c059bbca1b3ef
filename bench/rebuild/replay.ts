import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { z } from 'zod';
import { run } from '../../test/cluster/progress.ts';
import type { Contestant, Lab } from '../lab/index.ts';
import { replayBinary } from '../yardsticks/build.ts';
import type { ReplayRequest } from '../yardsticks/requests.ts';

const reportSchema = z.looseObject({
  writes: z.number(),
  seconds: z.number(),
  cpuSeconds: z.number(),
  concurrency: z.number(),
  errors: z.record(z.string(), z.number()).nullable(),
  firstError: z.string().nullish(),
});
export type ReplayReport = z.infer<typeof reportSchema>;

/** A replay that is given up: several times as slow as any that was seen. */
const LIMIT_MS = { least: 300_000, aRequest: 30 } as const;

/** A program that sends the lines of a file, without its arguments. */
export type Sender = readonly [string, ...string[]];

/** The load client in Go. */
export const inGo = async (): Promise<Sender> => [await replayBinary()];
/** Bulkhead's own transport, in Node. */
export const byTransport = async (): Promise<Sender> => [process.execPath, TRANSPORT];

const TRANSPORT = join(import.meta.dirname, '../yardsticks/transport.ts');

/**
 * Sends requests by the Go load client, as one of the lab's accounts.
 * @throws Error when the API server refused any, other than by 429
 */
export async function sendAll(
  lab: Lab,
  account: Contestant,
  requests: readonly ReplayRequest[],
  concurrency: number,
): Promise<ReplayReport> {
  await using file = await requestFile(lab, requests);
  return await sendFile(lab, account, file, concurrency);
}

export interface RequestFile {
  readonly path: string;
  readonly requests: number;
}

/** Writes the requests for {@link sendFile}; the file goes with the value. */
export async function requestFile(
  lab: Lab,
  requests: readonly ReplayRequest[],
): Promise<RequestFile & AsyncDisposable> {
  const path = join(lab.cluster.dir, 'requests.ndjson');
  const file = createWriteStream(path);
  for (const request of requests) file.write(`${JSON.stringify(request)}\n`);
  file.end();
  await finished(file);
  return { path, requests: requests.length, [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}

export async function sendFile(
  lab: Lab,
  account: Contestant,
  file: RequestFile,
  concurrency: number,
  sender?: Sender,
): Promise<ReplayReport> {
  const [program, ...before] = sender ?? (await inGo());
  const args = [
    ...before,
    '--kubeconfig',
    lab.kubeconfigOf(account),
    '--requests',
    file.path,
    '--concurrency',
    String(concurrency),
  ];
  const timeout = Math.max(LIMIT_MS.least, file.requests * LIMIT_MS.aRequest);
  const printed = await run(program, args, { timeout });
  const report = reportSchema.parse(JSON.parse(printed.split('\n').at(-1) ?? ''));
  const refused = Object.keys(report.errors ?? {}).filter((code) => code !== '429');
  if (refused.length > 0) {
    throw new Error(`the replay was refused: ${JSON.stringify(report.errors)}, first: ${report.firstError}`);
  }
  return report;
}
