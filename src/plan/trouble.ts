import type { JobSpec } from '../job/spec.ts';
import type { CellObservation, ObservedPod } from './observation.ts';
import { passesAt, type Rollout } from './rollout.ts';

/** Why workers do not work, said so that a person can act on it. */
export interface Trouble {
  readonly reason:
    | 'ImagePullFailed'
    | 'SecretMissing'
    | 'RootRequired'
    | 'OutOfMemory'
    | 'Crashing'
    | 'Unschedulable'
    | 'PodsRefused'
    | 'ContainerRefused';
  readonly message: string;
}

const IMAGE_REASONS = new Set(['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'InvalidImageName']);
const CONFIG_REASONS = new Set(['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError']);
const ROOT_WORDS = /runAsNonRoot|run(ning)? as (non-?)?root|(be|requires?|need) root|not root/i;
const MAYBE_ROOT_WORDS = /permission denied|operation not permitted|EACCES|EPERM/i;

const firstLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 300) ?? '';

/** The keys of one Secret that the job's workers ask for. */
const keysOf = ({ container }: JobSpec, secret: string): string[] =>
  (container.env ?? []).flatMap(({ secretKeyRef }) => (secretKeyRef?.name === secret ? [secretKeyRef.key] : []));

/** A Secret, or a key of it, that is not there; with the command that is enough, since only the values are to be put in. */
function secretTrouble(pod: ObservedPod, message: string, spec: JobSpec): Trouble | null {
  const absent = /secret "([^"]+)" not found/.exec(message)?.[1];
  if (absent !== undefined) {
    const literals = [...new Set(keysOf(spec, absent))].map((key) => ` --from-literal=${key}=VALUE`).join('');
    const command = `kubectl -n ${pod.namespace} create secret generic ${absent}${literals}`;
    return { reason: 'SecretMissing', message: `${message}; make it with: ${command}` };
  }
  const [, key, secret] = /couldn't find key (\S+) in Secret \S+\/(\S+)/.exec(message) ?? [];
  if (key === undefined || secret === undefined) return null;
  const command = `kubectl -n ${pod.namespace} patch secret ${secret} -p '{"stringData":{"${key}":"VALUE"}}'`;
  return { reason: 'SecretMissing', message: `${message}; add it with: ${command}` };
}

function configTrouble(pod: ObservedPod, spec: JobSpec): Trouble {
  const message = pod.container.waitingMessage ?? '';
  const missing = secretTrouble(pod, message, spec);
  if (missing) return missing;
  if (ROOT_WORDS.test(message)) return rootTrouble(message);
  return { reason: 'ContainerRefused', message };
}

const rootTrouble = (message: string): Trouble => ({
  reason: 'RootRequired',
  message: `the image insists on running as root, which no cell allows (${firstLine(message)}); build it to run as another user`,
});

function exitTrouble(pod: ObservedPod): Trouble | null {
  const exit = pod.container.lastExit;
  if (!exit) return null;
  if (exit.reason === 'OOMKilled') {
    return {
      reason: 'OutOfMemory',
      message: `a worker was killed for using more than its memory limit (pod ${pod.name}, ${pod.restarts} restarts); raise spec.workers.resources.limits.memory or mend the leak`,
    };
  }
  const words = firstLine(exit.message);
  if (ROOT_WORDS.test(exit.message)) return rootTrouble(exit.message);
  const hint = MAYBE_ROOT_WORDS.test(exit.message)
    ? ' (the image may expect to run as root, which no cell allows)'
    : '';
  return {
    reason: 'Crashing',
    message: `a worker ended with exit code ${exit.exitCode}${words ? `: ${words}` : ''}${hint} (pod ${pod.name}, ${pod.restarts} restarts)`,
  };
}

function podTrouble(pod: ObservedPod, spec: JobSpec): Trouble | null {
  if (pod.ready || pod.terminating) return null;
  const { waitingReason, waitingMessage } = pod.container;
  if (waitingReason && IMAGE_REASONS.has(waitingReason)) {
    return { reason: 'ImagePullFailed', message: `${waitingReason}: ${waitingMessage ?? 'the image cannot be had'}` };
  }
  if (waitingReason && CONFIG_REASONS.has(waitingReason)) return configTrouble(pod, spec);
  if (pod.unschedulable) return { reason: 'Unschedulable', message: pod.unschedulable };
  return exitTrouble(pod);
}

/** The first trouble in the order of the pods' names, so that the same observation always says the same. */
export function cellTrouble(
  observed: CellObservation,
  rollout: Rollout | null,
  spec: JobSpec,
  now: number,
): Trouble | null {
  const pods = [...observed.pods].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const pod of pods) {
    const trouble = podTrouble(pod, spec);
    if (trouble) return trouble;
  }
  const refused = rollout?.refused ?? null;
  return refused && passesAt(refused, now) === null ? { reason: 'PodsRefused', message: refused.message } : null;
}
