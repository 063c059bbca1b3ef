import type { LayerContent } from '../../src/job/goal.ts';
import type { JobName } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { ChangeOrigin, GoalChange } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';

/** A session of commands as people type them one after the other, each with an idempotency key of its own. */

/** Plain data, so that it can be handed to another process. */
export type Command = { readonly key: string; readonly tenant: string } & (
  | { readonly do: 'apply'; readonly jobs: readonly { readonly name: string; readonly spec: JobSpec }[] }
  | { readonly do: 'delete'; readonly name: string }
  | { readonly do: 'undelete'; readonly name: string }
  | { readonly do: 'override'; readonly name: string; readonly replicas: number; readonly until: string }
  | { readonly do: 'clear'; readonly name: string }
  | { readonly do: 'rollback'; readonly name: string; readonly to: number }
  | { readonly do: 'platform'; readonly replicas: number }
);

const IMPORT_JOBS = 50;
const UNTIL = '2099-01-01T00:00:00.000Z';

const spec = (image: string): JobSpec => ({ container: { image }, workers: { replicas: 2 } });

/** One round through all kinds of commands, on a job of its own. */
function round(n: number): Command[] {
  const tenant = n % 2 === 0 ? 'blue' : 'green';
  const name = `job-${n}`;
  const steps: readonly (Command extends infer C ? (C extends Command ? Omit<C, 'key' | 'tenant'> : never) : never)[] =
    [
      { do: 'apply', jobs: [{ name, spec: spec('app:1') }] },
      { do: 'apply', jobs: [{ name, spec: spec('app:2') }] },
      { do: 'apply', jobs: [{ name, spec: spec('app:2') }] },
      { do: 'override', name, replicas: 5, until: UNTIL },
      { do: 'clear', name },
      { do: 'rollback', name, to: 1 },
      { do: 'delete', name },
      { do: 'undelete', name },
      { do: 'platform', replicas: 100 + n },
      {
        do: 'apply',
        jobs: Array.from({ length: IMPORT_JOBS }, (_, i) => ({ name: `import-${n}-${i}`, spec: spec('app:1') })),
      },
      { do: 'override', name, replicas: 7, until: UNTIL },
      { do: 'delete', name },
    ];
  return steps.map((step, i) => ({ ...step, tenant, key: `${n}-${i}` }) as Command);
}

/** The first `count` commands of as many rounds as that takes. */
export function session(count: number): Command[] {
  const commands: Command[] = [];
  for (let n = 0; commands.length < count; n += 1) commands.push(...round(n));
  return commands.slice(0, count);
}

/** What a command answers, without what differs from run to run. */
export type Answer = readonly string[];

const sourceOf = (command: Command): ChangeOrigin['source'] => {
  if (command.do === 'rollback') return 'rollback';
  return command.do === 'override' || command.do === 'clear' ? 'oncall' : 'cli';
};

/** The content that a command wants for its one job. */
async function contentOf(store: Store, job: JobName, command: Command): Promise<LayerContent> {
  switch (command.do) {
    case 'override':
      return {
        kind: 'patch',
        layer: 'oncall',
        patch: { workers: { replicas: command.replicas } },
        until: new Date(command.until),
      };
    case 'clear':
      return { kind: 'cleared', layer: 'oncall' };
    case 'undelete':
    case 'rollback': {
      const found = (await store.find(job)) ?? (await store.findRemoved(job))?.goal;
      if (!found) throw new Error(`${job.name} is not there`);
      const history = await store.history(found.job.id);
      const specs = history.filter(({ content }) => content.kind === 'spec');
      const wanted = command.do === 'rollback' ? specs.find((r) => r.revision === command.to) : specs.at(-1);
      if (!wanted) throw new Error(`${job.name} has no such revision`);
      return wanted.content;
    }
    default:
      return { kind: 'tombstone' };
  }
}

/** Does one command. Doing it again after a crash does what was not done, and nothing twice. */
export async function execute(store: Store, command: Command): Promise<Answer> {
  const { tenant, key } = command;
  const origin: ChangeOrigin = {
    author: 'session',
    source: sourceOf(command),
    reason: command.do,
    idempotencyKey: key,
  };
  if (command.do === 'platform') {
    const content = { defaults: {}, limits: { workers: { replicas: command.replicas } } };
    const { revision, outcome } = await store.writePlatform({ tenant, content }, origin);
    return [`platform ${tenant} ${revision} ${outcome}`];
  }
  let changes: GoalChange[];
  if (command.do === 'apply') {
    changes = command.jobs.map(({ name, spec }) => ({ job: { tenant, name }, content: { kind: 'spec', spec } }));
  } else {
    const job = { tenant, name: command.name };
    changes = [{ job, content: await contentOf(store, job, command) }];
  }
  const receipts = await store.write(changes, origin);
  return receipts.map(({ job, revision, outcome }) => `${job.tenant}/${job.name} ${revision} ${outcome}`);
}
