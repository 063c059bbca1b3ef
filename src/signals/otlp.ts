import { hostname } from 'node:os';
import { type Context, ROOT_CONTEXT, type Span, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';
import packageJson from '../../package.json' with { type: 'json' };
import { errorFields, type Log } from '../ports/log.ts';
import type { OpenSpan, SpanAttributes, Tracing, TurnTrace } from './tracing.ts';

/** A stop has 10 s for everything. */
const FLUSH_LIMIT_MS = 1_000;

type ExportResult = Parameters<Parameters<SpanExporter['export']>[1]>[0];
/** ExportResultCode.SUCCESS of @opentelemetry/core, which is not ours to import. */
const SUCCESS = 0;

/** An exporter whose failures are nobody's trouble: said once when they begin and once when they are over. */
export class QuietExporter implements SpanExporter {
  readonly #inner: SpanExporter;
  readonly #log: Log;
  #failing = false;

  constructor(inner: SpanExporter, log: Log) {
    this.#inner = inner;
    this.#log = log;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#inner.export(spans, (result) => {
      const failed = result.code !== SUCCESS;
      if (failed && !this.#failing) {
        this.#log.warn(errorFields(result.error), 'traces cannot be sent; they are dropped until they can');
      }
      if (!failed && this.#failing) this.#log.info({}, 'traces are sent again');
      this.#failing = failed;
      done({ code: SUCCESS });
    });
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#inner.forceFlush?.();
  }
}

/**
 * The time of day in ms, in fractions, that goes on steadily from when it was made. The SDK would round each span's own
 * start to the millisecond, so that a step could outlast its turn.
 */
function steadyClock(): () => number {
  const offsetMs = Date.now() - performance.now();
  return () => offsetMs + performance.now();
}

function end(span: Span, error: unknown, nowMs: number): void {
  if (error !== undefined) {
    const { error: message } = errorFields(error);
    span.recordException(error instanceof Error ? error : message, nowMs);
    span.setStatus({ code: SpanStatusCode.ERROR, message });
  }
  span.end(nowMs);
}

class OtlpTurn implements TurnTrace {
  readonly traceId: string;
  readonly #tracer: Tracer;
  readonly #root: Span;
  readonly #context: Context;
  readonly #nowMs = steadyClock();

  constructor(tracer: Tracer, attributes: SpanAttributes) {
    this.#tracer = tracer;
    this.#root = tracer.startSpan('reconcile', { attributes, startTime: this.#nowMs() }, ROOT_CONTEXT);
    this.#context = trace.setSpan(ROOT_CONTEXT, this.#root);
    this.traceId = this.#root.spanContext().traceId;
  }

  describe(attributes: SpanAttributes): void {
    this.#root.setAttributes(attributes);
  }

  child(name: string, attributes: SpanAttributes): OpenSpan {
    const span = this.#tracer.startSpan(name, { attributes, startTime: this.#nowMs() }, this.#context);
    return { end: (error) => end(span, error, this.#nowMs()) };
  }

  end(error?: unknown): void {
    end(this.#root, error, this.#nowMs());
  }
}

/**
 * OpenTelemetry's SDK with its exporter for OTLP over HTTP with JSON. All of it is configured by OpenTelemetry's own
 * variables (endpoint, headers, sampler, limits of the batches, resource attributes).
 */
export class OtlpTracing implements Tracing {
  readonly #provider: BasicTracerProvider;
  readonly #tracer: Tracer;

  constructor(log: Log) {
    const ours = resourceFromAttributes({
      'service.name': 'bulkhead',
      'service.version': packageJson.version,
      'service.instance.id': `${hostname()}-${process.pid}`,
    });
    const resource = defaultResource()
      .merge(ours)
      .merge(detectResources({ detectors: [envDetector] }));
    this.#provider = new BasicTracerProvider({
      resource,
      spanProcessors: [new BatchSpanProcessor(new QuietExporter(new OTLPTraceExporter(), log))],
    });
    this.#tracer = this.#provider.getTracer('bulkhead', packageJson.version);
  }

  startTurn(attributes: SpanAttributes): TurnTrace {
    return new OtlpTurn(this.#tracer, attributes);
  }

  async stop(): Promise<void> {
    const limit = new Promise((resolve) => setTimeout(resolve, FLUSH_LIMIT_MS).unref());
    // What could not be sent was said by the exporter; at the end there is nothing left to do about it.
    await Promise.race([this.#provider.shutdown().catch(() => undefined), limit]);
  }
}
