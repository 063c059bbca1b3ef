import { setTimeout as sleep } from 'node:timers/promises';
import type { CellPlace } from '../../src/plan/names.ts';
import { CELL_KIND_NAMES, type CellKind } from '../../src/plan/objects.ts';
import { benchPostgres, interleaved } from '../lab/index.ts';
import type { BenchResult } from '../result.ts';
import { bulkheadContestant, type Contestant, yardstickContestant } from './contestants.ts';
import { timeHealing } from './deletes.ts';
import { SteadyEdits } from './load.ts';
import { type Healed, report } from './report.ts';

interface Sized {
  /** Cells of each. */
  readonly jobs: number;
  /** Turns of each. */
  readonly pairs: number;
  /** Parts deleted in a turn, the kinds one after the other. */
  readonly deletes: number;
  /** Namespaces deleted in a turn, beside the rest. */
  readonly namespaces: number;
  /** In a turn, parts deleted while all of the operator's connections were just broken. */
  readonly reconnects: number;
  /** Edits a second while it goes on. */
  readonly rate: number;
}

export interface HealOptions extends Partial<Sized> {
  readonly quick?: boolean;
}

export type HealMeasure = Sized & { readonly quick: boolean };

const DEFAULTS = { jobs: 1_000, pairs: 10, deletes: 28, namespaces: 2, reconnects: 4, rate: 5, quick: false } as const;
const QUICK = { jobs: 8, pairs: 1, deletes: 7, namespaces: 1, reconnects: 1 } as const;
/** Of a part that comes again, others may be told later than the watcher was. */
const PAUSE_MS = 30;
const PAUSE_SPREAD_MS = 40;
/** Until all watches are open again. */
const REOPEN_MS = 1_500;
const WARM_UP_MS = 500;

const PARTS: readonly CellKind[] = CELL_KIND_NAMES.filter((kind) => kind !== 'Namespace');

/** Deletes parts of cells that nobody edits, cell by cell; Namespaces of others, since the rest of a cell goes with them. */
class Deleter {
  readonly #contestant: Contestant;
  readonly #forParts: readonly CellPlace[];
  readonly #forNamespaces: readonly CellPlace[];
  #parts = 0;
  #namespaces = 0;

  /** @param namespaces how many are deleted at once */
  constructor(contestant: Contestant, namespaces: number) {
    const idle = contestant.cells.filter((_, i) => !isEdited(i));
    this.#contestant = contestant;
    this.#forNamespaces = idle.slice(0, namespaces);
    this.#forParts = idle.slice(namespaces);
  }

  async part(): Promise<Healed> {
    const kind = PARTS[this.#parts % PARTS.length] ?? 'Deployment';
    const place = inTurn(this.#forParts, this.#parts);
    this.#parts += 1;
    return { kind, ms: await timeHealing(this.#contestant, kind, place) };
  }

  async namespace(): Promise<Healed> {
    const place = inTurn(this.#forNamespaces, this.#namespaces);
    this.#namespaces += 1;
    return { kind: 'Namespace', ms: await timeHealing(this.#contestant, 'Namespace', place) };
  }
}

/** Every second cell, so that load and deletion do not meet in one. */
const isEdited = (index: number): boolean => index % 2 === 0;

function inTurn(places: readonly CellPlace[], turn: number): CellPlace {
  const place = places[turn % places.length];
  if (!place) throw new Error('there are too few cells: give more --jobs');
  return place;
}

export interface Turn {
  readonly steady: readonly Healed[];
  readonly reconnecting: readonly Healed[];
}

async function turn(contestant: Contestant, deleter: Deleter, options: HealMeasure): Promise<Turn> {
  const edited = contestant.cells.flatMap((_, i) => (isEdited(i) ? [i] : []));
  await using load = new SteadyEdits(contestant, options.rate, edited);
  await sleep(WARM_UP_MS);
  contestant.requireAlive();
  const namespaces = Promise.all(Array.from({ length: options.namespaces }, () => deleter.namespace()));
  // It is awaited below; until then a failure of its own waits, too.
  namespaces.catch(() => undefined);
  const steady: Healed[] = [];
  for (let i = 0; i < options.deletes; i += 1) {
    steady.push(await deleter.part());
    await sleep(PAUSE_MS + Math.random() * PAUSE_SPREAD_MS);
  }
  steady.push(...(await namespaces));
  const reconnecting: Healed[] = [];
  for (let i = 0; i < options.reconnects; i += 1) {
    contestant.proxy.dropAll();
    reconnecting.push(await deleter.part());
    await sleep(REOPEN_MS);
  }
  await load.stop();
  contestant.requireAlive();
  return { steady, reconnecting };
}

/**
 * Deletes each kind of child while goals are edited at a steady rate, also while watches are reconnected, and times how
 * soon it is back. Both operators have an API server of their own with Kubernetes' controllers, and take turns.
 */
export async function heal(given: HealOptions): Promise<BenchResult> {
  const options: HealMeasure = { ...DEFAULTS, ...given, ...(given.quick && QUICK) };
  await using stack = new AsyncDisposableStack();
  const postgres = stack.use(await benchPostgres('heal'));
  const bulkhead = stack.use(await bulkheadContestant(postgres, options.jobs));
  // A smoke run has time for one.
  const other = options.quick ? null : stack.use(await yardstickContestant(options.jobs));
  const turns: Record<string, () => Promise<Turn>> = {};
  for (const contestant of other ? [bulkhead, other] : [bulkhead]) {
    const deleter = new Deleter(contestant, options.namespaces);
    turns[contestant.name] = () => turn(contestant, deleter, options);
  }
  return report(await interleaved(options.pairs, turns), options);
}
