import type { JobSpec } from './spec.ts';

type Resources = NonNullable<NonNullable<JobSpec['workers']>['resources']>;
type ResourceList = NonNullable<Resources['requests']>;

const asText = (list: ResourceList): ResourceList =>
  Object.fromEntries(
    Object.entries(list).map(([name, value]) => [name, Number.isInteger(value) ? value : String(value)]),
  );

/**
 * A spec as a StreamJob can hold it: `cpu: 0.5` as `cpu: "0.5"`. A quantity in Kubernetes is a whole number or text, never
 * a fraction; the CLI takes fractions, so what it stored must pass through here before it is written to the cluster, and
 * before it is compared with what is read from there. All else stays as it is.
 */
export function withQuantitiesAsText(spec: JobSpec): JobSpec {
  const { requests, limits } = spec.workers?.resources ?? {};
  if (requests === undefined && limits === undefined) return spec;
  const resources = { ...(requests && { requests: asText(requests) }), ...(limits && { limits: asText(limits) }) };
  return { ...spec, workers: { ...spec.workers, resources } };
}
