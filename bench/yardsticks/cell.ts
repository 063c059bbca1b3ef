import { verbatim } from '../../src/engines/container.ts';
import { cellPlace } from '../../src/plan/names.ts';
import type { CellSource } from '../../src/plan/render/cell.ts';

/** The kind of the operators among the yardsticks (operator/crd.yaml). */
export interface Cell {
  readonly apiVersion: 'yardstick.dev/v1';
  readonly kind: 'Cell';
  readonly metadata: { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Where Cells are created and listed. */
export const CELLS_PATH = '/apis/yardstick.dev/v1/cells';

/**
 * The Cell for what Bulkhead renders a cell from: the same objects come out, for jobs that say nothing but what a Cell
 * can say.
 * @param mark the epoch that the fence names for the job's shard, `SHARD:SYSTEM/TIMELINE/N`
 * @throws Error for a job of tier `shared`, and for one that says more
 */
export function cellOf({ storeId, job, revision, spec }: CellSource, mark: string): Cell {
  const { container, network, workers } = spec;
  const env = container.env.map((one) => ({ name: one.name, value: verbatim(one.value ?? '') }));
  const secrets = container.env.filter((one) => one.secretKeyRef);
  const more = [container.command, container.args, secrets, network.ingress, network.egress];
  if (
    spec.tier !== 'namespace' ||
    more.some((list) => list.length > 0) ||
    Object.values(container.probes).some(Boolean)
  ) {
    throw new Error(`the job ${job.tenant}/${job.name} says more than a Cell can say; see bench/yardsticks/cell.ts`);
  }
  const { namespace, name } = cellPlace(storeId, job, spec.tier);
  return {
    apiVersion: 'yardstick.dev/v1',
    kind: 'Cell',
    metadata: { name: job.id },
    spec: {
      storeId,
      jobId: job.id,
      tenant: job.tenant,
      job: job.name,
      revision,
      namespace,
      name,
      mark,
      replicas: spec.suspended ? 0 : workers.replicas,
      image: container.image,
      env,
      requests: workers.requests,
      limits: workers.limits,
      ports: container.ports,
    },
  };
}
