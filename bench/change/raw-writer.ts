import pg from 'pg';
import { Client } from 'undici';
import { objectPath } from '../../src/cluster/paths.ts';
import { readTarget } from '../../src/cluster/target.ts';
import { Transport } from '../../src/cluster/transport.ts';
import { ANNOTATIONS, type KubeObject, keyOf } from '../../src/plan/objects.ts';
import type { Fence } from '../../src/ports/shards.ts';
import { fenceMark } from '../../src/ports/shards.ts';
import { GOAL_CHANNEL } from '../../src/store/write.ts';
import { FencedCell } from '../../test/support/fenced-cell.ts';
import { type BenchDatabase, benchSpec, changeJob, type Lab, type ObjectWatcher } from '../lab/index.ts';
import type { Sample } from './sample.ts';

const SEEN_LIMIT_MS = 10_000;
const CREATED_AT_FENCE = 1;

interface Put {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** In turns, so that each changes something. */
  readonly bodies: readonly string[];
}

interface Parts {
  readonly database: BenchDatabase;
  readonly listener: pg.Client;
  readonly client: Client;
  readonly watcher: ObjectWatcher;
  readonly put: Put;
}

/**
 * The least that any design of this kind costs: the same edit stored in a store of its own, its NOTIFY heard, and one
 * ready-made PUT of a Deployment sent by a bare client, on one connection that is open. Nothing is read or decided; the
 * Deployment is a cell's, so the same policies look at the write.
 */
export class RawWriter {
  readonly #database: BenchDatabase;
  readonly #listener: pg.Client;
  readonly #client: Client;
  readonly #watcher: ObjectWatcher;
  readonly #put: Put;
  #turn = 0;
  #generation = 0;
  #onHint: () => void = () => undefined;

  private constructor(parts: Parts) {
    this.#database = parts.database;
    this.#listener = parts.listener;
    this.#client = parts.client;
    this.#watcher = parts.watcher;
    this.#put = parts.put;
    this.#listener.on('notification', () => this.#onHint());
  }

  /** @param database a store that no operator serves */
  static async open(lab: Lab, database: BenchDatabase, watcher: ObjectWatcher): Promise<RawWriter> {
    const target = await readTarget({ kubeconfig: lab.kubeconfigOf('replay'), context: lab.cluster.context });
    const { object, fence } = await makeCell(new Transport(target));
    const bodies = [1, 2].map((replicas) => JSON.stringify(stamped(object, fence, replicas)));
    const query = 'fieldManager=bulkhead&fieldValidation=Strict';
    const path = `${objectPath(keyOf(object))}?${query}`;
    const headers = { ...(await target.headers()), 'content-type': 'application/json', accept: 'application/json' };
    const client = new Client(target.server, { connect: { ca: target.tls.ca ?? '' } });
    const listener = new pg.Client({ connectionString: database.url, application_name: 'bench baseline' });
    await listener.connect();
    await listener.query(`listen ${GOAL_CHANNEL}`);
    const writer = new RawWriter({ database, listener, client, watcher, put: { path, headers, bodies } });
    await writer.#send();
    return writer;
  }

  /** One edit. */
  async sample(): Promise<Sample> {
    this.#turn += 1;
    const generation = this.#generation + 1;
    const seen = this.#watcher.next(
      'the raw write',
      SEEN_LIMIT_MS,
      (event) => event.generation >= generation && this.#put.path.includes(`/${event.namespace}/`),
    );
    const sent = new Promise<void>((resolve, reject) => {
      this.#onHint = () => {
        this.#onHint = () => undefined;
        this.#send().then(resolve, reject);
      };
    });
    const spec = benchSpec(`registry.example/app:${this.#turn}`);
    await changeJob(this.#database.store, { tenant: 'baseline', name: 'changing' }, spec);
    const committedAt = performance.now();
    const [{ atMs, generation: now }] = await Promise.all([seen, sent]);
    this.#generation = now;
    return { committedAt, seenMs: atMs - committedAt };
  }

  async #send(): Promise<void> {
    const { path, headers, bodies } = this.#put;
    const body = bodies[this.#turn % bodies.length] ?? '';
    const answer = await this.#client.request({ method: 'PUT', path, headers, body });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`the raw write was answered ${answer.statusCode}: ${text}`);
    this.#generation = Math.max(this.#generation, Number(/"generation":(\d+)/.exec(text)?.[1] ?? 0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#listener.end(), this.#client.destroy()]);
  }
}

async function makeCell(api: Transport): Promise<{ readonly object: KubeObject; readonly fence: Fence }> {
  try {
    const cell = new FencedCell(api);
    const fence = await cell.raise(CREATED_AT_FENCE);
    await cell.createAll(fence);
    return { object: await cell.read('Deployment'), fence };
  } finally {
    await api.close();
  }
}

/** Without what the API server keeps for itself, so that it holds whatever version is there. */
function stamped({ apiVersion, kind, metadata, spec }: KubeObject, fence: Fence, replicas: number): KubeObject {
  const { name, namespace = '', labels = {} } = metadata;
  const annotations = { [ANNOTATIONS.epoch]: fenceMark(fence) };
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, labels, annotations },
    spec: { ...(spec as Record<string, unknown>), replicas },
  };
}
