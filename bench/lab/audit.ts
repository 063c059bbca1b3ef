import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { WATCHED } from './watcher.ts';

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
/** Seldom, and without parsing: whoever is measured needs the processor. */
const POLL_MS = 200;
const BLOCK_BYTES = 1 << 20;
/** Tried only: how the operator proves that the fence holds. */
const DRY_RUN = 'dryRun=All';
const CREATED =
  /"stage":"ResponseComplete".*"verb":"create".*"objectRef":\{"resource":"(namespaces|serviceaccounts|resourcequotas|limitranges|services|networkpolicies|deployments|poddisruptionbudgets)".*"responseStatus":\{"metadata":\{\},"code":201/;

/** Now, in milliseconds since 1970, with fractions. */
export const wallClockMs = (): number => performance.timeOrigin + performance.now();

/** `2026-11-24T01:02:03.123456Z`; Date.parse stops at the millisecond. */
const timeMs = (text: string): number => Date.parse(`${text.slice(0, 19)}Z`) + Number(`0${text.slice(19, -1)}`) * 1000;

/** Whether something was to be stored: no dry run, and no question in the form of an object. */
export const isWrite = ({ verb, uri, resource }: AuditedRequest): boolean =>
  WRITES.has(verb) && !uri.includes(DRY_RUN) && !/^(selfsubject|subjectaccess|token)\w*reviews$/.test(resource);

export class AuditTail {
  readonly #path: string;
  #file: FileHandle | undefined;
  #position: number;
  #rest = Buffer.alloc(0);
  /** One for all reads: a new one for each would keep the collector busy beside whoever is measured. */
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES);

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
    return (await this.#lines()).flatMap(parseLine);
  }

  async #lines(): Promise<string[]> {
    this.#file ??= await open(this.#path);
    const found: string[] = [];
    for (;;) {
      const { bytesRead } = await this.#file.read({ buffer: this.#block, position: this.#position });
      if (bytesRead === 0) return found;
      this.#position += bytesRead;
      const all = Buffer.concat([this.#rest, this.#block.subarray(0, bytesRead)]);
      const end = all.lastIndexOf(0x0a) + 1;
      this.#rest = all.subarray(end);
      for (const line of all.toString('latin1', 0, end).split('\n')) found.push(line);
    }
  }

  /**
   * Waits until `count` objects of cells were created by `user`, whatever else was asked meanwhile.
   * @param onProgress how many so far, about
   * @returns every request of the user's since the tail began
   * @throws Error when for `stallMs` none has come
   */
  async untilCreated(
    user: string,
    count: number,
    { stallMs, onProgress }: { readonly stallMs: number; readonly onProgress?: (count: number) => void },
  ): Promise<AuditedRequest[]> {
    const lines: string[] = [];
    let created = 0;
    let movedAt = performance.now();
    while (created < count) {
      const before = created;
      for (const line of await this.#lines()) {
        if (!line.includes(user)) continue;
        lines.push(line);
        if (CREATED.test(line) && !line.includes(DRY_RUN)) created += 1;
      }
      if (created > before) movedAt = performance.now();
      onProgress?.(created);
      if (performance.now() - movedAt > stallMs) {
        throw new Error(`${created} of ${count} objects are there, and none more for ${stallMs / 1000} s`);
      }
      if (created < count) await sleep(POLL_MS);
    }
    return lines.flatMap(parseLine);
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

/** Whether it made an object of a kind that cells consist of. */
export const isCreation = ({ verb, code, resource, uri }: AuditedRequest): boolean =>
  verb === 'create' && code === 201 && resource in WATCHED && !uri.includes(DRY_RUN);

/** How often each verb was answered how: `{"create 201": 8000, "patch 409": 1}`. */
export function countWrites(requests: readonly AuditedRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const request of requests.filter(isWrite)) {
    const key = `${request.verb} ${request.code}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
