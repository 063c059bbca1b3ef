import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the API server itself wrote down, read as it grows: costs the API server nothing that it does not do anyhow. */

export interface AuditedRequest {
  readonly verb: string;
  readonly user: string;
  readonly code: number;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly uri: string;
  /** When it was answered, in milliseconds since 1970, to the microsecond. Compare with {@link wallClockMs}. */
  readonly answeredAtMs: number;
  /** How long the API server had it, in milliseconds. */
  readonly tookMs: number;
}

interface AuditLine {
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly objectRef?: { readonly namespace?: string; readonly resource?: string; readonly name?: string };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);
const POLL_MS = 50;
const BLOCK_BYTES = 1 << 20;

/** Now, in milliseconds since 1970, with fractions. */
export const wallClockMs = (): number => performance.timeOrigin + performance.now();

/** `2026-11-24T01:02:03.123456Z`; Date.parse stops at the millisecond. */
const timeMs = (text: string): number => Date.parse(`${text.slice(0, 19)}Z`) + Number(`0${text.slice(19, -1)}`) * 1000;

export const isWrite = ({ verb, uri }: AuditedRequest): boolean => WRITES.has(verb) && !uri.includes('dryRun=All');

export class AuditTail {
  readonly #path: string;
  #file: FileHandle | undefined;
  #position: number;
  #rest = Buffer.alloc(0);

  private constructor(path: string, position: number) {
    this.#path = path;
    this.#position = position;
  }

  /** From what is answered from now on. */
  static async from(path: string): Promise<AuditTail> {
    return new AuditTail(path, (await stat(path)).size);
  }

  /** What was answered since the last call. */
  async read(): Promise<AuditedRequest[]> {
    this.#file ??= await open(this.#path);
    const found: AuditedRequest[] = [];
    for (;;) {
      const { bytesRead, buffer } = await this.#file.read({
        buffer: Buffer.alloc(BLOCK_BYTES),
        position: this.#position,
      });
      if (bytesRead === 0) return found;
      this.#position += bytesRead;
      found.push(...this.#linesOf(buffer.subarray(0, bytesRead)));
    }
  }

  #linesOf(bytes: Buffer): AuditedRequest[] {
    const all = Buffer.concat([this.#rest, bytes]);
    const end = all.lastIndexOf(0x0a) + 1;
    this.#rest = all.subarray(end);
    return all.toString('utf8', 0, end).split('\n').flatMap(parseLine);
  }

  /**
   * Waits until `count` requests have passed `filter`, and gives all that passed.
   * @param onProgress how many so far
   * @throws Error when for `stallMs` none has come
   */
  async until(
    count: number,
    filter: (request: AuditedRequest) => boolean,
    { stallMs, onProgress }: { readonly stallMs: number; readonly onProgress?: (count: number) => void },
  ): Promise<AuditedRequest[]> {
    const passed: AuditedRequest[] = [];
    let movedAt = performance.now();
    while (passed.length < count) {
      const fresh = (await this.read()).filter(filter);
      if (fresh.length > 0) movedAt = performance.now();
      for (const request of fresh) passed.push(request);
      onProgress?.(passed.length);
      if (performance.now() - movedAt > stallMs) {
        throw new Error(`${passed.length} of ${count} requests, and none more for ${stallMs / 1000} s`);
      }
      if (passed.length < count) await sleep(POLL_MS);
    }
    return passed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }
}

function parseLine(line: string): AuditedRequest[] {
  if (!line.includes('"stage":"ResponseComplete"')) return [];
  const event = JSON.parse(line) as AuditLine;
  const answeredAtMs = timeMs(event.stageTimestamp);
  return [
    {
      verb: event.verb,
      user: event.user.username ?? '',
      code: event.responseStatus?.code ?? 0,
      resource: event.objectRef?.resource ?? '',
      namespace: event.objectRef?.namespace ?? '',
      name: event.objectRef?.name ?? '',
      uri: event.requestURI,
      answeredAtMs,
      tookMs: answeredAtMs - timeMs(event.requestReceivedTimestamp),
    },
  ];
}

/** How often each verb was answered how: `{"create 201": 8000, "patch 409": 1}`. */
export function countWrites(requests: readonly AuditedRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const request of requests.filter(isWrite)) {
    const key = `${request.verb} ${request.code}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
