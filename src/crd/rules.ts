import { BUILT_IN_DEFAULTS } from '../job/defaults.ts';
import { EXCLUSIVE_FIELDS } from '../job/merge.ts';
import { formatQuantity, MAX_MILLI } from '../job/quantity.ts';
import { ENGINES, NODE_RANGES } from '../job/spec.ts';
import type { Rule } from './openapi.ts';

/**
 * Rules between fields, in CEL: what the definition says with `refine` and `superRefine`, as far as CEL can. Places are
 * paths from `spec`, with `[]` for an entry of a list. What CEL cannot say, or what depends on other layers (a request
 * above a limit that the job does not name), the operator finds and says in the status.
 *
 * No field of the spec is immutable today. A job's name and tenant are metadata.name and metadata.namespace, which
 * Kubernetes itself never changes; everything else may be edited, since the CLI may edit it and both ways in must allow
 * the same. A field that must stay as it was once set gets a transition rule here, beside the other rules of its place:
 * `{ rule: 'self == oldSelf', message: 'expected no change: delete the job and create it anew' }`.
 */

const PROBES = ['readiness', 'liveness', 'startup'] as const;
const PEERS = ['network.egress[]', 'network.ingress[]'] as const;
const RESOURCES = ['cpu', 'memory'] as const;

/** Fields of which a map has exactly one. `flink` will join {@link ENGINES}, and this rule with it. */
export const EXCLUSIVE: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ['', ENGINES],
  ...EXCLUSIVE_FIELDS,
  ...PEERS.map((at): [string, readonly string[]] => [at, ['cidr', 'job']]),
]);

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** A text, or a number beside it, that looks as the definition says, in the definition's own words. */
export const textRule = (pattern: string, message: string, isTextOnly: boolean): Rule => ({
  rule: isTextOnly ? `self.matches(${quote(pattern)})` : `type(self) == int || self.matches(${quote(pattern)})`,
  message,
});

const exactlyOne = (fields: readonly string[]): Rule => ({
  rule: `[${fields.map((field) => `has(self.${field})`).join(', ')}].exists_one(there, there)`,
  message:
    fields.length === 1
      ? `expected an engine: add ${fields[0]}, the only one that is there yet`
      : `expected exactly one of ${fields.join(', ')}: keep one and remove the others`,
});

const namedPort = (probe: string, handler: string): Rule => {
  const port = `self.probes.${probe}.${handler}.port`;
  const isThere = ['self.probes', `self.probes.${probe}`, `self.probes.${probe}.${handler}`].map((f) => `has(${f})`);
  return {
    rule: `!(${isThere.join(' && ')}) || type(${port}) == int || (has(self.ports) && self.ports.exists(p, p.name == ${port}))`,
    message:
      'expected a number, or the name of a port in spec.container.ports: add the port there, or write its number',
    fieldPath: `.probes.${probe}.${handler}.port`,
  };
};

const PROTOCOL = (port: string): string => `(has(${port}.protocol) ? ${port}.protocol : 'TCP')`;
const PORTS_ONCE: Rule = {
  rule: `self.all(a, self.exists_one(b, a.port == b.port && ${PROTOCOL('a')} == ${PROTOCOL('b')}))`,
  message: 'expected every port number once for each protocol: remove the entries that repeat one',
};

const QUANTITY_MOST = formatQuantity(MAX_MILLI, false);
const quantityOf = (value: string): string => `quantity(string(${value}))`;
const QUANTITY_BOUND: Rule = {
  rule: `!isQuantity(string(self)) || ${quantityOf('self')}.compareTo(quantity('${QUANTITY_MOST}')) <= 0`,
  message: `expected at most ${QUANTITY_MOST}`,
};

const requestWithinLimit = (name: string): Rule => {
  const values = [`self.requests.${name}`, `self.limits.${name}`] as const;
  const isThere = ['self.requests', values[0], 'self.limits', values[1]].map((field) => `has(${field})`);
  const isWellFormed = values.map((value) => `isQuantity(string(${value}))`);
  return {
    rule: `!(${[...isThere, ...isWellFormed].join(' && ')}) || ${quantityOf(values[0])}.compareTo(${quantityOf(values[1])}) <= 0`,
    message: `expected at most the limit: raise spec.workers.resources.limits.${name}, or lower this`,
    fieldPath: `.requests.${name}`,
  };
};

const RANGE_RULES: readonly Rule[] = [
  {
    rule: '!isCIDR(self) || cidr(self) == cidr(self).masked()',
    message: 'expected the first address of the range: 10.1.0.0/16, not 10.1.2.3/16',
  },
  {
    rule: `!isCIDR(self) || !(${NODE_RANGES.map((range) => `cidr('${range}').containsCIDR(self)`).join(' || ')})`,
    message: `expected addresses beyond the node, outside of ${NODE_RANGES.join(' and ')}`,
  },
];

const RULES: ReadonlyMap<string, readonly Rule[]> = new Map<string, readonly Rule[]>([
  ['container', PROBES.flatMap((probe) => ['httpGet', 'tcpSocket'].map((handler) => namedPort(probe, handler)))],
  ['container.ports', [PORTS_ONCE]],
  ['workers.resources', RESOURCES.map(requestWithinLimit)],
  ...['requests', 'limits'].flatMap((kind) =>
    RESOURCES.map((name): [string, Rule[]] => [`workers.resources.${kind}.${name}`, [QUANTITY_BOUND]]),
  ),
  ...PEERS.map((at): [string, readonly Rule[]] => [`${at}.cidr`, RANGE_RULES]),
]);

/** The rules of one place, those between its fields first. */
export function rulesAt(at: string): readonly Rule[] {
  const exclusive = EXCLUSIVE.get(at);
  return [...(exclusive ? [exactlyOne(exclusive)] : []), ...(RULES.get(at) ?? [])];
}

/** Every place that has rules: a test sees to it that all of them exist. */
export const RULED_PLACES: readonly string[] = [...EXCLUSIVE.keys(), ...RULES.keys()];

const { replicas, requests, limits, runAsUser, tier } = BUILT_IN_DEFAULTS;
const BUILT_IN: ReadonlyMap<string, string> = new Map([
  ['workers.replicas', String(replicas)],
  ...RESOURCES.flatMap((name): [string, string][] => [
    [`workers.resources.requests.${name}`, `${requests[name]}, or the limit where that is less`],
    [`workers.resources.limits.${name}`, limits[name]],
  ]),
  ['container.runAsUser', String(runAsUser)],
  ['isolation.tier', tier],
]);

/** What happens when a field is left out whose default is Bulkhead's own: as a sentence; empty for others. */
export function leftOut(at: string): string {
  const value = BUILT_IN.get(at);
  return value === undefined ? '' : `Left out: as platform.defaults say, else ${value}.`;
}

/** Every place that has such a default. */
export const DEFAULTED_PLACES: readonly string[] = [...BUILT_IN.keys()];
