import fc from 'fast-check';
import { z } from 'zod';
import { effectiveProblems, effectiveSpec } from '../../src/job/defaults.ts';
import { type JobSpec, jobSpecSchema } from '../../src/job/spec.ts';
import { specArbitrary } from '../../test/support/arbitrary.ts';

/** Random job specs from the definition of a spec itself, so that a field that is new there is tried without a word here. */

interface JsonSchema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly maxItems?: number;
  readonly minItems?: number;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly 'x-kubernetes-int-or-string'?: boolean;
}

/** Of these fields a map has exactly one: a rule that JSON Schema's keywords do not say. */
const EXACTLY_ONE = [
  ['httpGet', 'tcpSocket', 'exec'],
  ['value', 'secretKeyRef'],
  ['cidr', 'job'],
] as const;

/** What may mean something to a shell, to YAML, to Kubernetes' expansion, to SQL or to a log. */
const HOSTILE_TEXT = [
  '$(HOME)',
  '$$(HOME)',
  '$$',
  '$(',
  '$(A)$(B',
  '`id`',
  '; rm -rf /',
  'a\nb',
  '\r\n\u2028',
  '--privileged',
  "'; drop table bulkhead.job; --",
  '{{.Secret}}',
  '\u202eevil',
  '../../etc/passwd',
  'unix:///var/run/docker.sock',
];
const MAX_ENTRIES = 3;
const MAX_TEXT = 40;

const text = (maxLength: number): fc.Arbitrary<string> =>
  fc
    .oneof(fc.string({ maxLength: MAX_TEXT, unit: 'binary' }), fc.constantFrom(...HOSTILE_TEXT))
    .map((value) => value.slice(0, maxLength));

/** Quantities: those that people write, and those at the edges. */
const quantity = fc.oneof(
  fc.constantFrom<string | number>('50m', '100m', 1, 0.5, '2', '64Mi', '128Mi', '1Gi', '1.5Gi', '1e3', '1k', 0, '9Ei'),
  fc.integer({ min: 0, max: 100_000 }),
);

const cidr = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.constantFrom(8, 16, 24, 32), fc.integer({ min: 0, max: 255 }))
  .map(([first, prefix, second]) => `${first}.${prefix > 8 ? second : 0}.0.0/${prefix}`);

function mapOf({ properties = {}, required = [] }: JsonSchema): fc.Arbitrary<unknown> {
  const group = EXACTLY_ONE.find((names) => names.every((name) => name in properties));
  const rest = Object.entries(properties).filter(([name]) => !group?.some((one) => one === name));
  const others = Object.fromEntries(rest.map(([name, schema]) => [name, arbitraryOf(schema, name)]));
  const map = fc.record(others, { requiredKeys: Object.keys(others).filter((name) => required.includes(name)) });
  if (!group) return map;
  const one = fc.oneof(
    ...group.map((name) =>
      fc.record({ [name]: arbitraryOf(properties[name] ?? {}, name) } as Record<string, fc.Arbitrary<unknown>>),
    ),
  );
  return fc.tuple(map, one).map(([a, b]) => ({ ...a, ...b }));
}

/** @param name of the field, for fields whose rules a pattern does not say */
function arbitraryOf(schema: JsonSchema, name: string): fc.Arbitrary<unknown> {
  if (name === 'cpu' || name === 'memory') return quantity;
  if (name === 'cidr') return cidr;
  if (schema.enum) return fc.constantFrom(...schema.enum);
  // A port by its name has to be there: a number always is.
  if (schema.anyOf) return arbitraryOf(schema.anyOf[0] ?? {}, name);
  switch (schema.type) {
    case 'object':
      return mapOf(schema);
    case 'array': {
      const minLength = schema.minItems ?? 0;
      return fc.array(arbitraryOf(schema.items ?? {}, ''), { minLength, maxLength: Math.max(minLength, MAX_ENTRIES) });
    }
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 1_000 });
    case 'boolean':
      return fc.boolean();
    case 'string': {
      const max = schema.maxLength ?? MAX_TEXT;
      if (schema.pattern === undefined) return text(max);
      const matching = fc.stringMatching(new RegExp(schema.pattern), { size: 'small' });
      return matching.filter((value) => value.length <= max);
    }
    default:
      throw new TypeError(`${name}: no random values are known for ${JSON.stringify(schema)}`);
  }
}

const definition = z.toJSONSchema(jobSpecSchema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;

/** Whether a goal of this content can come to be. */
export function isGoal(spec: unknown): spec is JobSpec {
  const parsed = jobSpecSchema.safeParse(spec);
  return parsed.success && effectiveProblems(effectiveSpec(parsed.data)).length === 0;
}

const fromDefinition = arbitraryOf(definition, 'spec').filter(isGoal);

/** Specs that are goals: half of them wild, from the definition, half of them as people write them. */
export const anySpec: fc.Arbitrary<JobSpec> = fc.oneof(fromDefinition, specArbitrary.filter(isGoal));

/** A tenant's and a job's name, as the schema of a job takes them. */
export const anyName = fc.record({
  tenant: fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/),
  name: fc.stringMatching(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/),
});
