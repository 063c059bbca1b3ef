import type { FieldKeeper } from '../job/status.ts';

/** Who else keeps fields of a job's StreamJob, for people. Pure. */

/** One line a field, not yet fit for a terminal: `spec.workers.replicas is kept by argocd-controller in Kubernetes`. */
export const keeperLines = (keepers: readonly FieldKeeper[]): string[] =>
  keepers.flatMap(({ manager, fields }) =>
    fields.map((field) => `${field === '' ? 'spec' : `spec.${field}`} is kept by ${manager} in Kubernetes`),
  );
