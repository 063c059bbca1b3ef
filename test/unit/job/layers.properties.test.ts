import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isList, isMap, type Json } from '../../../src/job/canonical.ts';
import { type EffectiveSpec, effectiveSpec, fullSpec } from '../../../src/job/defaults.ts';
import { type ExplainedField, explain } from '../../../src/job/explain.ts';
import type { Goal, PlatformRevision } from '../../../src/job/goal.ts';
import { effectiveGoal } from '../../../src/job/layers.ts';
import { jobSpecSchema } from '../../../src/job/spec.ts';
import { goalArbitrary } from './layer-arbitrary.ts';

/** Quantities by another way than the code's: as floating-point numbers, which is exact enough for those in these tests. */
const UNITS: Readonly<Record<string, number>> = { m: 1e-3, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };
const amount = (text: string): number => Number.parseFloat(text) * (UNITS[text.replace(/^[\d.]+/, '')] ?? 1);

function checkLimits({ workers, container }: EffectiveSpec, { content: { limits } }: PlatformRevision): void {
  assert.ok(workers.replicas <= (limits.workers?.replicas ?? 1000));
  for (const name of ['cpu', 'memory'] as const) {
    const most = amount(limits.workers?.resources?.[name] ?? '1000000Gi');
    assert.ok(amount(workers.limits[name]) <= most && amount(workers.requests[name]) <= most);
  }
  assert.ok(limits.images === undefined || limits.images.some((prefix) => container.image.startsWith(prefix)));
}

/** Values by paths, as `--set` names them. */
function flat(value: Json, at = ''): [string, Json][] {
  if (isList(value) && (at === 'container.env' || at === 'container.ports')) {
    return value.flatMap((entry) => {
      const { name, ...fields } = entry as { readonly [field: string]: Json };
      return flat(fields, `${at}[${name}]`);
    });
  }
  if (!isMap(value)) return [[at, value]];
  return Object.entries(value).flatMap(([field, inner]) => flat(inner, at === '' ? field : `${at}.${field}`));
}

const text = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** What `explain` says is what the goal is, and who is named did say it: without what lies above, it is the same. */
function checkExplained(goal: Goal, effective: EffectiveSpec): void {
  const rows = explain(goal);
  const values = rows.flatMap(({ path, value }): [string, string][] => (value === null ? [] : [[path, value]]));
  assert.deepEqual(
    values,
    flat(fullSpec(effective)).map(([path, value]) => [path, text(value)]),
  );
  assert.equal(new Set(rows.map(({ path }) => path)).size, rows.length);
  for (const row of rows) checkOrigin(goal, row);
}

const SCOPES = ['built-in', 'platform', 'platform of ads', 'job', 'scaler', 'oncall'];

function checkOrigin({ layers, platform }: Goal, { from, overridden, value, removedBy }: ExplainedField): void {
  const revisions = [null, platform.all, platform.tenant, layers.job, layers.scaler, layers.oncall];
  const ranks = [from, ...overridden.map((lower) => lower.from)].map((origin) => SCOPES.indexOf(origin.scope));
  for (const [index, origin] of [from, ...overridden.map((lower) => lower.from)].entries()) {
    if (origin.scope === 'built-in') continue;
    const revision = revisions[ranks[index] ?? 0];
    assert.deepEqual(
      [origin.revision, origin.author, origin.reason],
      [revision?.revision, revision?.author, revision?.reason],
    );
  }
  if (removedBy !== null && value !== null) assert.equal(from.scope, 'built-in');
  else
    assert.deepEqual(
      ranks,
      ranks.toSorted((a, b) => b - a),
      'highest first',
    );
}

const RUNS = 10_000;

test(`${RUNS.toLocaleString('en-US')} random goals of five layers: the same every time, never beyond a limit, always a spec, explained as they are`, (t) => {
  const counts = { spec: 0, tombstone: 0, InvalidGoal: 0, LimitExceeded: 0 };
  const property = fc.property(goalArbitrary, (goal) => {
    const { content, layers, platform } = goal;
    counts[content.kind === 'refused' ? content.because : content.kind] += 1;
    assert.deepEqual(effectiveGoal(layers, platform), content);
    if (content.kind === 'refused') assert.ok(content.problems.length > 0);
    if (content.kind !== 'spec') return;
    assert.deepEqual(jobSpecSchema.parse(content.spec), content.spec);
    const effective = effectiveSpec(content.spec);
    for (const scope of [platform.all, platform.tenant]) if (scope !== null) checkLimits(effective, scope);
    assert.deepEqual(effectiveSpec(jobSpecSchema.parse(fullSpec(effective))), effective);
    checkExplained(goal, effective);
  });
  fc.assert(property, { numRuns: RUNS });
  t.diagnostic(
    `accepted ${counts.spec}, limit exceeded ${counts.LimitExceeded}, contradictions ${counts.InvalidGoal}, removed ${counts.tombstone}`,
  );
  for (const count of Object.values(counts)) assert.ok(count > RUNS / 100, 'every outcome is met often');
});
