import { setTimeout as sleep } from 'node:timers/promises';
import { cellPlace } from '../../src/plan/names.ts';
import { step } from '../../test/cluster/progress.ts';
import {
  AuditTail,
  type BenchPostgres,
  benchPostgres,
  type LoadOptions,
  ObjectWatcher,
  WATCHED,
} from '../lab/index.ts';
import type { BenchResult } from '../result.ts';
import { type Edit, Editor } from './edits.ts';
import { type Filled, fill, untilQuiet } from './filled.ts';
import { type Parts, partsOf } from './parts.ts';
import { RawWriter } from './raw-writer.ts';
import { type Measured, report } from './report.ts';

interface Sized {
  /** How many idle jobs the large site has. */
  readonly jobs: number;
  /** How many the small one has. */
  readonly few: number;
  /** Edits of each contestant at each site. */
  readonly samples: number;
  readonly edit: Edit;
  readonly tier: LoadOptions['tier'];
}

export interface ChangeOptions extends Partial<Sized> {
  readonly quick?: boolean;
}

/** What was measured. */
export type ChangeMeasure = Sized & { readonly quick: boolean };

const DEFAULTS = { jobs: 10_000, few: 100, samples: 1_000, edit: 'replicas', tier: 'namespace', quick: false } as const;
const QUICK = { jobs: 10, few: 10, samples: 5 } as const;
const WARM_UP = 10;
/** How many of the idle jobs take turns at being edited. */
const EDITED = 20;
/** What an edit brings in its wake (the rest of the cell, the status) is over before the next begins. */
const PAUSE_MS = 40;
const PAUSE_SPREAD_MS = 20;

interface Site {
  readonly filled: Filled;
  readonly editor: Editor;
  readonly raw: RawWriter;
  readonly audit: AuditTail;
  readonly tier: LoadOptions['tier'];
  readonly bulkhead: number[];
  readonly baseline: number[];
  readonly parts: Parts[];
  [Symbol.asyncDispose](): Promise<void>;
}

async function openSite(postgres: BenchPostgres, name: string, jobs: number, options: ChangeMeasure): Promise<Site> {
  const { tier, edit } = options;
  await using stack = new AsyncDisposableStack();
  const filled = stack.use(await fill(await postgres.database(), { name, jobs, tier, controllers: false }));
  const watcher = stack.use(await ObjectWatcher.open(filled.lab, { kinds: [WATCHED.deployments] }));
  const raw = stack.use(await RawWriter.open(filled.lab, await postgres.database(), watcher));
  const audit = stack.use(await AuditTail.from(filled.lab.cluster.auditLogPath));
  const editor = new Editor(filled, watcher, { count: Math.min(EDITED, jobs), tier, edit });
  const owned = stack.move();
  const figures = { bulkhead: [], baseline: [], parts: [] };
  return { filled, editor, raw, audit, tier, ...figures, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What has to be added to performance.now() to get the wall clock, to some microseconds: Date.now() is read as it moves. */
function wallMs(): number {
  const before = Date.now();
  for (;;) {
    const now = Date.now();
    if (now !== before) return now - performance.now();
  }
}

async function sampleBulkhead(site: Site, counts: boolean): Promise<void> {
  const { job, ...sample } = await site.editor.sample();
  await sleep(PAUSE_MS + Math.random() * PAUSE_SPREAD_MS);
  const requests = await site.audit.read();
  if (!counts) return;
  site.bulkhead.push(sample.seenMs);
  const place = cellPlace(site.filled.database.store.storeId, job, site.tier);
  const parts = partsOf({ ...sample, ...place }, requests, wallMs());
  if (parts) site.parts.push(parts);
}

async function sampleBaseline(site: Site, counts: boolean): Promise<void> {
  const { seenMs } = await site.raw.sample();
  await sleep(PAUSE_MS + Math.random() * PAUSE_SPREAD_MS);
  await site.audit.read();
  if (counts) site.baseline.push(seenMs);
}

const measured = ({ bulkhead, baseline, parts, filled }: Site): Measured => ({
  jobs: filled.jobs.length,
  bulkhead,
  baseline,
  parts,
  filledMs: filled.filledMs,
});

/**
 * From the commit of an edit to the moment an independent watcher sees the Deployment change, among few and many idle
 * jobs, against the least that such a way costs. One edit of each in turns, so that whatever happens on this machine
 * meets all of them.
 */
export async function change(given: ChangeOptions): Promise<BenchResult> {
  const options: ChangeMeasure = { ...DEFAULTS, ...given, ...(given.quick && QUICK) };
  await using stack = new AsyncDisposableStack();
  const postgres = stack.use(await benchPostgres('change'));
  const sites: Site[] = [];
  // One after the other: their speed of filling is reported. A smoke run has time for one.
  for (const [name, jobs] of Object.entries({ few: options.few, many: options.jobs })) {
    if (!options.quick || name === 'many') {
      sites.push(stack.use(await openSite(postgres, `change-${name}`, jobs, options)));
    }
  }
  await Promise.all(sites.map(({ filled }) => untilQuiet(filled.lab)));
  const turns = sites.flatMap((site) => [
    (counts: boolean) => sampleBulkhead(site, counts),
    (counts: boolean) => sampleBaseline(site, counts),
  ]);
  const warmUp = options.quick ? 1 : WARM_UP;
  await step(`Timing ${options.samples} edits of each`, async () => {
    for (let i = -warmUp; i < options.samples; i += 1) {
      for (const turn of i % 2 === 0 ? turns : turns.toReversed()) await turn(i >= 0);
    }
  });
  return report(sites.map(measured), options);
}
