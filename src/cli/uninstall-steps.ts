import { setTimeout as sleep } from 'node:timers/promises';
import { type Caller, MERGE_PATCH } from '../cluster/transport.ts';
import { ClusterError } from '../ports/cluster.ts';
import { CliError } from './errors.ts';
import {
  admissionObjects,
  cellNamespaces,
  crdObjects,
  type Found,
  isOurs,
  keepaliveObjects,
  operatorObjects,
  rightsObjects,
  sharedObjects,
  streamJobs,
  systemNamespace,
  whyNamespaceStays,
} from './uninstall-objects.ts';

/**
 * One step of an uninstall. Each begins with what is there and ends when it is not, so a run that was cut off is gone on
 * with by the next one, from wherever it came to.
 */
export interface Step {
  /** What goes, as the plan names it. */
  readonly what: string;
  readonly find: (api: Caller) => Promise<Found[]>;
  readonly remove: (api: Caller, object: Found) => Promise<void>;
}

export interface Scope {
  readonly keepWorkers: boolean;
  readonly purge: boolean;
}

const POLL_MS = 500;
/** How long a step may stand still before a person is asked to look. */
const STANDSTILL_MS = 120_000;
const REPORT_EVERY_MS = 10_000;
/** Writes at once: enough for thousands of objects in a minute, few enough for any API server. */
const WRITES_AT_ONCE = 10;
/** An API server keeps to a policy for a moment after it was unbound. */
const POLICY = 'AdmissionPolicy';

/** Deletes it under its UID, so that another one of the same name is spared. */
async function deleteObject(api: Caller, { path, uid, isTerminating }: Found): Promise<void> {
  if (isTerminating) return;
  const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background', preconditions: { uid } };
  await api.call('DELETE', path, { body });
}

/** Takes our finalizers off, and nobody else's, unless somebody changes the object just now: then the next look does. */
async function releaseStreamJob(api: Caller, { path, finalizers, resourceVersion }: Found): Promise<void> {
  const kept = finalizers.filter((finalizer) => !isOurs(finalizer));
  const body = { metadata: { resourceVersion, finalizers: kept } };
  await api.call('PATCH', path, { body, contentType: MERGE_PATCH });
}

const held = async (api: Caller): Promise<Found[]> =>
  (await streamJobs(api)).filter(({ finalizers }) => finalizers.some(isOurs));

/**
 * In the order that leaves nothing stuck: who writes first, then what refuses to be removed, then what is removed. The
 * CRD takes the StreamJobs along, which nothing holds any more by then.
 */
export function uninstallSteps({ keepWorkers, purge }: Scope): Step[] {
  const remove = deleteObject;
  return [
    { what: 'the operator', find: operatorObjects, remove },
    { what: 'bindings of admission policies', find: (api) => admissionObjects(api, 'bindings'), remove },
    { what: 'admission policies', find: (api) => admissionObjects(api, 'policies'), remove },
    { what: 'finalizers of StreamJobs', find: held, remove: releaseStreamJob },
    ...(keepWorkers
      ? []
      : [
          { what: 'cells in namespaces of tenants', find: sharedObjects, remove },
          { what: 'namespaces of cells', find: cellNamespaces, remove },
        ]),
    { what: 'the CRD with every StreamJob', find: crdObjects, remove },
    { what: 'roles and their bindings', find: rightsObjects, remove },
    { what: "the operator's namespace", find: systemNamespace, remove },
    ...(purge ? [{ what: 'the policy that outlives an uninstall', find: keepaliveObjects, remove }] : []),
  ];
}

/** Gone already, changed meanwhile or still refused by a policy that is going: the next look tells. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof ClusterError)) return false;
  if (['gone', 'conflict', 'terminating', 'throttled', 'fenced', 'unfenced'].includes(error.kind)) return true;
  return error.message.includes(POLICY);
}

/** @returns the last error that passes, for the one who waits in vain. @throws the first one that does not */
async function removeAll(api: Caller, step: Step, objects: readonly Found[]): Promise<unknown> {
  let passing: unknown = null;
  const queue = [...objects];
  const work = async (): Promise<void> => {
    for (let object = queue.shift(); object !== undefined; object = queue.shift()) {
      try {
        await step.remove(api, object);
      } catch (error) {
        if (!isPassing(error)) throw error;
        passing = error;
      }
    }
  };
  await Promise.all(Array.from({ length: WRITES_AT_ONCE }, work));
  return passing;
}

/** Why something does not go, as far as the cluster says. */
async function standstill(api: Caller, step: Step, left: readonly Found[], refusal: unknown): Promise<CliError> {
  const [first] = left;
  const names = left.slice(0, 3).map(({ text }) => text);
  const more = left.length > names.length ? ` and ${left.length - names.length} more` : '';
  const others = (await streamJobs(api)).filter(({ finalizers }) => finalizers.length > 0);
  const reasons = [
    refusal instanceof Error ? refusal.message : '',
    first?.path.startsWith('/api/v1/namespaces/') ? await whyNamespaceStays(api, first.path) : '',
    step.find === crdObjects && others[0] ? `${others[0].text} is held by ${others[0].finalizers.join(', ')}` : '',
  ].filter((reason) => reason !== '');
  const why = reasons.length > 0 ? ` (${reasons.join('; ')})` : '';
  return new CliError(
    `${names.join(', ')}${more} did not go within ${STANDSTILL_MS / 1000} s${why}; look after it, then say bulkhead uninstall again: it goes on from here`,
  );
}

/**
 * Takes a step until nothing is left of what it is about.
 * @param report takes how many are left, now and then
 * @returns how many went
 * @throws ClusterError | CliError when nothing moves any more
 */
export async function takeStep(api: Caller, step: Step, report: (left: number) => void): Promise<number> {
  const seen = new Set<string>();
  let before = '';
  let movedAt = performance.now();
  let reportedAt = movedAt;
  for (;;) {
    const left = await step.find(api);
    if (left.length === 0) return seen.size;
    for (const { uid } of left) seen.add(uid);
    const now = performance.now();
    // Also the versions: a namespace that empties is on its way.
    const state = left.map(({ uid, resourceVersion }) => `${uid} ${resourceVersion}`).join('\n');
    if (state !== before) movedAt = now;
    before = state;
    const refusal = await removeAll(api, step, left);
    if (now - movedAt > STANDSTILL_MS) throw await standstill(api, step, left, refusal);
    if (now - reportedAt > REPORT_EVERY_MS) {
      report(left.length);
      reportedAt = now;
    }
    await sleep(POLL_MS);
  }
}
