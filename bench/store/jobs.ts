import { randomUUID } from 'node:crypto';
import type { GoalChange, GoalReceipt } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';

const ORIGIN = { author: 'bench', source: 'cli', reason: 'measured' } as const;

/** A job of ordinary size. */
export const jobChange = (name: string, image: string): GoalChange => ({
  job: { tenant: 'bench', name },
  content: {
    kind: 'spec',
    spec: {
      container: {
        image,
        env: [
          { name: 'TOPIC', value: 'clicks' },
          { name: 'GROUP', value: name },
        ],
        ports: [{ name: 'metrics', port: 9090 }],
      },
      workers: { replicas: 3, resources: { requests: { cpu: '100m', memory: '128Mi' } } },
    },
  },
});

export const newJobs = (count: number): GoalChange[] =>
  Array.from({ length: count }, () => jobChange(`job-${randomUUID()}`, 'registry.example/app:1'));

/** One write. */
export const writeJobs = (store: Store, changes: readonly GoalChange[]): Promise<GoalReceipt[]> =>
  store.write(changes, ORIGIN);
