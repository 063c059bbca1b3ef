import { setTimeout as sleep } from 'node:timers/promises';
import { compareToFence, type Epoch, type EpochOrder, epochMark, formatEpoch } from '../job/epoch.ts';
import type { Shard, StoreId } from '../job/ids.ts';
import { MANAGER } from '../plan/objects.ts';
import { ClusterError, type EpochFence } from '../ports/cluster.ts';
import { type Fence, fenceMark } from '../ports/shards.ts';
import {
  decodeFence,
  encodeFence,
  FENCE_NAME,
  FENCE_NAMESPACE,
  FENCE_PATH,
  FENCE_REMEDY,
  type FenceState,
} from './epoch-fence-data.ts';
import { prove } from './epoch-fence-proof.ts';
import { type Caller, MERGE_PATCH } from './transport.ts';

/** Every lost race is another replica's raise that landed, so this is far more than can happen. */
const RAISE_TRIES = 50;
const RACE_PAUSE_MS = 20;

type Follows = Parameters<EpochFence['raise']>[1];
type Raised = Awaited<ReturnType<EpochFence['raise']>>;

interface Sorted {
  /** The fence names them already. */
  readonly standing: readonly Fence[];
  /** They follow what the fence names, or it names nothing yet. */
  readonly due: readonly Fence[];
  readonly behind: Raised['behind'];
}

/** The fence as a ConfigMap, kept by the admission policies in manifests/admission. */
export class KubernetesFence implements EpochFence {
  readonly #transport: Caller;
  readonly #storeId: StoreId;
  readonly #raisedHere: Set<string>;

  /** @param raisedHere marks that this process has raised; handed on from connection to connection */
  constructor(transport: Caller, storeId: StoreId, raisedHere = new Set<string>()) {
    this.#transport = transport;
    this.#storeId = storeId;
    this.#raisedHere = raisedHere;
  }

  async read(): Promise<ReadonlyMap<Shard, Epoch>> {
    return (await this.#state()).epochs;
  }

  async raise(fences: readonly Fence[], follows: Follows): Promise<Raised> {
    if (fences.length === 0) return { raised: [], behind: [] };
    for (let attempt = 0; attempt < RAISE_TRIES; attempt += 1) {
      const state = await this.#state();
      const { standing, due, behind } = await this.#sort(fences, state.epochs, follows);
      const raised = [...standing, ...due];
      const [witness] = due.length > 0 ? due : standing;
      if (!witness) return { raised, behind };
      if (!(await this.#write(due, state))) {
        await sleep(Math.random() * RACE_PAUSE_MS);
        continue;
      }
      if (await this.#prove(witness, state.epochs.get(witness.shard))) return { raised, behind };
    }
    throw new ClusterError('conflict', 'the fence in the cluster was changed by others again and again; try again');
  }

  async #state(): Promise<FenceState> {
    try {
      return decodeFence(this.#storeId, await this.#transport.call('GET', FENCE_PATH));
    } catch (error) {
      if (!(error instanceof ClusterError) || error.kind !== 'gone') throw error;
      const what = `the cluster has no fence (ConfigMap ${FENCE_NAMESPACE}/${FENCE_NAME})`;
      throw new ClusterError('unfenced', `${what}; ${FENCE_REMEDY}`, { cause: error });
    }
  }

  async #sort(fences: readonly Fence[], epochs: FenceState['epochs'], follows: Follows): Promise<Sorted> {
    const standing: Fence[] = [];
    const due: Fence[] = [];
    const behind: { readonly fence: Fence; readonly found: Epoch }[] = [];
    for (const fence of fences) {
      const found = epochs.get(fence.shard);
      const order = found ? await this.#order(fence, found, follows) : 'newer';
      if (order === 'same') standing.push(fence);
      else if (order === 'newer' || !found) due.push(fence);
      else behind.push({ fence, found });
    }
    return { standing, due, behind };
  }

  async #order({ shard, epoch }: Fence, found: Epoch, follows: Follows): Promise<EpochOrder> {
    const order = compareToFence(epoch, found);
    // Every claim gets a number of its own: where another process has ours, its claim is not in this store any more.
    const isTaken = epoch.n === found.n && !this.#raisedHere.has(epochMark(shard, found));
    if (order !== 'behind' && !isTaken) return order;
    // What looks like falling behind is meant, where a person has said so and the number grew past the fence's.
    return epoch.n > found.n && (await follows(shard, found)) ? 'newer' : 'behind';
  }

  /** All or none. @returns false when somebody else changed the fence meanwhile */
  async #write(due: readonly Fence[], { epochs, resourceVersion }: FenceState): Promise<boolean> {
    if (due.length === 0) return true;
    // Before the call, whose answer may be lost.
    for (const fence of due) this.#raisedHere.add(fenceMark(fence));
    const raised = new Map([...epochs, ...due.map((fence) => [fence.shard, fence.epoch] as const)]);
    const body = { metadata: { resourceVersion }, data: { [this.#storeId]: encodeFence(raised) } };
    const options = { query: { fieldManager: MANAGER }, body, urgent: true };
    try {
      await this.#transport.call('PATCH', FENCE_PATH, { ...options, contentType: MERGE_PATCH });
      return true;
    } catch (error) {
      if (error instanceof ClusterError && error.kind === 'conflict') return false;
      throw error;
    }
  }

  /** One shard proves for all: a policy gets to know the ConfigMap as a whole, and all were raised by one write. */
  #prove(witness: Fence, former: Epoch | undefined): Promise<boolean> {
    const { shard, epoch } = witness;
    const ours = formatEpoch(epoch);
    const wrong = former && formatEpoch(former) !== ours ? former : { ...epoch, n: epoch.n - 1 };
    return prove(this.#transport, {
      storeId: this.#storeId,
      wrong: epochMark(shard, wrong),
      right: fenceMark(witness),
      stillOurs: async () => {
        const found = (await this.#state()).epochs.get(shard);
        return found !== undefined && formatEpoch(found) === ours;
      },
    });
  }
}
