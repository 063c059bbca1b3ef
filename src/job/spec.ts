import { z } from 'zod';
import { rangeContains, startsRange } from './ipv4.ts';
import { isQuantity, QUANTITY_EXPECTED } from './quantity.ts';

/**
 * What a stream job is. This is the one definition: TypeScript types, validation and the published schema are derived
 * from it. It puts no defaults into what people wrote: defaults belong to a layer below (defaults.ts), so that a
 * platform can change them later. It is an allow-list: what is not named here, a tenant cannot say.
 *
 * Every message says what was expected; where it was found and what was found is added by document.ts.
 */
export const API_VERSION = 'bulkhead.dev/v1alpha1';
export const KIND = 'StreamJob';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_LABEL_LETTER_FIRST = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
// Names one image: [registry[:port]/]path[:tag][@sha256:digest], as distribution/reference, without blanks.
const IMAGE =
  /^[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*(:[0-9]+)?(\/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$/;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
// No zero in front, as in Go's netip: 010 is eight to some readers and ten to others.
const IPV4_CIDR = /^(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}\/(3[0-2]|[12]?\d)$/;
// IANA_SVC_NAME: no two hyphens in a row.
const PORT_NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const SECRET_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const SECRET_KEY = /^(?!\.\.|\.$)[-._a-zA-Z0-9]+$/;

const text = (max: number) =>
  z
    .string({ error: 'expected text (quote it, if it looks like a number or true/false)' })
    .max(max, `expected at most ${max} characters`)
    .refine((s) => !s.includes('\0'), 'expected text without NUL characters')
    .refine((s) => s.isWellFormed(), 'expected text without halves of surrogate pairs');

const port = z
  .int({ error: 'expected a port number from 1 to 65535' })
  .min(1, 'expected a port number from 1 to 65535')
  .max(65535, 'expected a port number from 1 to 65535');

const protocol = z.enum(['TCP', 'UDP', 'SCTP'], { error: 'expected TCP, UDP or SCTP' }).describe('Transport protocol.');

const quantity = z
  .union([z.string(), z.number()], { error: `expected ${QUANTITY_EXPECTED}` })
  .refine((q) => isQuantity(String(q)), `expected ${QUANTITY_EXPECTED}`)
  .meta({ 'x-kubernetes-int-or-string': true });

const resourceList = z.strictObject({
  cpu: quantity.optional().describe('Processor time, in cores: 500m is half a core.'),
  memory: quantity.optional().describe('Memory, in bytes: 256Mi.'),
});

const seconds = (min: number) =>
  z
    .int({ error: 'expected a whole number of seconds' })
    .min(min, `expected at least ${min}`)
    .max(3600, 'expected at most 3600');

const portReference = z
  .union([port, z.string().regex(PORT_NAME, 'expected the name of a port')], {
    error: 'expected a port number or the name of a port in spec.container.ports',
  })
  .meta({ 'x-kubernetes-int-or-string': true });

export const PROBE_HANDLERS = ['httpGet', 'tcpSocket', 'exec'] as const;

const probe = z
  .strictObject({
    httpGet: z
      .strictObject({
        path: text(1024).regex(/^\//, 'expected a path that begins with /').describe('Path to ask for.'),
        port: portReference.describe('Port number or name.'),
      })
      .optional()
      .describe('Healthy when an HTTP GET answers 200 to 399.'),
    tcpSocket: z.strictObject({ port: portReference }).optional().describe('Healthy when a connection opens.'),
    exec: z
      .strictObject({ command: z.array(text(4096)).min(1, 'expected at least one word').max(64) })
      .optional()
      .describe('Healthy when the command, run in the container without a shell, exits 0.'),
    initialDelaySeconds: seconds(0).optional().describe('Time before the first try.'),
    periodSeconds: seconds(1).optional().describe('Time between tries.'),
    timeoutSeconds: seconds(1).optional().describe('Time after which one try has failed.'),
    failureThreshold: z.int().min(1).max(1000).optional().describe('Failures in a row that count.'),
  })
  .refine((p) => PROBE_HANDLERS.filter((h) => p[h] !== undefined).length === 1, {
    error: 'expected exactly one of httpGet, tcpSocket, exec',
  });

const envVar = z
  .strictObject({
    name: text(256).regex(ENV_NAME, 'expected letters, digits, _ . - and no digit first'),
    value: text(32_768).optional().describe('The value, passed on letter by letter: nothing in it is expanded.'),
    secretKeyRef: z
      .strictObject({
        name: text(253).regex(SECRET_NAME, 'expected the name of a Secret'),
        key: text(253).regex(SECRET_KEY, 'expected a key of the Secret'),
      })
      .optional()
      .describe("A key of a Secret in the job's own namespace. Bulkhead names it and never reads it."),
  })
  .refine((e) => (e.value !== undefined) !== (e.secretKeyRef !== undefined), {
    error: 'expected exactly one of value, secretKeyRef',
  });

const containerPort = z.strictObject({
  name: text(15).regex(PORT_NAME, 'expected at most 15 of a-z, 0-9 and -, a letter first, no two - in a row'),
  port: port.describe('Port that the process listens on.'),
  protocol: protocol.optional(),
});

const networkPort = z.strictObject({ port: port.describe('Port number.'), protocol: protocol.optional() });

/** Ranges that are a node's own business: its loopback, and link-local, where clouds keep a node's credentials. */
const NODE_RANGES = ['127.0.0.0/8', '169.254.0.0/16'];

const peer = z
  .strictObject({
    cidr: text(18)
      .regex(IPV4_CIDR, 'expected an IPv4 range such as 10.1.0.0/16')
      // The API server warns of ranges whose address lies in the middle, and later versions refuse them.
      .refine(startsRange, 'expected the first address of the range: 10.1.0.0/16, not 10.1.2.3/16')
      .refine((cidr) => !NODE_RANGES.some((range) => rangeContains(range, cidr)), 'expected addresses beyond the node')
      .optional()
      .describe('Addresses outside the cluster, as an IPv4 range.'),
    job: text(63)
      .regex(DNS_LABEL_LETTER_FIRST, 'expected the name of a job')
      .optional()
      .describe('Another job of the same tenant.'),
    ports: z.array(networkPort).max(64).optional().describe('Ports. All of them where none is named.'),
  })
  .refine((p) => (p.cidr !== undefined) !== (p.job !== undefined), { error: 'expected exactly one of cidr, job' });

/** Indexes of the values that an earlier entry has. */
const repeated = (values: readonly string[]): number[] =>
  values.flatMap((value, index) => (values.indexOf(value) < index ? [index] : []));

const container = z
  .strictObject({
    image: text(512)
      .regex(IMAGE, 'expected an image such as registry.example/team/app:1.2')
      .describe('Image of the workers. It must run as a user other than root.'),
    command: z.array(text(4096)).max(64).optional().describe("Replaces the image's entrypoint. No shell is involved."),
    args: z.array(text(131_072)).max(256).optional().describe("Replaces the image's arguments. No shell is involved."),
    env: z.array(envVar).max(256).optional().describe('Environment variables.'),
    ports: z.array(containerPort).max(32).optional().describe('Ports of the workers; a Service is made of them.'),
    probes: z
      .strictObject({
        readiness: probe.optional().describe('Whether a worker can take work.'),
        liveness: probe.optional().describe('Whether a worker must be restarted.'),
        startup: probe.optional().describe('Whether a worker has started; the other probes wait for it.'),
      })
      .optional()
      .describe('Health checks.'),
    runAsUser: z
      .int({ error: 'expected a user id from 1 on; root (0) is not allowed' })
      .min(1, 'expected a user id from 1 on; root (0) is not allowed')
      .max(2_147_483_647, 'expected at most 2147483647')
      .optional()
      .describe('User id that the processes run as.'),
  })
  .superRefine((c, ctx) => {
    for (const list of ['env', 'ports'] as const) {
      for (const index of repeated((c[list] ?? []).map((entry) => entry.name))) {
        ctx.addIssue({ code: 'custom', path: [list, index, 'name'], message: 'expected a name that is used once' });
      }
    }
    // A Service refuses two ports of one number and protocol, whatever they are called.
    for (const index of repeated((c.ports ?? []).map((p) => `${p.port}/${p.protocol ?? 'TCP'}`))) {
      ctx.addIssue({ code: 'custom', path: ['ports', index, 'port'], message: 'expected a port that is named once' });
    }
    const names = new Set((c.ports ?? []).map((p) => p.name));
    for (const kind of ['readiness', 'liveness', 'startup'] as const) {
      for (const handler of ['httpGet', 'tcpSocket'] as const) {
        const wanted = c.probes?.[kind]?.[handler]?.port;
        if (typeof wanted !== 'string' || names.has(wanted)) continue;
        const known =
          names.size > 0 ? `one of ${[...names].join(', ')}` : 'a number, since spec.container.ports is empty';
        ctx.addIssue({ code: 'custom', path: ['probes', kind, handler, 'port'], message: `expected ${known}` });
      }
    }
  });

export const jobSpecSchema = z.strictObject({
  container: container.describe('Engine `container`: any image that runs as a user other than root.'),
  workers: z
    .strictObject({
      replicas: z
        .int({ error: 'expected a whole number from 0 to 1000' })
        .min(0, 'expected a whole number from 0 to 1000')
        .max(1000, 'expected a whole number from 0 to 1000')
        .optional()
        .describe('How many workers run.'),
      resources: z
        .strictObject({
          requests: resourceList.optional().describe('What a worker is sure to get.'),
          limits: resourceList.optional().describe('What a worker may use at the most.'),
        })
        .optional()
        .describe('Processor and memory of each worker.'),
    })
    .optional()
    .describe('The processes that do the work.'),
  network: z
    .strictObject({
      egress: z.array(peer).max(64).optional().describe('What workers may reach, beyond DNS.'),
      ingress: z.array(peer).max(64).optional().describe('What may reach the workers.'),
    })
    .optional()
    .describe('Nothing may be reached, and nothing may reach the workers, unless it is named here. DNS always may.'),
  isolation: z
    .strictObject({
      tier: z
        .enum(['namespace'], {
          error: 'expected namespace, the only tier that is there yet (shared and node will follow)',
        })
        .optional()
        .describe('How isolated the cell is.'),
    })
    .optional()
    .describe('How much isolation the job buys.'),
  suspended: z
    .boolean({ error: 'expected true or false' })
    .optional()
    .describe('Whether the workers are stopped. The cell stays.'),
});

export const streamJobSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION, { error: `expected ${API_VERSION}` }),
  kind: z.literal(KIND, { error: `expected ${KIND}` }),
  metadata: z
    .strictObject({
      name: text(63)
        .regex(DNS_LABEL_LETTER_FIRST, 'expected at most 63 of a-z, 0-9 and -, a letter first, no - at the end')
        .describe('Name of the job, unique within its tenant.'),
      namespace: text(63)
        .regex(DNS_LABEL, 'expected at most 63 of a-z, 0-9 and -, no - at either end')
        .describe('The tenant that the job belongs to.'),
    })
    .describe('Who the job is.'),
  spec: jobSpecSchema.describe('What the job should be.'),
});

/** What people wrote for a job: no defaults in it. */
export type JobSpec = z.infer<typeof jobSpecSchema>;
export type StreamJob = z.infer<typeof streamJobSchema>;
export type ProbeSpec = z.infer<typeof probe>;
export type PeerSpec = z.infer<typeof peer>;
