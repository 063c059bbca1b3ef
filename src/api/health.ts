import Fastify from 'fastify';
import type { Metrics } from './metrics.ts';

/** One thing that must be in order before the operator can do its work. */
export interface ReadyCheck {
  readonly name: string;
  /** What is the matter, as a sentence; null when nothing is. */
  readonly reason: string | null;
}

export interface Readiness {
  readonly checks: readonly ReadyCheck[];
  /** What is worth to be said and hinders nothing. */
  readonly notes: readonly string[];
}

export interface HealthServer {
  /** Where it listens: `http://host:port`. */
  readonly url: string;
  close(): Promise<void>;
}

/** What hinders the operator; it is ready when nothing does. */
export const reasonsOf = (checks: Readiness['checks']): string[] => checks.flatMap(({ reason }) => reason ?? []);

/** As Kubernetes' own components answer to `?verbose`. */
export function verboseText(readiness: Readiness): string {
  const { checks, notes } = readiness;
  const lines = checks.map(({ name, reason }) => (reason === null ? `[+]${name} ok` : `[-]${name} failed: ${reason}`));
  const verdict = reasonsOf(checks).length === 0 ? 'readyz check passed' : 'readyz check failed';
  return [...lines, ...notes.map((note) => `[i]${note}`), verdict, ''].join('\n');
}

/**
 * `/healthz` answers 200 as long as the process turns its event loop: a lost database or cluster is no reason to be
 * restarted. `/readyz` answers 503 with the reasons while the operator cannot do its work, and in either case says what
 * else is worth to be said; with `?verbose` as text, check by check. `/metrics` is Prometheus's.
 * @throws Error when the port is taken
 */
export async function serveHealth(
  listen: { host: string; port: number },
  readiness: () => Readiness,
  metrics: Metrics,
): Promise<HealthServer> {
  const server = Fastify({ logger: false, forceCloseConnections: true });
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get<{ Querystring: { verbose?: string } }>('/readyz', async ({ query }, reply) => {
    const now = readiness();
    const reasons = reasonsOf(now.checks);
    const ready = reasons.length === 0;
    reply.code(ready ? 200 : 503);
    if (query.verbose !== undefined) return reply.type('text/plain; charset=utf-8').send(verboseText(now));
    return reply.send({ ready, reasons, notes: now.notes });
  });
  server.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  const url = await server.listen(listen);
  return { url, close: () => server.close() };
}
