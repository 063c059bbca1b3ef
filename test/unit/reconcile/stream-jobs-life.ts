import fc from 'fast-check';
import { canonicalJson } from '../../../src/job/canonical.ts';
import type { JobName } from '../../../src/job/ids.ts';
import { withQuantitiesAsText } from '../../../src/job/object-spec.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import type { ObservedStreamJob } from '../../../src/plan/stream-job.ts';
import { StoreError } from '../../../src/ports/store.ts';
import type { Backup } from '../../../src/ports/stream-jobs-server.fake.ts';
import { type Fault, MAX_WORKERS, World } from './stream-jobs-world.ts';

/** Random lives of two StreamJobs: what people and faults do, and a world in which they do it. */

export const JOBS: readonly JobName[] = [
  { tenant: 'ads', name: 'clicks' },
  { tenant: 'ads', name: 'views' },
];

const BY_KUBECTL = ['apply', 'gitops', 'edit', 'scale', 'delete'] as const;
const BY_CLI = ['cli apply', 'cli take over', 'cli delete', 'rollback'] as const;
const HOMES = ['delete namespace', 'delete kind', 'bring homes back', 'lose cluster', 'back up', 'restore'] as const;

export interface Act {
  readonly what: (typeof BY_KUBECTL)[number] | (typeof BY_CLI)[number] | (typeof HOMES)[number];
  readonly job: number;
  /** What it is about, where it is about something. */
  readonly value: number;
}

export interface Turns {
  readonly what: 'turns';
  readonly replica: number;
  readonly late: boolean;
  readonly faults: readonly {
    readonly write: number;
    readonly when: Fault['when'];
    readonly what: 'crash' | 'no answer' | Act;
  }[];
}

const act: fc.Arbitrary<Act> = fc.record({
  what: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...BY_KUBECTL) },
    { weight: 3, arbitrary: fc.constantFrom(...BY_CLI) },
    { weight: 2, arbitrary: fc.constantFrom(...HOMES) },
  ),
  job: fc.constantFrom(0, 0, 0, 1),
  value: fc.nat(4),
});

const fault = fc.record({
  write: fc.nat(6),
  when: fc.constantFrom('before' as const, 'after' as const),
  what: fc.oneof(fc.constant('crash' as const), fc.constant('no answer' as const), act),
});

const turns: fc.Arbitrary<Turns> = fc.record({
  what: fc.constant('turns' as const),
  replica: fc.nat(1),
  late: fc.boolean(),
  faults: fc.oneof(fc.constant([]), fc.array(fault, { minLength: 1, maxLength: 2 })),
});

export const schedule = fc.array(fc.oneof(act, turns), { minLength: 1, maxLength: 14 });

export const asText = (spec: unknown): string => canonicalJson(withQuantitiesAsText(spec as JobSpec));

/** A world and what people did in it. */
export class Life {
  readonly world = new World(['ads']);
  /** Edits as the API server took them. */
  readonly edits: { readonly uid: string; readonly generation: number; readonly spec: string }[] = [];
  /** UIDs of what was deleted by a person while its home was there. */
  readonly deleted: string[] = [];
  #backup: Backup | null = null;
  #count = 0;

  get #server() {
    return this.world.server;
  }

  async run(steps: readonly (Act | Turns)[]): Promise<void> {
    for (const step of steps) {
      if (step.what !== 'turns') {
        this.act(step);
        continue;
      }
      const faults = step.faults.map(({ what, ...rest }): Fault => {
        return { ...rest, what: typeof what === 'object' ? () => this.act(what) : what };
      });
      await this.world.turns(step.replica, { late: step.late, faults });
    }
  }

  act({ what, job: index, value }: Act): void {
    const job = JOBS[index] as JobName;
    const number = ++this.#count;
    const user = `user-${number}`;
    const workers = value === 4 ? MAX_WORKERS + 1 : value + 1;
    const fresh: JobSpec = { container: { image: `registry.example/app:${number}` }, workers: { replicas: value + 1 } };
    const acts: Readonly<Record<Act['what'], () => void>> = {
      apply: () => this.#heard(job, () => this.#server.apply(job, fresh, { user, manager: 'kubectl' })),
      // The same thing over and over, as such a tool does.
      gitops: () => this.#heard(job, () => this.#server.apply(job, gitops(value), { user, manager: 'argocd' })),
      edit: () => this.edit(job, { replicas: workers }, user),
      scale: () => this.#heard(job, () => this.#server.scale(job, workers)),
      delete: () => this.delete(job),
      'cli apply': () => this.#byCli(job, fresh),
      'cli take over': () => this.#byCli(job, fresh, true),
      'cli delete': () => this.#byCli(job, null),
      rollback: () => this.#rollback(job, value),
      'delete namespace': () => this.#server.deleteNamespace(job.tenant),
      'delete kind': () => this.#server.deleteKind(),
      'bring homes back': () => this.bringHomesBack(),
      'lose cluster': () => this.#server.lose(),
      'back up': () => {
        this.#backup = this.#server.backup();
      },
      restore: () => {
        if (this.#backup) this.#server.restore(this.#backup);
      },
    };
    acts[what]();
  }

  edit(job: JobName, workers: JobSpec['workers'], user: string): void {
    const change = (spec: JobSpec): JobSpec => ({ ...spec, workers: { ...spec.workers, ...workers } });
    this.#heard(job, () => this.#server.edit(job, change, { user, manager: 'kubectl-edit' }));
  }

  delete(job: JobName): void {
    const isThere = this.#server.home(job.tenant) === 'there';
    const object = this.#server.delete(job);
    if (object && isThere) this.deleted.push(object.uid);
  }

  bringHomesBack(): void {
    this.#server.makeNamespace('ads');
    this.#server.installKind();
  }

  #heard(job: JobName, write: () => ObservedStreamJob | null): void {
    const before = this.#server.of(job);
    const after = write();
    if (!after || (before?.uid === after.uid && before.generation === after.generation)) return;
    this.edits.push({ uid: after.uid, generation: after.generation, spec: asText(after.spec) });
  }

  #byCli(job: JobName, spec: JobSpec | null, takeOver = false): void {
    const content = spec ? ({ kind: 'spec', spec } as const) : ({ kind: 'tombstone' } as const);
    const change = { job, content, ...(takeOver && { takeOver: true as const }) };
    try {
      this.world.goals.writeNow([change], { author: `cli-${this.#count}`, source: 'cli', reason: null });
    } catch (error) {
      // Others keep the fields: refused, as a person is told.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  #rollback(job: JobName, value: number): void {
    const specs = this.world.history(job).flatMap(({ spec }) => spec ?? []);
    const spec = specs[value % Math.max(1, specs.length)];
    if (spec) this.#byCli(job, spec, true);
  }
}

const gitops = (value: number): JobSpec => ({
  container: { image: `registry.example/gitops:${value}` },
  ...(value % 2 === 0 && { suspended: true }),
});
