import type { JobName } from '../src/job/ids.ts';
import { cellPlace, isReserved } from '../src/plan/names.ts';
import { STORE } from '../test/support/goals.ts';
import { count, noFindings, type Options, type Outcome, type SecurityCheck } from './check.ts';

/** Names of objects that many jobs share a place for: DNS-1123 labels, and never two jobs of one name. */

const PAIRS = { quick: 50_000, full: 1_000_000 };
const SEED = 1_123;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const MAX_LENGTH = 63;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** A name of something that every job has, out of the job alone. */
export type Namer = (job: JobName) => string;

/** A generator of 32-bit numbers (mulberry32): the same seed gives the same names everywhere. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/**
 * Different jobs whose names are made to be mixed up: a dash moved from one side to the other, long ones that differ in
 * their last letter alone, names that look like those that Bulkhead makes, and random ones.
 */
export function* hostilePairs(wanted: number, seed = SEED): Generator<JobName> {
  const below = numbers(seed);
  const letters = (length: number): string => Array.from({ length }, () => LETTERS[below(LETTERS.length)]).join('');
  const letterFirst = (length: number): string => `${LETTERS[below(26)]}${letters(length - 1)}`;
  const seen = new Set<string>();
  function* fresh(...jobs: readonly JobName[]): Generator<JobName> {
    for (const job of jobs) {
      const key = `${job.tenant}/${job.name}`;
      if (seen.has(key) || seen.size >= wanted) continue;
      seen.add(key);
      yield job;
    }
  }
  while (seen.size < wanted) {
    const [a, b, c] = [letterFirst(1 + below(6)), letterFirst(1 + below(6)), letterFirst(1 + below(6))];
    yield* fresh({ tenant: `${a}-${b}`, name: c }, { tenant: a, name: `${b}-${c}` }, { tenant: a, name: `${b}${c}` });
    const long = letterFirst(62);
    const [last, other] = [letters(1), letters(1)];
    yield* fresh({ tenant: long, name: `${long}${last}` }, { tenant: long, name: `${long}${other}` });
    yield* fresh({ tenant: `${long}${last}`, name: a }, { tenant: `${long}${other}`, name: a });
    yield* fresh({ tenant: `bh-${a}`, name: `${b}-${letters(12)}` }, { tenant: a, name: `${b}--${c}` });
    yield* fresh({ tenant: letters(1 + below(63)), name: letterFirst(1 + below(63)) });
  }
}

/** What is wrong with the names of these jobs; empty when nothing. Each of them is held in memory. */
export function nameFindings(namer: Namer, jobs: Iterable<JobName>): string[] {
  const owner = new Map<string, string>();
  const findings: string[] = [];
  for (const job of jobs) {
    const whose = `${job.tenant}/${job.name}`;
    const name = namer(job);
    if (name.length > MAX_LENGTH || !LABEL.test(name)) findings.push(`${whose} gives ${name}, which is no DNS label`);
    const other = owner.get(name);
    if (other !== undefined) findings.push(`${whose} and ${other} are both called ${name}`);
    owner.set(name, whose);
  }
  return findings;
}

const namespaceOf: Namer = (job) => cellPlace(STORE, job, 'namespace').namespace;

const NAMERS: Readonly<Record<string, Namer>> = {
  'namespaces of cells': namespaceOf,
  'objects in tier shared': (job) => cellPlace(STORE, job, 'shared').name,
};

/** No tenant may be called like the namespace of a cell: with tier `shared`, its jobs would lie in that cell. */
const openCells = (jobs: Iterable<JobName>): string[] =>
  [...jobs].map(namespaceOf).flatMap((name) => (isReserved(name) ? [] : [`${name} is a cell, but no reserved name`]));

async function run({ quick }: Options): Promise<Outcome> {
  const wanted = quick ? PAIRS.quick : PAIRS.full;
  const findings = Object.entries(NAMERS).flatMap(([what, namer]) =>
    nameFindings(namer, hostilePairs(wanted)).map((finding) => `${what}: ${finding}`),
  );
  findings.push(...openCells(hostilePairs(wanted)));
  return noFindings(findings, {
    figure: `${count(wanted)} jobs, ${Object.keys(NAMERS).join(' and ')}: ${findings.length} findings`,
    limit: '0 collisions, DNS-1123, at most 63 characters',
    detail: { pairs: wanted, seed: SEED },
  });
}

export const names: SecurityCheck = {
  row: '4',
  name: 'names',
  what: 'names made of hostile tenants and jobs are DNS labels and never meet',
  run,
};
