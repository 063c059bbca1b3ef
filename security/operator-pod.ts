import { z } from 'zod';
import { noFindings, type Outcome, type SecurityCheck } from './check.ts';
import { everyInstallation, type Manifest } from './manifests/render.ts';
import { podSecurityViolations } from './pods/oracle.ts';

/** Bulkhead's own pods, and those of whatever else an installation brings. */

const containerSchema = z.looseObject({
  name: z.string(),
  securityContext: z.looseObject({ readOnlyRootFilesystem: z.boolean().optional() }).optional(),
  resources: z
    .looseObject({
      requests: z.record(z.string(), z.unknown()).optional(),
      limits: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
});
const templateSchema = z.looseObject({
  metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
  spec: z.looseObject({
    securityContext: z.looseObject({ runAsUser: z.number().optional() }).optional(),
    containers: z.array(containerSchema),
    initContainers: z.array(containerSchema).optional(),
  }),
});
const workloadSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  spec: z.looseObject({ replicas: z.number().optional(), template: templateSchema }),
});
const budgetSchema = z.looseObject({
  metadata: z.looseObject({ namespace: z.string().optional() }),
  spec: z.looseObject({ selector: z.looseObject({ matchLabels: z.record(z.string(), z.string()) }) }),
});
type Workload = z.infer<typeof workloadSchema>;

const WORKLOADS = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'Job']);
const RESOURCES = ['cpu', 'memory', 'ephemeral-storage'] as const;

const isWatched = ({ metadata, spec }: Workload, budgets: readonly z.infer<typeof budgetSchema>[]): boolean =>
  budgets.some(
    (budget) =>
      budget.metadata.namespace === metadata.namespace &&
      Object.entries(budget.spec.selector.matchLabels).every(
        ([label, value]) => spec.template.metadata.labels[label] === value,
      ),
  );

function containerFindings(container: z.infer<typeof containerSchema>): string[] {
  const { name, securityContext, resources } = container;
  const unbounded = RESOURCES.filter(
    (resource) => !(resource in (resources?.limits ?? {})) || !(resource in (resources?.requests ?? {})),
  );
  return [
    ...(securityContext?.readOnlyRootFilesystem === true ? [] : [`${name}: the root file system can be written`]),
    ...unbounded.map((resource) => `${name}: no request and limit of ${resource}`),
  ];
}

/** What Pod Security does not ask for, and Bulkhead's own pods have all the same; empty when they do. */
export function workloadFindings(objects: readonly Manifest[]): string[] {
  const budgets = objects
    .filter(({ kind }) => kind === 'PodDisruptionBudget')
    .map((object) => budgetSchema.parse(object));
  return workloadsOf(objects).flatMap((workload) => {
    const { containers, initContainers = [], securityContext } = workload.spec.template.spec;
    const found = [
      ...[...initContainers, ...containers].flatMap(containerFindings),
      ...(securityContext?.runAsUser ? [] : ['no user other than root is named']),
      // A single pod cannot be spared: a budget would only keep its node from being drained.
      ...((workload.spec.replicas ?? 1) > 1 && !isWatched(workload, budgets) ? ['no PodDisruptionBudget'] : []),
    ];
    return found.map((what) => `${workload.metadata.name}: ${what}`);
  });
}

const workloadsOf = (objects: readonly Manifest[]): Workload[] =>
  objects.filter(({ kind }) => WORKLOADS.has(kind)).map((object) => workloadSchema.parse(object));

async function run(): Promise<Outcome> {
  const rendered = await everyInstallation();
  const all = rendered.flatMap(({ name, objects }) => workloadsOf(objects).map((workload) => ({ name, workload })));
  const verdicts = await podSecurityViolations(all.map(({ workload }) => workload.spec.template));
  const insecure = all.flatMap(({ name, workload }, index) =>
    (verdicts[index] ?? []).map((what) => `${name}: ${workload.metadata.name}: ${what}`),
  );
  const careless = rendered.flatMap(({ name, objects }) => workloadFindings(objects).map((what) => `${name}: ${what}`));
  const none = all.length === 0 ? ['no installation has a pod'] : [];
  const findings = [...none, ...insecure, ...careless];
  return noFindings(findings, {
    figure: `${all.length} workloads in ${rendered.length} installations, ${findings.length} findings`,
    limit: 'Pod Security restricted, read-only root, limits, a user other than root, PDB',
  });
}

export const operatorPod: SecurityCheck = {
  row: '13',
  name: 'operator-pod',
  what: 'the pods of an installation run as non-root under Pod Security restricted, read-only and within limits',
  run,
};
