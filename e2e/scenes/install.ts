import { until } from '../../test/support/until.ts';
import { type Stage, SYSTEM } from '../stage.ts';

const DEPLOYMENT = 'deployment/bulkhead-operator';

/** The whole install, as the README says it. @returns how long the rollout took, for people */
export async function install(stage: Stage): Promise<string> {
  const { kubectl, databaseUrl } = stage;
  const startedAt = performance.now();
  await kubectl('apply', '--server-side', '-f', databaseUrl === null ? 'install-dev.yaml' : 'install.yaml');
  if (databaseUrl !== null) {
    const secret = ['create', 'secret', 'generic', 'bulkhead-database', `--from-literal=url=${databaseUrl}`];
    await kubectl('-n', SYSTEM, ...secret);
  }
  await kubectl('-n', SYSTEM, 'rollout', 'status', DEPLOYMENT, '--timeout=300s');
  return `available after ${((performance.now() - startedAt) / 1000).toFixed(0)} s`;
}

/** Policies that mutate learn of a new kind a few seconds after it was installed. */
export async function untilTaken({ kubectl }: Stage): Promise<void> {
  const tried = () => kubectl('apply', '--dry-run=server', '-f', 'examples/').catch(() => null);
  await until('the API server takes StreamJobs', 60_000, async () => (await tried()) !== null);
}

export const TENANTS = ['ads', 'shop'] as const;
export const READY = ['wait', '--for=condition=Ready', 'streamjobs', '--all', '-A', '--timeout=180s'] as const;

export async function applyExamples(stage: Stage): Promise<void> {
  for (const tenant of TENANTS) await stage.kubectl('create', 'namespace', tenant);
  await untilTaken(stage);
  await stage.kubectl('apply', '-f', 'examples/');
}

/** All StreamJobs are there again, with new UIDs or not, and Ready. @returns after how long, for people */
export async function allBack(stage: Stage, names: readonly string[], limitMs = 180_000): Promise<string> {
  const { elapsedMs } = await until(`${names.length} StreamJobs are back and Ready`, limitMs, async () => {
    const said = await stage.kubectl('get', 'streamjobs', '-A', '-o', JOBS_AND_READY).catch(() => '');
    const lines = new Set(said.split('\n'));
    return names.every((name) => lines.has(`${name} True`));
  });
  return `all ${names.length} back and Ready after ${(elapsedMs / 1000).toFixed(0)} s`;
}

const JOBS_AND_READY =
  'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}';

/** Every worker's UID and restarts: what must not change while Bulkhead is away. */
export async function workersOf({ kubectl }: Stage): Promise<string> {
  const shown =
    'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount}{"\\n"}{end}';
  const selector = 'app.kubernetes.io/managed-by=bulkhead';
  return (await kubectl('get', 'pods', '-A', '-l', selector, '-o', shown)).split('\n').sort().join('\n').trim();
}
