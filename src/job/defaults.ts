import type { GoalContent, GoalProblem } from './goal.ts';
import type { SpecPatch } from './patch.ts';
import { canonicalQuantity, quantityMilli } from './quantity.ts';
import { inSchemaOrder } from './schema-fields.ts';
import { type JobSpec, jobSpecSchema, type PeerSpec, type ProbeSpec } from './spec.ts';
import type { Tier } from './tier.ts';

/** Processor and memory in canonical form. */
export interface Resources {
  readonly cpu: string;
  readonly memory: string;
}

/** A goal with every field decided: what the plan and the engines work on. */
export interface EffectiveSpec {
  readonly container: {
    readonly image: string;
    readonly command: readonly string[];
    readonly args: readonly string[];
    readonly env: NonNullable<JobSpec['container']['env']>;
    readonly ports: readonly {
      readonly name: string;
      readonly port: number;
      readonly protocol: 'TCP' | 'UDP' | 'SCTP';
    }[];
    readonly probes: {
      readonly readiness: ProbeSpec | null;
      readonly liveness: ProbeSpec | null;
      readonly startup: ProbeSpec | null;
    };
    readonly runAsUser: number;
  };
  readonly workers: { readonly replicas: number; readonly requests: Resources; readonly limits: Resources };
  readonly network: { readonly egress: readonly PeerSpec[]; readonly ingress: readonly PeerSpec[] };
  readonly tier: Tier;
  readonly suspended: boolean;
}

/**
 * The lowest layer: what a job gets where nothing above says otherwise. The user id is the one that distroless images
 * call `nonroot`. Stored goals never contain these, so changing them here changes every job that did not choose.
 */
export const BUILT_IN_DEFAULTS = {
  replicas: 1,
  requests: { cpu: '100m', memory: '128Mi' },
  limits: { cpu: '1', memory: '256Mi' },
  runAsUser: 65532,
  tier: 'namespace',
} as const;

type WrittenResources = { cpu?: string | number | undefined; memory?: string | number | undefined } | undefined;

const RESOURCE_NAMES = ['cpu', 'memory'] as const;

function limitsOf(written: WrittenResources): Resources {
  const of = (name: (typeof RESOURCE_NAMES)[number]) =>
    canonicalQuantity(String(written?.[name] ?? BUILT_IN_DEFAULTS.limits[name]));
  return { cpu: of('cpu'), memory: of('memory') };
}

/** Where only a limit is written, a default request above it would refuse the job: then the limit is requested. */
function requestsOf(written: WrittenResources, limits: Resources): Resources {
  const of = (name: (typeof RESOURCE_NAMES)[number]) => {
    if (written?.[name] !== undefined) return canonicalQuantity(String(written[name]));
    const fallback = BUILT_IN_DEFAULTS.requests[name];
    return quantityMilli(fallback) > quantityMilli(limits[name]) ? limits[name] : fallback;
  };
  return { cpu: of('cpu'), memory: of('memory') };
}

/** The goal's layers merged into one value. Pure: the same spec always gives the same result. */
export function effectiveSpec(spec: JobSpec): EffectiveSpec {
  const { container, workers, network } = spec;
  const limits = limitsOf(workers?.resources?.limits);
  return {
    container: {
      image: container.image,
      command: container.command ?? [],
      args: container.args ?? [],
      env: container.env ?? [],
      ports: (container.ports ?? []).map((p) => ({ name: p.name, port: p.port, protocol: p.protocol ?? 'TCP' })),
      probes: {
        readiness: container.probes?.readiness ?? null,
        liveness: container.probes?.liveness ?? null,
        startup: container.probes?.startup ?? null,
      },
      runAsUser: container.runAsUser ?? BUILT_IN_DEFAULTS.runAsUser,
    },
    workers: {
      replicas: workers?.replicas ?? BUILT_IN_DEFAULTS.replicas,
      requests: requestsOf(workers?.resources?.requests, limits),
      limits,
    },
    network: { egress: network?.egress ?? [], ingress: network?.ingress ?? [] },
    tier: spec.isolation?.tier ?? BUILT_IN_DEFAULTS.tier,
    suspended: spec.suspended ?? false,
  };
}

/** The tier that a goal says; null where it says none, since the job is removed or its goal is refused. */
export const tierOf = (content: GoalContent): Tier | null =>
  content.kind === 'spec' ? effectiveSpec(content.spec).tier : null;

/** An effective goal as a spec that says every field, in the order of the definition. Its effective goal is the same. */
export function fullSpec(effective: EffectiveSpec): SpecPatch {
  const { container, workers, network } = effective;
  const written = (probe: ProbeSpec | null) => probe ?? undefined;
  const probes = {
    readiness: written(container.probes.readiness),
    liveness: written(container.probes.liveness),
    startup: written(container.probes.startup),
  };
  const spec = {
    container: { ...container, probes },
    workers: { replicas: workers.replicas, resources: { requests: workers.requests, limits: workers.limits } },
    network,
    isolation: { tier: effective.tier },
    suspended: effective.suspended,
  };
  // Fields that are undefined are left out here, so that plain JSON remains.
  return inSchemaOrder(jobSpecSchema, spec) as SpecPatch;
}

/** Checks the merged goal. Empty when it can run. */
export function effectiveProblems(spec: EffectiveSpec): GoalProblem[] {
  const { requests, limits } = spec.workers;
  return RESOURCE_NAMES.filter((r) => quantityMilli(requests[r]) > quantityMilli(limits[r])).map((r) => ({
    path: ['spec', 'workers', 'resources', 'requests', r],
    found: requests[r],
    expected: `at most the limit, ${limits[r]}; set spec.workers.resources.limits.${r} to ${requests[r]} or more`,
  }));
}
