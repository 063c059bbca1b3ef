import { OperatorProcess } from '../../test/support/processes.ts';
import type { BenchDatabase } from './database.ts';
import type { Lab } from './lab.ts';

export interface BulkheadOptions {
  /** For messages. */
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts `bulkhead run` as the operator's ServiceAccount. It is not awaited: see `untilSaid('watching the cluster', …)`. */
export const startBulkhead = (
  lab: Lab,
  database: Pick<BenchDatabase, 'url'>,
  { name = 'bulkhead', env = {} }: BulkheadOptions = {},
): OperatorProcess =>
  OperatorProcess.start({ name, databaseUrl: database.url, kubeconfig: lab.kubeconfigOf('bulkhead'), env });
