import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError } from '../ports/cluster.ts';
import { decodeEvent, eventVersion, isNewer, listSchema } from './decode.ts';
import { Interrupted, type Transport } from './transport.ts';

/**
 * Some 500 KB, which keeps both sides' memory flat: of larger answers the text, and what is parsed of it, make up much of a
 * start's memory, and Node gives none of that back.
 */
const PAGE_SIZE = 100;
/** The API server ends a watch after this time plus up to as much again; a fresh one is then opened from where it stood. */
const WATCH_SECONDS = 240;
/**
 * A watch silent for longer than this is taken as dead (faults.md row 16: within 150 s). Bookmarks come every 60 to 62 s, and
 * one is left out now and then: of pods, say, for as long as there has never been one. So it is longer than two of them.
 */
const SILENCE_MS = 140_000;
/**
 * After this time a watch begins with everything that is there: the resync that repairs whatever watches have missed. No
 * fault that we know of needs it.
 */
const RESYNC_MS = 60 * 60_000;
/** Tries in a row before the connection counts as lost. */
const TRIES = 3;
/** Between tries: doubled each time, and never less than the server asks for. */
const RETRY_MIN_MS = 300;
const RETRY_MAX_MS = 15_000;
/** A watch that lived for this long was a sound one. */
const SOUND_MS = 5_000;
const STREAM_PAUSE_MS = 100;
/** The server's consistent read, told as events, with a bookmark at its end. A server that can't do this says so. */
const EVERYTHING_FIRST = { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' } as const;
/** A watch that was cut sooner than this is trouble; so one that is cut again and again is opened once a second at most. */
const CUT_AFTER_MS = 1_000;

/** Where a reflector puts what it learns. Called in order; must not throw for what is a Kubernetes object. */
export interface ReflectorSink {
  /** Whether this version of an object, or a newer one, was taken in already: then nobody needs to read on. */
  knows?(uid: string, resourceVersion: string): boolean;
  /** @returns its UID */
  upsert(item: unknown): string;
  remove(item: unknown): void;
  /** Everything has been told. @param present UIDs of all that there was: anything else was gone at `resourceVersion` */
  keepOnly(present: ReadonlySet<string>, resourceVersion: string): void;
}

export interface ReflectorOptions {
  readonly path: string;
  readonly labelSelector: string;
  /** Objects in one answer; left out: {@link PAGE_SIZE}. */
  readonly pageSize?: number;
  /** How long watches are trusted; left out: {@link RESYNC_MS}, more or less. */
  readonly resyncMs?: number;
  readonly sink: ReflectorSink;
  /** A list was taken in. */
  readonly onSynced: () => void;
}

type Reader = Pick<Transport, 'call' | 'lines'>;

/** The server can no longer tell what happened since our version: list again. */
class Expired extends Error {}

/**
 * Keeps a sink up to date with one collection: a paginated list, then watches with bookmarks, from version to version, also
 * where a connection was cut: the server tells what happened since, or that it can't. Once in a while a watch begins with
 * everything instead, which costs little where most of it is known. Anything odd (410, an error in the stream, a silent
 * stream, a server that is not there at once or that knows less than was heard) leads to a new list, after a pause that
 * grows. Returns when `signal` aborts.
 * @throws ClusterError `gone` as soon as there is no such collection; others when the API server could not be reached
 *   several times in a row
 */
export async function reflect(transport: Reader, options: ReflectorOptions, signal: AbortSignal): Promise<void> {
  const trouble = new Trouble();
  while (!signal.aborted) {
    try {
      await listAndWatch(transport, options, trouble, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ClusterError && error.kind === 'gone') throw error;
      const pauseMs = trouble.pauseAfter(error);
      if (trouble.lost) throw asClusterError(error, options.path);
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** One list and the watches that follow it, for as long as nothing is odd. */
async function listAndWatch(
  transport: Reader,
  options: ReflectorOptions,
  trouble: Trouble,
  signal: AbortSignal,
): Promise<void> {
  let version = await list(transport, options, signal);
  options.onSynced();
  let resyncAt = nextResync(options);
  for (;;) {
    const openedAt = performance.now();
    const isResync = openedAt >= resyncAt;
    const end = await watch(transport, options, isResync ? null : version, signal);
    if (signal.aborted) return;
    if (isResync) resyncAt = nextResync(options);
    if (performance.now() - openedAt > SOUND_MS) trouble.over();
    // A server that ends every watch at once must not be asked in a tight loop.
    await sleep(STREAM_PAUSE_MS, undefined, { signal });
    version = end.version;
    if (end.isCut) await requireVersion(transport, options, version, signal);
  }
}

/** Spread, so that not all kinds come at once. */
const nextResync = ({ resyncMs = RESYNC_MS }: ReflectorOptions): number =>
  performance.now() + resyncMs * (0.8 + 0.4 * Math.random());

/** What went wrong in a row, and how long to leave the server alone for it. */
class Trouble {
  #inRow = 0;
  #unreachable = 0;

  over(): void {
    this.#inRow = 0;
    this.#unreachable = 0;
  }

  pauseAfter(error: unknown): number {
    this.#inRow += 1;
    const asked = error instanceof ClusterError ? (error.retryAfterMs ?? 0) : 0;
    const answered = error instanceof ClusterError && (error.kind === 'throttled' || error.kind === 'conflict');
    if (!answered && !(error instanceof Expired)) this.#unreachable += 1;
    return Math.max(asked, Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.#inRow - 1)));
  }

  get lost(): boolean {
    return this.#unreachable >= TRIES;
  }
}

const asClusterError = (error: unknown, path: string): ClusterError =>
  error instanceof ClusterError
    ? error
    : new ClusterError('unavailable', `watching ${path}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });

/** A consistent read: no resourceVersion means the newest state, so an API server that lags cannot hand us an old one. */
async function listPage(
  transport: Reader,
  { path, labelSelector }: ReflectorOptions,
  pageSize: number,
  next: string | undefined,
  signal: AbortSignal,
) {
  const query = { labelSelector, limit: String(pageSize), ...(next !== undefined && { continue: next }) };
  return listSchema.parse(await transport.call('GET', path, { query, signal }));
}

async function list(transport: Reader, options: ReflectorOptions, signal: AbortSignal): Promise<string> {
  const present = new Set<string>();
  let next: string | undefined;
  do {
    const page = await listPage(transport, options, options.pageSize ?? PAGE_SIZE, next, signal);
    // What is taken in is let go of, so a list is never in memory as a whole.
    for (const item of page.items ?? []) present.add(options.sink.upsert(item));
    next = page.metadata.continue || undefined;
    if (next === undefined) {
      options.sink.keepOnly(present, page.metadata.resourceVersion);
      return page.metadata.resourceVersion;
    }
  } while (!signal.aborted);
  throw new Expired();
}

/**
 * Where a connection was cut there may be another server now, with an older store: it would take a version that it has yet
 * to reach, and be silent until then. @throws Expired
 */
async function requireVersion(transport: Reader, options: ReflectorOptions, version: string, signal: AbortSignal) {
  const { metadata } = await listPage(transport, options, 1, undefined, signal);
  if (isNewer(version, metadata.resourceVersion))
    throw new Expired(`the server is at ${metadata.resourceVersion} only`);
}

/** How the stream ended that nobody calls odd, and the version to go on from. */
interface WatchEnd {
  readonly version: string;
  readonly isCut: boolean;
}

/** @param from null to be told of everything that is there first: the server's word, in place of what we thought */
async function watch(
  transport: Reader,
  options: ReflectorOptions,
  from: string | null,
  signal: AbortSignal,
): Promise<WatchEnd> {
  const silence = new AbortController();
  const query = {
    watch: '1',
    allowWatchBookmarks: 'true',
    labelSelector: options.labelSelector,
    ...(from === null ? EVERYTHING_FIRST : { resourceVersion: from }),
    timeoutSeconds: String(Math.round(WATCH_SECONDS * (1 + Math.random()))),
  };
  const told = new Told(options.sink, from);
  let heardAt = performance.now();
  let watchdog = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    for await (const line of transport.lines(options.path, query, AbortSignal.any([signal, silence.signal]))) {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => silence.abort(), SILENCE_MS);
      heardAt = performance.now();
      if (line !== '') told.take(line);
    }
    return { version: told.version, isCut: false };
  } catch (error) {
    // After a stop of our own the break may be told before the time-out.
    const isSilent = silence.signal.aborted || performance.now() - heardAt > SILENCE_MS;
    if (isSilent) throw new Expired('the watch fell silent', { cause: error });
    if (error instanceof Interrupted && error.openForMs >= CUT_AFTER_MS) return { version: told.version, isCut: true };
    throw error;
  } finally {
    clearTimeout(watchdog);
  }
}

/** What one watch tells, taken in line by line. */
class Told {
  readonly #sink: ReflectorSink;
  /** While it still tells of what was there before: those events carry the versions of their objects, not the watch's. */
  #present: Set<string> | null;
  #version: string | null;

  constructor(sink: ReflectorSink, from: string | null) {
    this.#sink = sink;
    this.#version = from;
    this.#present = from === null ? new Set() : null;
  }

  /** Where the watch stands. @throws Expired where it has yet to tell of everything that was there */
  get version(): string {
    if (this.#version === null) throw new Expired('the watch ended before it had told of everything');
    return this.#version;
  }

  /** @throws Expired when the server reports an error; Error when the line is no event */
  take(line: string): void {
    const head = this.#sink.knows && eventVersion(line);
    if (head && this.#sink.knows?.(head.uid, head.resourceVersion)) {
      this.#saw(head.uid, head.resourceVersion);
      return;
    }
    const event = decodeEvent(line);
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        this.#saw(this.#sink.upsert(event.object), event.resourceVersion);
        break;
      case 'DELETED':
        this.#sink.remove(event.object);
        this.#standsAt(event.resourceVersion);
        break;
      case 'BOOKMARK':
        if (this.#present && event.isInitialEnd && event.resourceVersion !== undefined) {
          this.#sink.keepOnly(this.#present, event.resourceVersion);
          this.#present = null;
        }
        this.#standsAt(event.resourceVersion);
        break;
      case 'ERROR':
        throw new Expired(String(event.object.message ?? 'the watch reported an error'));
    }
  }

  #saw(uid: string, version: string | undefined): void {
    this.#present?.add(uid);
    this.#standsAt(version);
  }

  #standsAt(version: string | undefined): void {
    if (this.#present === null) this.#version = version ?? this.#version;
  }
}
