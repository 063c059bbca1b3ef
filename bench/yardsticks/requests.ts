import { createPath } from '../../src/cluster/paths.ts';
import { ANNOTATIONS, keyOf, MANAGER } from '../../src/plan/objects.ts';
import { type CellSource, renderCell } from '../../src/plan/render/cell.ts';

/** A line of the replay's file. Phase 0 is sent first and alone; see README.md. */
export interface ReplayRequest {
  readonly phase: number;
  readonly key: string;
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly contentType?: string;
  readonly body?: unknown;
}

const QUERY = new URLSearchParams({ fieldManager: MANAGER, fieldValidation: 'Strict' });

/**
 * What Bulkhead sends to make a job's cell where nothing is, in its order and to the byte (see KubernetesExecutor).
 * @param mark the epoch that the fence names for the job's shard, `SHARD:SYSTEM/TIMELINE/N`
 */
export function createRequests(source: CellSource, mark: string): ReplayRequest[] {
  return renderCell(source).map((object, index) => {
    const annotations = { ...object.metadata.annotations, [ANNOTATIONS.epoch]: mark };
    return {
      phase: index + 1,
      key: source.job.id,
      method: 'POST',
      path: `${createPath(keyOf(object))}?${QUERY}`,
      body: { ...object, metadata: { ...object.metadata, annotations } },
    };
  });
}
