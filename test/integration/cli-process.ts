import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { execa } from 'execa';
import { type JobId, replicaId, shardOf } from '../../src/job/ids.ts';
import type { Fence } from '../../src/ports/shards.ts';
import type { Store } from '../../src/store/open.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

/** The real command line in a process of its own, on a real Postgres. */

const CHECKOUT = resolve(import.meta.dirname, '../..');
export const MAIN = join(CHECKOUT, 'src/cli/main.ts');

export interface Result {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Surroundings {
  readonly input?: string;
  readonly env?: Record<string, string>;
}

/** A database and a folder for one test file, and commands on them. Without a kubeconfig unless a test names one. */
export class CommandLine {
  readonly database: TestDatabase;
  readonly folder: string;

  private constructor(database: TestDatabase, folder: string) {
    this.database = database;
    this.folder = folder;
  }

  static async open(): Promise<CommandLine> {
    return new CommandLine(await testDatabase(), await mkdtemp(join(tmpdir(), 'bulkhead-cli-')));
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true });
    await this.database[Symbol.asyncDispose]();
  }

  /** Runs `bulkhead ARGS`; never rejects. */
  async run(args: readonly string[], { input = '', env = {} }: Surroundings = {}): Promise<Result> {
    const { exitCode, stdout, stderr } = await execa(process.execPath, [MAIN, ...args], {
      cwd: this.folder,
      input,
      env: {
        DATABASE_URL: this.database.url,
        KUBECONFIG: join(this.folder, 'none'),
        BULKHEAD_AUTHOR: 'ann',
        NO_COLOR: '1',
        ...env,
      },
      reject: false,
      stripFinalNewline: false,
      timeout: 60_000,
    });
    return { exitCode, stdout, stderr };
  }

  async file(name: string, ...documents: string[]): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, documents.join('---\n'));
    return path;
  }
}

export const job = (name: string, tenant: string, spec = 'container: {image: "app:1"}'): string =>
  `apiVersion: bulkhead.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: ${name}, namespace: ${tenant}}\nspec: {${spec}}\n`;

/** One sentence, no stack, nothing on stdout. */
export function assertSentence(result: Result, pattern: RegExp): void {
  assert.match(result.stderr, pattern);
  assert.equal(result.stderr.trimEnd().split('\n').length, 1, result.stderr);
  assert.match(result.stderr, /^error: /);
  assert.equal(result.stdout, '');
}

/** Acts for the whole store while `work` goes on, as an operator would. */
export async function asReplica(
  store: Store,
  work: (fenceOf: (id: JobId) => Fence, fences: readonly Fence[]) => Promise<void>,
): Promise<void> {
  const id = replicaId(randomUUID());
  const { fences } = await store.heartbeat({ id, name: 'test', clusterId: null }, 60_000);
  const fenceOf = (of: JobId): Fence => {
    const fence = fences.find(({ shard }) => shard === shardOf(of));
    if (!fence) throw new Error(`no fence for shard ${shardOf(of)}`);
    return fence;
  };
  try {
    await work(fenceOf, fences);
  } finally {
    await store.leave(id);
  }
}
