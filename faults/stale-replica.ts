import { parseEpoch } from '../src/job/epoch.ts';
import { ANNOTATIONS } from '../src/plan/objects.ts';
import type { LocalCluster } from '../test/cluster/types.ts';
import { ApiProxy, type ApiVerdict, type ApiWrite } from '../test/support/api-proxy.ts';
import { targetOf, type Verdict, WireProxy } from '../test/support/wire.ts';

/**
 * The ways of one replica to Postgres and to Kubernetes, on which its writes can be held: they then arrive long after it
 * sent them, as from a process that was stopped, or over a network that was slow.
 */
export interface SqlWrite {
  /** Whether the server stored it: null until it has answered. */
  stored: boolean | null;
}

/** What a write to Kubernetes is, for counting. */
export type WriteKind = 'create' | 'update' | 'mark' | 'delete';

/** What the statement has in it by which a turn is recorded. */
const RECORD = 'bulkhead.record_turn(';

const KINDS: Readonly<Record<string, WriteKind>> = { POST: 'create', PUT: 'update', PATCH: 'mark', DELETE: 'delete' };

export const kindOf = (write: ApiWrite): WriteKind => KINDS[write.method] ?? 'update';

/** Whether it is about a cell: the fence itself and what is only tried are not. */
export const isCellWrite = ({ path }: ApiWrite): boolean =>
  !path.includes('dryRun=') && !/\/authorization\.k8s\.io\/|\/namespaces\/bulkhead-system\//.test(path);

interface Stamped {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> };
}

/** Shard and number that a write says it is made under; null for a DELETE, which says nothing. */
export function stampOf({ body }: ApiWrite): { readonly shard: number; readonly n: number } | null {
  const mark = (body as Stamped | null)?.metadata?.annotations?.[ANNOTATIONS.epoch];
  const [, shard, text] = /^(\d+):(.*)$/.exec(mark ?? '') ?? [];
  const epoch = parseEpoch(text ?? '');
  return shard === undefined || epoch === null ? null : { shard: Number(shard), n: epoch.n };
}

export class StaleReplica {
  readonly api: ApiProxy;
  readonly wire: WireProxy;
  readonly held: { readonly writes: ApiWrite[]; readonly sql: SqlWrite[] } = { writes: [], sql: [] };
  #release: () => void = () => undefined;
  #isHolding = false;

  private constructor(api: ApiProxy, wire: WireProxy) {
    this.api = api;
    this.wire = wire;
  }

  static async on(
    cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>,
    databaseUrl: string,
  ): Promise<StaleReplica> {
    return new StaleReplica(await ApiProxy.to(cluster), await WireProxy.to(targetOf(databaseUrl)));
  }

  /**
   * Holds writes from now on.
   * @param holds which writes to Kubernetes; what is recorded in Postgres is held altogether
   */
  hold(holds: (write: ApiWrite) => boolean): void {
    this.#isHolding = true;
    const released = new Promise<void>((resolve) => {
      this.#release = resolve;
    });
    this.api.hooks = {
      before: async (write): Promise<ApiVerdict> => {
        if (!this.#isHolding || !isCellWrite(write) || !holds(write)) return 'pass';
        this.held.writes.push(write);
        await released;
        return 'pass';
      },
    };
    const waiting = new Map<number, SqlWrite>();
    this.wire.hooks = {
      isWrite: (statement) => statement.includes(RECORD),
      before: async ({ number, statement }): Promise<Verdict> => {
        if (!this.#isHolding || !statement.includes(RECORD)) return 'pass';
        const write: SqlWrite = { stored: null };
        waiting.set(number, write);
        this.held.sql.push(write);
        await released;
        return 'pass';
      },
      after: ({ number }, { landed, value }) => {
        const write = waiting.get(number);
        // The statement says itself whether its fence held.
        if (write) write.stored = landed && value !== 'f';
        return 'pass';
      },
    };
  }

  /** Lets everything go that is held, and holds nothing more. */
  release(): void {
    this.#isHolding = false;
    this.#release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await this.api[Symbol.asyncDispose]();
    await this.wire[Symbol.asyncDispose]();
  }
}
