import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { KubernetesObject } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { encodeFence, FENCE_PATH } from '../../src/cluster/epoch-fence-data.ts';
import { MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import { effectiveSpec } from '../../src/job/defaults.ts';
import { jobId, revision, shard, storeId } from '../../src/job/ids.ts';
import { step } from '../../test/cluster/progress.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import { spawnBound } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { applyManifests, benchSpec, type Lab, type ObjectWatcher, onInterrupt } from '../lab/index.ts';
import { CELL_CRD, operatorBinary } from '../yardsticks/build.ts';
import { CELLS_PATH, type Cell, cellOf } from '../yardsticks/cell.ts';
import { type Duo, TAKEOVER_LIMIT_MS } from './duo.ts';

const START_LIMIT_MS = 60_000;
/** Any shard, under any epoch: the fence has to name it, and nobody else uses it. */
const MARK = '0:1/1/1';
const FENCED = { shard: shard(0), epoch: { system: '1', timeline: 1, n: 1 } };

/** One process of the yardstick, and what it has said. */
class Replica {
  readonly process: ChildProcess;
  readonly said = new Set<string>();
  readonly #exited: Promise<void>;
  #errors = '';

  constructor(binary: string, kubeconfig: string) {
    this.process = spawnBound([binary, '--kubeconfig', kubeconfig, '--tuned', '--leader-elect'], { stdout: 'pipe' });
    this.#exited = new Promise((resolve) => this.process.once('exit', () => resolve()));
    this.process.stderr?.on('data', (chunk: Buffer) => {
      this.#errors = `${this.#errors}${chunk.toString('utf8')}`.slice(-2_000);
    });
    const { stdout } = this.process;
    if (!stdout) throw new Error('the yardstick has no stdout');
    createInterface({ input: stdout }).on('line', (line) => {
      this.said.add((JSON.parse(line) as { readonly event: string }).event);
    });
  }

  async untilSaid(event: string, timeoutMs: number): Promise<void> {
    await until(`controller-runtime says ${event}`, timeoutMs, () => {
      if (this.process.exitCode !== null) throw new Error(`controller-runtime has ended: ${this.#errors}`);
      return this.said.has(event);
    });
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.#exited;
  }
}

/** Two replicas of an operator on controller-runtime, one of which holds the Lease. */
export class ControllerRuntimeDuo implements Duo {
  readonly #binary: string;
  readonly #lab: Lab;
  readonly #api: Transport;
  readonly #watcher: ObjectWatcher;
  readonly #cells: readonly Cell[];
  #replicas: Replica[] = [];

  private constructor(binary: string, lab: Lab, api: Transport, watcher: ObjectWatcher, cells: readonly Cell[]) {
    this.#binary = binary;
    this.#lab = lab;
    this.#api = api;
    this.#watcher = watcher;
    this.#cells = cells;
  }

  static async start(lab: Lab, watcher: ObjectWatcher, count: number): Promise<ControllerRuntimeDuo> {
    const binary = await operatorBinary();
    const api = await breakGlass(lab.cluster);
    const store = storeId(randomUUID());
    await applyManifests(lab.cluster, [parse(await readFile(CELL_CRD, 'utf8')) as KubernetesObject]);
    const fence = encodeFence(new Map([[FENCED.shard, FENCED.epoch]]));
    await api.call('PATCH', FENCE_PATH, { body: { data: { [store]: fence } }, contentType: MERGE_PATCH });
    const cells = Array.from({ length: count }, (_, i) => {
      const job = { id: jobId(randomUUID()), tenant: 'yardstick', name: `job-${i}` };
      return cellOf({ storeId: store, job, revision: revision(1), spec: effectiveSpec(benchSpec()) }, MARK);
    });
    await until('Cells are taken', START_LIMIT_MS, async () => {
      const list = await api.call('GET', CELLS_PATH).catch(() => null);
      return list !== null;
    });
    for (const cell of cells) await api.call('POST', CELLS_PATH, { body: cell });
    const duo = new ControllerRuntimeDuo(binary, lab, api, watcher, cells);
    onInterrupt(() => duo[Symbol.asyncDispose]());
    try {
      await step(`Starting two replicas on controller-runtime with ${count} cells`, () => duo.#begin());
      return duo;
    } catch (error) {
      await duo[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    await this.#add().untilSaid('leading', START_LIMIT_MS);
    await this.#add().untilSaid('synced', START_LIMIT_MS);
    for (const cell of this.#cells) {
      const path = `${CELLS_PATH}/${cell.metadata.name}`;
      await until(`${cell.metadata.name} is made`, START_LIMIT_MS, async () => {
        const found = (await this.#api.call('GET', path)) as { readonly status?: { readonly ready?: boolean } };
        return found.status?.ready === true;
      });
    }
  }

  async lose(signal: 'SIGKILL' | 'SIGSTOP', replace: boolean): Promise<number> {
    const leaving = this.#replicas.find(({ said }) => said.has('leading'));
    const [cell] = this.#cells;
    if (!leaving || !cell) throw new Error('nobody leads');
    const image = `registry.example/app:${performance.now().toFixed(0)}`;
    const seeing = this.#watcher.next('the survivor’s write', TAKEOVER_LIMIT_MS, (event) => {
      return event.namespace === cell.spec.namespace && event.line.includes(`"image":"${image}"`);
    });
    const lostAt = performance.now();
    leaving.process.kill(signal);
    await this.#api.call('PATCH', `${CELLS_PATH}/${cell.metadata.name}`, {
      body: { spec: { image } },
      contentType: MERGE_PATCH,
    });
    const { atMs } = await seeing;
    await leaving.kill();
    this.#replicas = this.#replicas.filter((replica) => replica !== leaving);
    if (replace) await this.#add().untilSaid('synced', START_LIMIT_MS);
    return atMs - lostAt;
  }

  #add(): Replica {
    const replica = new Replica(this.#binary, this.#lab.kubeconfigOf('controller-runtime'));
    this.#replicas.push(replica);
    return replica;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => replica.kill()));
    await this.#api.close();
  }
}
