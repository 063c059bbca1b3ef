import type { Log } from '../ports/log.ts';

/** Traces as the work uses them. What sends them is loaded only when somebody wants them. */

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface OpenSpan {
  /** @param error left out where all went well */
  end(error?: unknown): void;
}

/** The trace of one turn: a root span, and a child for each step and each write. */
export interface TurnTrace extends OpenSpan {
  readonly traceId: string;
  describe(attributes: SpanAttributes): void;
  child(name: string, attributes: SpanAttributes): OpenSpan;
}

export interface Tracing {
  startTurn(attributes: SpanAttributes): TurnTrace;
  /** Sends what is left, for a moment at the most. Never rejects. */
  stop(): Promise<void>;
}

const ENDPOINTS = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'] as const;

/**
 * Traces go by OTLP over HTTP to where OpenTelemetry's usual variables say; without an endpoint there are none.
 * @returns null where nobody wants traces
 */
export async function startTracing(env: NodeJS.ProcessEnv, log: Log): Promise<Tracing | null> {
  const endpoint = ENDPOINTS.map((name) => env[name]?.trim()).find(Boolean);
  const isOff = env.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || env.OTEL_TRACES_EXPORTER === 'none';
  if (endpoint === undefined || isOff) return null;
  const { OtlpTracing } = await import('./otlp.ts');
  const tracing = new OtlpTracing(log);
  log.info({ endpoint: withoutPassword(endpoint) }, 'traces are sent');
  const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? env.OTEL_EXPORTER_OTLP_PROTOCOL;
  if (protocol === 'grpc') {
    log.warn({ protocol }, 'traces are sent by HTTP with JSON; name the port for that, usually 4318');
  }
  return tracing;
}

function withoutPassword(endpoint: string): string {
  if (!URL.canParse(endpoint)) return 'no address';
  const { protocol, host, pathname } = new URL(endpoint);
  return `${protocol}//${host}${pathname}`;
}
