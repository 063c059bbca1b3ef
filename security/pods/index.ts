import fc from 'fast-check';
import { z } from 'zod';
import type { JobName } from '../../src/job/ids.ts';
import { specPatchSchema } from '../../src/job/patch-schema.ts';
import { type JobSpec, jobSpecSchema } from '../../src/job/spec.ts';
import { count, noFindings, type Options, type Outcome, type SecurityCheck } from '../check.ts';
import { podSecurityViolations } from './oracle.ts';
import { ATTEMPTS, notRefused, openMaps } from './refused.ts';
import { anyName, anySpec } from './specs.ts';
import { garbled, type Rendered, render, strays } from './template.ts';

const SPECS = { quick: 500, full: 10_000 };
/** Read by hand when it fails, so that a run can be repeated. */
const SEED = 20_261_123;

interface Case {
  readonly job: JobName;
  readonly spec: JobSpec;
  readonly cell: Rendered;
}

/** What is wrong with the pods of these specs: nothing, or a sentence for each, with the spec that shows it. */
export async function podFindings(cases: readonly Case[]): Promise<string[]> {
  const violations = await podSecurityViolations(cases.map(({ cell }) => cell.template));
  return cases.flatMap(({ job, spec, cell }, index) =>
    [...(violations[index] ?? []), ...strays(cell, job), ...garbled(cell.template, spec)].map(
      (what) => `${what}, in ${JSON.stringify(spec)}`,
    ),
  );
}

/** Paths of all fields that hold a value, with `[]` for entries of lists. */
export function leaves(value: unknown, at = 'spec'): string[] {
  if (Array.isArray(value)) return value.flatMap((entry) => leaves(entry, `${at}[]`));
  if (typeof value !== 'object' || value === null) return [at];
  return Object.entries(value).flatMap(([name, inner]) => leaves(inner, `${at}.${name}`));
}

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
}

function schemaLeaves(schema: SchemaNode, at = 'spec'): string[] {
  if (schema.items) return schemaLeaves(schema.items, `${at}[]`);
  if (!schema.properties) return [at];
  return Object.entries(schema.properties).flatMap(([name, inner]) => schemaLeaves(inner, `${at}.${name}`));
}

/** Fields of the definition that no spec among these has: a search that left them out says nothing about them. */
export function untried(specs: readonly JobSpec[]): string[] {
  const tried = new Set(specs.flatMap((spec) => leaves(spec)));
  const definition = z.toJSONSchema(jobSpecSchema, { io: 'input', unrepresentable: 'any' }) as SchemaNode;
  return schemaLeaves(definition).filter((path) => !tried.has(path));
}

async function run({ quick }: Options): Promise<Outcome> {
  const wanted = quick ? SPECS.quick : SPECS.full;
  const drawn = fc.sample(fc.record({ job: anyName, spec: anySpec }), { numRuns: wanted, seed: SEED });
  const cases = drawn.map((one) => ({ ...one, cell: render(one.job, one.spec) }));
  const tiers = [...new Set(cases.map(({ spec }) => spec.isolation?.tier ?? 'by default'))].sort();
  const specs = cases.map(({ spec }) => spec);
  const findings = [
    ...(await podFindings(cases)),
    ...untried(specs).map((path) => `${path} was in none of the specs`),
    ...ATTEMPTS.flatMap((attempt) => notRefused(attempt) ?? []),
    ...[...openMaps(jobSpecSchema, 'spec'), ...openMaps(specPatchSchema, 'override')].map(
      (path) => `${path} takes unknown fields`,
    ),
  ];
  return noFindings(findings, {
    figure: `${count(cases.length)} specs (tiers: ${tiers.join(', ')}), ${findings.length} findings; ${ATTEMPTS.length} hostile files`,
    limit: '0 pods that fail Pod Security restricted, all hostile files refused',
    detail: { specs: cases.length, seed: SEED, attempts: ATTEMPTS.length },
  });
}

export const pods: SecurityCheck = {
  row: '2,3,5',
  name: 'pods',
  what: 'pods of random specs pass Pod Security restricted, texts arrive as written, hostile specs are refused',
  run,
};
