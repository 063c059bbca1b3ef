/** `kind`: real nodes and real pods, in containers. `control-plane`: real API server, fake nodes, plain processes. */
export type ClusterKind = 'kind' | 'control-plane';

/** What every local cluster offers, whatever its kind. */
export interface LocalCluster {
  readonly kind: ClusterKind;
  readonly name: string;
  /** A kubeconfig file with this cluster alone; its user may do everything. */
  readonly kubeconfigPath: string;
  /** The current context of that file. */
  readonly context: string;
  /** The API server's audit log: one audit.k8s.io/v1 Event a line, without bodies. */
  readonly auditLogPath: string;
  /** Removes the cluster with all its data. */
  down(): Promise<void>;
}

/** A cluster that was made, whether or not it runs; one line of `npm run cluster -- status`. */
export interface ClusterStatus {
  readonly kind: ClusterKind;
  readonly name: string;
  readonly kubeconfigPath: string;
  readonly context: string;
  /** `running`: answers and complete. `degraded`: parts are missing; `up` repairs it. `stopped`: nothing runs. */
  readonly state: 'running' | 'degraded' | 'stopped';
  /** What is missing, for a person. */
  readonly detail?: string;
}
