import type { JobId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import type { Fence } from '../ports/shards.ts';
import type { JobEvent, TurnRecorder } from '../ports/store.ts';

/** What of a turn is stored. */
export interface TurnOutcome {
  readonly status: JobStatus;
  /** Whether it differs from the one that is stored. */
  readonly changed: boolean;
  readonly events: readonly JobEvent[];
}

/** Stores what turns came to. What cannot be stored now is stored with the job's next turn: the audit trail has no gap. */
export class TurnArchive {
  readonly #store: TurnRecorder;
  readonly #unrecorded = new Map<JobId, readonly JobEvent[]>();

  constructor(store: TurnRecorder) {
    this.#store = store;
  }

  /** @param fence null where the shard is not ours any more. @throws StoreError */
  async record(id: JobId, { status, changed, events: fresh }: TurnOutcome, fence: Fence | null): Promise<void> {
    const events = [...(this.#unrecorded.get(id) ?? []), ...fresh];
    if (!changed && events.length === 0) return;
    if (events.length > 0) this.#unrecorded.set(id, events);
    if (!fence) return;
    await this.#store.record(fence, { status: changed ? status : null, events });
    this.#unrecorded.delete(id);
  }
}
