import Fastify from 'fastify';
import type { Metrics } from './metrics.ts';

/** What stands between the operator and being ready; empty when nothing does. */
export type Hindrances = () => readonly string[];

export interface HealthServer {
  /** Where it listens: `http://host:port`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * `/healthz` answers 200 as long as the process turns its event loop: a lost database or cluster is no reason to be
 * restarted. `/readyz` answers 503 with the reasons while the operator cannot do its work. `/metrics` is Prometheus's.
 * @throws Error when the port is taken
 */
export async function serveHealth(
  listen: { host: string; port: number },
  hindrances: Hindrances,
  metrics: Metrics,
): Promise<HealthServer> {
  const server = Fastify({ logger: false, forceCloseConnections: true });
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async (_request, reply) => {
    const reasons = hindrances();
    return reply.code(reasons.length === 0 ? 200 : 503).send({ ready: reasons.length === 0, reasons });
  });
  server.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  const url = await server.listen(listen);
  return { url, close: () => server.close() };
}
