import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { localkube } from '../../test/cluster/localkube.ts';
import { note, step } from '../../test/cluster/progress.ts';
import { flameGraph, type Stack } from '../flame.ts';
import {
  AuditTail,
  benchPostgres,
  freshLab,
  type Lab,
  loadJobs,
  OBJECTS_A_JOB,
  startBulkhead,
  userOf,
} from '../lab/index.ts';
import type { BenchResult } from '../result.ts';
import { rounded } from '../statistics.ts';
import { goStacks, nodeStacks } from './stacks.ts';

export interface ProfileOptions {
  readonly jobs?: number;
  readonly quick?: boolean;
  readonly save?: boolean | string;
}

const [JOBS, QUICK_JOBS] = [1_000, 20];
const STALL_MS = 60_000;
/** The operator's start is over, and its code is compiled. */
const SETTLED_MS = 6_000;
const SAMPLE_US = 500;
const FOLDER = join(import.meta.dirname, '../../docs/profiles');

/** Where the operator's processor time goes in a rebuild, by what is nearest to the leaf. The first that fits counts. */
const OPERATOR_PARTS: Readonly<Record<string, RegExp>> = {
  'HTTP and TLS': /undici|node:internal\/(tls|http)|node:net|stream_base|llhttp/,
  'Postgres client': / pg(-pool|-protocol)?\/|src\/store\//,
  log: /pino|sonic-boom|run-log/,
  metrics: /prometheus/,
  'JSON of answers and watches': /parseJson|decodeEvent|splitLines/,
  digests: /digest/,
  'plan and rendering': /src\/(plan|engines)\//,
  'goals and layers': /src\/job\/|zod/,
  cache: /cell-cache|shared-parts|seen-jobs/,
  'the turn itself': /src\//,
  'garbage collection': /garbage collector/,
};

/** The API server's, by what stands above all else in a request. */
const SERVER_PARTS: Readonly<Record<string, RegExp>> = {
  'admission policies': /validating\.\(\*(Plugin|dispatcher)\)/,
  'managed fields': /FieldManager|managedFields|^typed\.|^fieldpath\./,
  'answering watches': /handleWatch|WatchServer|\(\*watchEncoder\)/,
  'etcd client': /^etcd3\.|^clientv3\.|^grpc\.|^transport\.\(\*http2Client\)/,
  'JSON of requests and answers': /^json\.|\(\*codec\)/,
  'audit log': /^audit\.|^log\.\(\*backend\)/,
  'garbage collection': /gcBgMarkWorker|gcAssist|bgsweep/,
  'HTTP and TLS': /^http2\.|^tls\.\(|^http\.\(\*(conn|response|body)\)/,
};

function partsOf(stacks: readonly Stack[], parts: Readonly<Record<string, RegExp>>, nearest: boolean) {
  const sums: Record<string, number> = {};
  for (const { frames, value } of stacks) {
    const order = nearest ? frames.toReversed() : frames;
    const names = Object.entries(parts);
    const found = nearest
      ? order.flatMap((frame) => names.find(([, is]) => is.test(frame))?.[0] ?? [])[0]
      : names.find(([, is]) => order.some((frame) => is.test(frame)))?.[0];
    sums[found ?? 'other'] = (sums[found ?? 'other'] ?? 0) + value;
  }
  const all = Object.values(sums).reduce((a, b) => a + b, 0);
  return Object.fromEntries(
    Object.entries(sums)
      .sort(([, a], [, b]) => b - a)
      .map(([name, sum]) => [name, rounded(sum / all)]),
  );
}

/** Ten seconds of the API server's processor time, or what there is of it. */
async function serverStacks(lab: Lab, seconds: number, folder: string): Promise<Stack[]> {
  const kubectl = [await localkube(), 'kubectl', '--kubeconfig', lab.cluster.kubeconfigPath] as const;
  const [program, ...args] = kubectl;
  const path = `/debug/pprof/profile?seconds=${seconds}`;
  const { stdout } = await execa(program, [...args, 'get', '--raw', path], { encoding: 'buffer' });
  const file = join(folder, 'api-server.pb.gz');
  await writeFile(file, stdout);
  return goStacks((await execa('go', ['tool', 'pprof', '-traces', program, file], { stderr: 'ignore' })).stdout);
}

async function rebuildProfiled(
  jobs: number,
  quick: boolean,
  folder: string,
): Promise<{ operator: Stack[]; server: Stack[] }> {
  await using lab = await freshLab('bench-profile', { controllers: false });
  await using postgres = await benchPostgres('profile');
  await using database = await postgres.database();
  await loadJobs(database.store, jobs, { tier: 'namespace' });
  await using tail = await AuditTail.from(lab.cluster.auditLogPath);
  const NODE_OPTIONS = `--cpu-prof --cpu-prof-dir=${folder} --cpu-prof-interval=${SAMPLE_US}`;
  await using operator = startBulkhead(lab, database, { env: { NODE_OPTIONS } });
  // Few jobs are made within a second of the start.
  const begun = quick ? operator.untilSaid('watching the cluster', STALL_MS) : sleep(SETTLED_MS);
  const sampling = begun.then(() => serverStacks(lab, quick ? 2 : 10, folder));
  await tail.untilCreated(userOf('bulkhead'), jobs * OBJECTS_A_JOB.namespace, { stallMs: STALL_MS });
  const server = await sampling;
  if (server.length === 0) throw new Error('the API server did nothing while its profile was taken');
  // It writes its profile when it ends in good order.
  await operator.stop();
  const file = (await readdir(folder)).find((name) => name.endsWith('.cpuprofile'));
  if (!file) throw new Error('the operator has left no profile');
  return { operator: nodeStacks(await readFile(join(folder, file), 'utf8'), quick ? 0 : SETTLED_MS), server };
}

const table = (title: string, parts: Readonly<Record<string, number>>): string =>
  [
    title,
    ...Object.entries(parts).map(([name, share]) => `  ${`${(100 * share).toFixed(1)} %`.padStart(7)}  ${name}`),
    '',
  ].join('\n');

/** Where the time of a rebuild goes, in the operator and in the API server: with --save as flame graphs in docs/profiles. */
export async function profile({ jobs = JOBS, quick = false, save = false }: ProfileOptions): Promise<BenchResult> {
  const count = quick ? QUICK_JOBS : jobs;
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-profile-'));
  try {
    const { operator, server } = await step(`Profiling a rebuild of ${count} jobs`, () =>
      rebuildProfiled(count, quick, folder),
    );
    const operatorParts = partsOf(operator, OPERATOR_PARTS, true);
    const serverParts = partsOf(server, SERVER_PARTS, false);
    process.stdout.write(table('operator', operatorParts) + table('API server', serverParts));
    if (save !== false) {
      const title = (of: string) => `${of} while Bulkhead rebuilds ${count} jobs: processor time`;
      await mkdir(FOLDER, { recursive: true });
      await writeFile(join(FOLDER, 'operator.svg'), flameGraph(title('The operator'), 'ms', operator));
      await writeFile(join(FOLDER, 'api-server.svg'), flameGraph(title('The API server'), 'ms', server));
      note('Saved as docs/profiles/operator.svg and api-server.svg');
    }
    return {
      bench: 'profile',
      jobs: count,
      value: serverParts['admission policies'] ?? 0,
      unit: 'of the API server’s processor time, taken by admission policies',
      target: 1,
      met: true,
      verdict: 'undecided',
      operator: operatorParts,
      apiServer: serverParts,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
