import { Gauge, Registry } from '@prometheus-io/client';

/** What can be read of a running operator at any time, without asking anybody. */
export interface OperatorReadings {
  /** How far open transactions hold the cursor over goals back. */
  readonly cursorLagMs: number;
  /** Shards that are this replica's by the store. */
  readonly shardsOwned: number;
  /** Shards that it acts for: owned, connected to the cluster, and the fence raised. */
  readonly shardsActive: number;
  readonly storeUp: boolean;
  readonly clusterUp: boolean;
}

export interface Metrics {
  readonly contentType: string;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
}

/** Reads anew at each scrape; nothing is collected in between. */
export function operatorMetrics(read: () => OperatorReadings): Metrics {
  const registry = new Registry();
  const gauge = (name: string, help: string, value: (readings: OperatorReadings) => number) =>
    new Gauge({
      name: `bulkhead_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(value(read()));
      },
    });
  gauge(
    'goal_cursor_lag_seconds',
    'How far open transactions hold the cursor over goals back.',
    (it) => it.cursorLagMs / 1000,
  );
  gauge('shards_owned', 'Shards that are this replica’s by the store.', (it) => it.shardsOwned);
  gauge('shards_active', 'Shards that this replica acts for.', (it) => it.shardsActive);
  gauge('store_up', '1 while the goal store answers.', (it) => Number(it.storeUp));
  gauge('cluster_up', '1 while the cluster is connected and listed.', (it) => Number(it.clusterUp));
  return { contentType: registry.contentType, text: () => registry.metrics() };
}
