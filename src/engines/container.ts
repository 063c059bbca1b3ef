import type { EffectiveSpec } from '../job/defaults.ts';
import type { ProbeSpec } from '../job/spec.ts';

/**
 * Engine `container`: any image that runs as a user other than root. Every default of the API server is written out,
 * so that what is sent equals what is read back (see drift.ts).
 */

/** Scratch space of a worker and the most it may write to its node: a full disk would hit every job there. */
const TMP_SIZE_LIMIT = '64Mi';
const EPHEMERAL_STORAGE = { request: '16Mi', limit: '1Gi' } as const;
const TERMINATION_GRACE_SECONDS = 30;

/**
 * Text as the process must get it. Kubernetes expands `$(NAME)` in commands, arguments and values, and reads `$$` as
 * `$` (k8s.io/kubernetes/third_party/forked/golang/expansion): doubling every `$` passes the text on letter by letter.
 */
export const verbatim = (text: string): string => (/\$[$(]/.test(text) ? text.replaceAll('$', '$$$$') : text);

function renderProbe(probe: ProbeSpec | null): Record<string, unknown> | undefined {
  if (!probe) return undefined;
  return {
    ...(probe.httpGet && { httpGet: { path: probe.httpGet.path, port: probe.httpGet.port, scheme: 'HTTP' } }),
    ...(probe.tcpSocket && { tcpSocket: { port: probe.tcpSocket.port } }),
    ...(probe.exec && { exec: { command: probe.exec.command } }),
    ...(probe.initialDelaySeconds ? { initialDelaySeconds: probe.initialDelaySeconds } : {}),
    timeoutSeconds: probe.timeoutSeconds ?? 1,
    periodSeconds: probe.periodSeconds ?? 10,
    successThreshold: 1,
    failureThreshold: probe.failureThreshold ?? 3,
  };
}

type EnvVar = EffectiveSpec['container']['env'][number];

const renderEnv = (env: EnvVar): Record<string, unknown> =>
  env.secretKeyRef
    ? { name: env.name, valueFrom: { secretKeyRef: { name: env.secretKeyRef.name, key: env.secretKeyRef.key } } }
    : // The API server stores an empty value as none.
      { name: env.name, ...(env.value ? { value: verbatim(env.value) } : {}) };

function renderContainer({ container, workers }: EffectiveSpec): Record<string, unknown> {
  const { readiness, liveness, startup } = container.probes;
  return {
    name: 'worker',
    image: container.image,
    imagePullPolicy: 'IfNotPresent',
    command: container.command.map(verbatim),
    args: container.args.map(verbatim),
    env: container.env.map(renderEnv),
    ports: container.ports.map((p) => ({ name: p.name, containerPort: p.port, protocol: p.protocol })),
    readinessProbe: renderProbe(readiness),
    livenessProbe: renderProbe(liveness),
    startupProbe: renderProbe(startup),
    resources: {
      requests: { ...workers.requests, 'ephemeral-storage': EPHEMERAL_STORAGE.request },
      limits: { ...workers.limits, 'ephemeral-storage': EPHEMERAL_STORAGE.limit },
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      privileged: false,
      capabilities: { drop: ['ALL'] },
      runAsNonRoot: true,
    },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
    terminationMessagePath: '/dev/termination-log',
    // A crash's last words become the pod's status, so that `describe` can show them.
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

/** The pod template of a job's workers. Neither revision nor epoch is in it: they would restart workers for nothing. */
export function podTemplate(
  spec: EffectiveSpec,
  labels: Readonly<Record<string, string>>,
  selector: Readonly<Record<string, string>>,
  serviceAccount: string,
): Record<string, unknown> {
  return {
    metadata: { labels },
    spec: {
      automountServiceAccountToken: false,
      serviceAccountName: serviceAccount,
      serviceAccount,
      enableServiceLinks: false,
      dnsPolicy: 'ClusterFirst',
      restartPolicy: 'Always',
      schedulerName: 'default-scheduler',
      terminationGracePeriodSeconds: TERMINATION_GRACE_SECONDS,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: spec.container.runAsUser,
        runAsGroup: spec.container.runAsUser,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'kubernetes.io/hostname',
          whenUnsatisfiable: 'ScheduleAnyway',
          labelSelector: { matchLabels: selector },
        },
      ],
      volumes: [{ name: 'tmp', emptyDir: { sizeLimit: TMP_SIZE_LIMIT } }],
      containers: [renderContainer(spec)],
    },
  };
}

/** What a worker may take at the most, for the cell's quota. */
export const workerStorage = EPHEMERAL_STORAGE;
